package crowd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// A Plan is what one service of a crowd is like.
type Plan struct {
	Name string
	Area string
	// Versions has one for each instance.
	Versions []string
	Methods  []string
	// Latency is how long half of the calls take at most.
	Latency time.Duration
	// Faults is the share of calls that fail.
	Faults float64
	// Weight is how much it is called, beside the others.
	Weight float64
	// Calls are the numbers of the services that it calls.
	Calls []int
}

// What the names are made of: as many services as there are pairs have names of
// their own, and more get a number.
const (
	areas = "account auth billing cart catalog chat checkout content coupon delivery device export feed fraud import insight inventory invoice " +
		"ledger loyalty mail market media notify offer order partner payment pricing profile refund report review risk route search session ship stock tax ticket user vendor wallet"
	things = "alert archive audit batch cache check code counter cursor digest draft event file filter flag form gate group hook image index item job key label " +
		"limit link list lock map match meter note page plan pool price queue quota rate record role rule score slot state sync tag task template token total trace tree"
	verbs = "Get List Create Update Delete Find"
)

// Plans are the first n services of the crowd of a seed.
func Plans(seed uint64, n int) []Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	area, thing, verb := strings.Fields(areas), strings.Fields(things), strings.Fields(verbs)
	pairs := r.Perm(len(area) * len(thing))
	plans := make([]Plan, n)
	for i := range plans {
		pair := pairs[i%len(pairs)]
		a, th := area[pair/len(thing)], thing[pair%len(thing)]
		kind := "srv"
		if i%16 == 0 {
			kind = "api"
		}
		p := Plan{Name: fmt.Sprintf("go.micro.%s.%s.%s", kind, a, th), Area: a}
		if round := i / len(pairs); round > 0 {
			p.Name += fmt.Sprintf("-%d", round+1)
		}
		version := fmt.Sprintf("1.%d.%d", r.IntN(9), r.IntN(20))
		for range 1 + max(0, int(r.NormFloat64()*0.8)) {
			p.Versions = append(p.Versions, version)
		}
		if last := len(p.Versions) - 1; last > 0 && r.IntN(3) == 0 {
			p.Versions[last] = version + "-rc1" // the next one is being rolled out
		}
		title := strings.ToUpper(th[:1]) + th[1:]
		for _, v := range verb[:1+r.IntN(4)] {
			p.Methods = append(p.Methods, title+"."+v)
		}
		p.Latency = time.Duration(math.Exp(1.2+r.NormFloat64()) * float64(time.Millisecond))
		switch r.IntN(50) {
		case 0:
			p.Faults = 0.05 + 0.3*r.Float64() // it is in trouble
		case 1, 2, 3:
			p.Faults = 0.01 * r.Float64()
		}
		p.Weight = math.Exp(2 * r.NormFloat64())
		// Those that others call come later, so that nothing goes round.
		if i%4 == 0 {
			for range r.IntN(5) {
				if to := i + 1 + r.IntN(n); to < n {
					p.Calls = append(p.Calls, to)
				}
			}
		}
		plans[i] = p
	}
	return plans
}
