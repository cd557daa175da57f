package selector

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

// A Call is what an instance is chosen for.
type Call struct {
	// Method must be one that the instance offers.
	Method string
	// Key is what ConsistentHash goes by.
	Key string
	// Avoid are ids of instances that are only chosen if there is no other.
	Avoid []string
	// Server and Client are the broker's ids of the caller's connection, for
	// Local.
	Server string
	Client uint64
}

// A Choice is the instance for one call. Done must be called once.
type Choice struct {
	ID string

	picker *Picker
	node   *node
	began  time.Time
	probe  bool
}

// A Picker chooses among the instances of one service, and remembers what came
// of it. It may be used from any goroutine.
type Picker struct {
	cfg Config

	mu    sync.Mutex
	list  []discovery.Instance // that nodes and lanes are made of
	nodes map[string]*node     // by id
	lanes map[string]*lane     // by method
}

// maxLanes bounds the methods whose candidates and rotation are kept. For the
// rest they are found anew for each call, and the rotation begins anywhere.
const maxLanes = 256

// NewPicker returns a Picker. It panics if cfg has no strategy that there is.
func NewPicker(cfg Config) *Picker {
	if err := cfg.Check(); err != nil {
		panic("selector: NewPicker: " + err.Error())
	}
	if cfg.Strategy == Bus {
		cfg.Strategy = Random
	}
	return &Picker{cfg: cfg, nodes: make(map[string]*node), lanes: make(map[string]*lane)}
}

// Pick chooses one of the instances, which are ordered by id and do not change:
// a list that begins at the same element with the same length is taken for the
// same. Foreign instances, registered apps and those that the filters leave out
// or that do not offer the method are no candidates. It is false if there is no
// candidate.
func (p *Picker) Pick(instances []discovery.Instance, c *Call) (Choice, bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !same(p.list, instances) {
		p.learn(instances)
	}
	l := p.lane(c)
	n := l.choose(p.cfg.Strategy, c, now)
	if n == nil {
		return Choice{}, false
	}
	n.inFlight++
	choice := Choice{ID: n.id, picker: p, node: n, began: now}
	if n.absence != present && !n.probing && !now.Before(n.until) {
		choice.probe, n.probing = true, true
	}
	return choice, true
}

// Done tells what came of the call.
func (c Choice) Done(o Outcome) {
	now := time.Now()
	c.picker.mu.Lock()
	defer c.picker.mu.Unlock()
	c.node.report(&c, o, c.picker.cfg.Strategy, now)
}

// Began is when the instance was chosen.
func (c Choice) Began() time.Time { return c.began }

func same(a, b []discovery.Instance) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// learn takes in a new list.
func (p *Picker) learn(instances []discovery.Instance) {
	p.list = instances
	nodes := make(map[string]*node, len(instances))
	for i := range instances {
		one := &instances[i]
		n := p.nodes[one.ID]
		if n == nil {
			n = &node{id: one.ID, hash: fnv(one.ID)}
		}
		n.hear(one)
		nodes[one.ID] = n
	}
	p.nodes = nodes
	for _, l := range p.lanes {
		l.made = false
	}
}

// lane returns the candidates for a call.
func (p *Picker) lane(c *Call) *lane {
	at := connection{c.Server, c.Client}
	l := p.lanes[c.Method]
	if l != nil && l.made && l.from == at {
		return l
	}
	kept := l != nil
	if !kept {
		l = &lane{}
	}
	l.make(p, c.Method, at)
	if !kept && len(l.nodes) > 0 && len(p.lanes) < maxLanes {
		p.lanes[strings.Clone(c.Method)] = l
	}
	return l
}

type connection struct {
	server string
	client uint64
}

// A lane is the candidates for the calls of one method.
type lane struct {
	made bool // of the present list
	from connection

	nodes []*node // by id, those that are nearer before the others
	tiers []int   // where the nearer ones end; the last is len(nodes)
	last  string  // id that the rotation was at, "" before it has begun
}

// make finds the candidates.
func (l *lane) make(p *Picker, method string, at connection) {
	l.made, l.from = true, at
	l.nodes, l.tiers = l.nodes[:0], l.tiers[:0]
	const same, near, far = 0, 1, 2
	first := far
	if p.cfg.Local {
		first = same
	}
	for tier := first; tier <= far; tier++ {
		for i := range p.list {
			one := &p.list[i]
			if _, offers := one.Endpoint(method); !offers || !callable(one) || !p.cfg.Admits(one.Version, one.Metadata) {
				continue
			}
			distance := far
			switch {
			case !p.cfg.Local || one.Server == "" || one.Server != at.server:
			case one.Client == at.client:
				distance = same
			default:
				distance = near
			}
			if distance == tier {
				l.nodes = append(l.nodes, p.nodes[one.ID])
			}
		}
		l.tiers = append(l.tiers, len(l.nodes))
	}
}

// A want says who is good enough for a call.
type want struct {
	now   time.Time
	avoid []string // nil: the call may go where it has been
	any   bool     // also those that are out
}

func (w *want) takes(n *node) bool {
	return (w.any || !n.out(w.now)) && (len(w.avoid) == 0 || !slices.Contains(w.avoid, n.id))
}

// choose returns nil if there is no candidate.
func (l *lane) choose(s Strategy, c *Call, now time.Time) *node {
	for _, w := range [...]want{{now, c.Avoid, false}, {now, nil, false}, {now, c.Avoid, true}, {now, nil, true}} {
		from := 0
		for _, to := range l.tiers {
			if n := l.among(l.nodes[from:to], s, c, &w); n != nil {
				return n
			}
			from = to
		}
	}
	return nil
}

func (l *lane) among(nodes []*node, s Strategy, c *Call, w *want) *node {
	switch {
	case len(nodes) == 0:
		return nil
	case s == RoundRobin:
		return l.next(nodes, w)
	case s == LeastLoaded:
		return lighter(nodes, w)
	case s == ConsistentHash && c.Key != "":
		return heaviest(nodes, c.Key, w)
	}
	return random(nodes, nil, w)
}

// next goes on with the rotation.
func (l *lane) next(nodes []*node, w *want) *node {
	start := rand.IntN(len(nodes))
	if l.last != "" {
		at, found := slices.BinarySearchFunc(nodes, l.last, func(n *node, id string) int { return strings.Compare(n.id, id) })
		if start = at; found {
			start++
		}
	}
	for i := range nodes {
		if n := nodes[(start+i)%len(nodes)]; w.takes(n) {
			l.last = n.id
			return n
		}
	}
	return nil
}

// lighter takes the less busy one of two.
func lighter(nodes []*node, w *want) *node {
	a := random(nodes, nil, w)
	if a == nil {
		return nil
	}
	if b := random(nodes, a, w); b != nil && a.busier(b, w.now) {
		return b
	}
	return a
}

func heaviest(nodes []*node, key string, w *want) *node {
	h := fnv(key)
	var best *node
	var most uint64
	for _, n := range nodes {
		if weight := mix(h ^ n.hash); (best == nil || weight > most) && w.takes(n) {
			best, most = n, weight
		}
	}
	return best
}

// random takes any of those that will do, all alike, but not other.
func random(nodes []*node, other *node, w *want) *node {
	if n := nodes[rand.IntN(len(nodes))]; n != other && w.takes(n) {
		return n
	}
	var taken *node
	seen := 0
	for _, n := range nodes {
		if n != other && w.takes(n) {
			if seen++; rand.IntN(seen) == 0 {
				taken = n
			}
		}
	}
	return taken
}
