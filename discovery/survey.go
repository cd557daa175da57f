package discovery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// serviceSpread is over how long the instances of one service, or of a bus
	// that is asked once, spread their answers: less than the silence that ends
	// a gathering.
	serviceSpread = 10 * time.Millisecond
	// maxAtOnce is how many services are asked for their INFO at the same time.
	maxAtOnce = 32
)

// A survey asks who is there: mbus services announce themselves, all others are
// known by what they answer to $SRV.
type survey struct {
	gathering
	plan     *codec.Plan
	services []string // none means all
	spread   time.Duration

	announced func(a *announcement, size int)
	found     func(i Instance, ping bool) // by $SRV
	bad       func(subject string, err error)
}

// run asks everything. Services are asked for their INFO at once; everyone is
// first asked for a PING, which is small, and then the foreign services for
// their INFO.
func (s *survey) run(ctx context.Context) error {
	if len(s.services) == 0 {
		foreign, err := s.everyone(ctx, s.probe(""))
		if err != nil {
			return err
		}
		return s.ask(ctx, wire.VerbInfo, foreign)
	}
	var questions []question
	for _, service := range s.services {
		if wire.CheckService(service) == nil {
			questions = append(questions, s.probe(service))
		}
	}
	_, err := s.gathering.run(ctx, append(questions, s.named(wire.VerbInfo)...)...)
	return err
}

// everyone asks all services for a PING, and also the other questions. It
// returns the names of the foreign ones.
func (s *survey) everyone(ctx context.Context, also ...question) (foreign []string, err error) {
	collect := *s
	names := make(map[string]bool)
	collect.found = func(i Instance, ping bool) {
		if i.Foreign {
			names[i.Service] = true
		}
		s.found(i, ping)
	}
	_, err = s.gathering.run(ctx, append(also, collect.srv(wire.VerbPing, "", ""))...)
	return slices.Sorted(maps.Keys(names)), err
}

// named asks the services of the survey, by every name they may have.
func (s *survey) named(verb string) []question {
	var questions []question
	for _, service := range s.services {
		for _, name := range adrNames(service) {
			questions = append(questions, s.srv(verb, name, service))
		}
	}
	return questions
}

// ask asks services by their ADR-32 names, some at a time.
func (s *survey) ask(ctx context.Context, verb string, names []string) error {
	for some := range slices.Chunk(names, maxAtOnce) {
		var questions []question
		for _, name := range some {
			questions = append(questions, s.srv(verb, name, ""))
		}
		if _, err := s.gathering.run(ctx, questions...); err != nil {
			return err
		}
	}
	return nil
}

func (s *survey) probe(service string) question {
	subject := wire.ProbeSubject(service)
	return question{
		subject: subject,
		body:    fmt.Appendf(nil, `{"spread_ms":%d}`, s.spread.Milliseconds()),
		heard: func(m *nats.Msg) {
			a, err := decodeAnswer(s.plan, m.Data)
			switch {
			case err != nil:
				s.bad(subject, err)
			case service == "" || service == a.Name:
				s.announced(a, len(m.Data))
			}
		},
	}
}

// srv asks by an ADR-32 name, which several services may share: the mbus
// service "user.service" and a foreign "user_service". Only those of the
// service that was asked for count, if there is one.
func (s *survey) srv(verb, name, service string) question {
	subject := wire.SrvSubject(verb, name, "")
	return question{
		subject: subject,
		heard: func(m *nats.Msg) {
			i, err := readSrv(m.Data)
			switch {
			case err != nil:
				s.bad(subject, err)
			case service == "" || service == i.Service:
				s.found(i, verb == wire.VerbPing)
			}
		},
	}
}

// adrNames returns the names under which a service of this name may answer
// $SRV: escaped if it is an mbus one, verbatim if it is foreign.
func adrNames(service string) []string {
	var names []string
	if wire.CheckService(service) == nil {
		names = append(names, wire.Escape(service))
	}
	if adrName(service) && !slices.Contains(names, service) {
		names = append(names, service)
	}
	return names
}

// checkAsked returns an error if there can be no service of this name.
func checkAsked(service string) error {
	if adrName(service) {
		return nil // a foreign name may be one that mbus would not allow
	}
	if err := wire.CheckService(service); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	return nil
}
