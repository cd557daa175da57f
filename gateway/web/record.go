package web

import (
	"math"
	"slices"
	"time"
)

// maxEndpoints bounds the methods of a service that are remembered after they
// have gone.
const maxEndpoints = 4096

// record writes the histories of this moment, some seconds after the one before.
// coarse says that a step of the coarse ones is over.
func (t *table) record(now time.Time, seconds int64, coarse bool) {
	t.fine.put(now, t.point())
	total := noRates()
	for _, s := range t.services {
		s.draw(seconds)
		watched := now.Before(s.watched)
		if !watched && s.fine != nil {
			t.release(s)
		}
		if coarse {
			s.settle()
			total = total.plus(s.step)
			t.keepStep(&s.ring, s.step, now, s.point())
			t.tidy(s, now)
		}
		if watched {
			t.keep(&s.fine, fineSpan, fineStep, now, s.point())
		}
		for name, e := range s.endpoints {
			if isDebug(name) || !watched && !coarse {
				continue
			}
			p := e.point(now)
			if coarse {
				t.keepStep(&e.ring, e.step, now, p)
			}
			if watched {
				t.keep(&e.fine, fineSpan, fineStep, now, p)
			}
		}
	}
	if coarse {
		t.total.put(now.Add(-historyStep), total.at(t.point()))
		t.total.put(now, t.point())
	}
	if t.bytes > maxHistory {
		t.evict()
	}
}

// draw moves the spark on by some seconds. The rate is that since the last answer,
// and so of all of them, unless they are too many.
func (s *service) draw(seconds int64) {
	n := int(min(max(seconds, 1), sparkPoints))
	copy(s.spark[:], s.spark[n:])
	for i := range n {
		s.spark[sparkPoints-1-i] = float32(s.now.rate)
		if i > 0 && seconds > int64(2*idleLook/time.Second) {
			s.spark[sparkPoints-1-i] = float32(unknownNumber())
		}
	}
}

// settle makes the rates of the step that is over: of what the answers told that
// have come in it, and of an instance that was not asked what it told last.
func (s *service) settle() {
	s.step = noRates()
	for _, e := range s.endpoints {
		e.step = noRates()
	}
	for _, i := range s.instances {
		if i.stepSeconds == 0 && !i.now.rate.known() {
			continue
		}
		s.step = s.step.plus(rates{0, 0})
		for method, c := range i.counters {
			r := rates{numeral(c.rate), numeral(c.errorRate)}
			if i.stepSeconds > 0 {
				r = rates{numeral(float64(c.stepTaken) / i.stepSeconds), numeral(float64(c.stepFailed) / i.stepSeconds)}
			}
			c.stepTaken, c.stepFailed = 0, 0
			e := s.endpoint(method)
			e.step = e.step.plus(r)
			if !isDebug(method) {
				s.step = s.step.plus(r)
			}
		}
		i.stepSeconds = 0
	}
}

// keepStep writes the step of a coarse history that is over, and what is known of
// the next so far.
func (t *table) keepStep(r **ring, step rates, now time.Time, p point) {
	t.keep(r, historySpan, historyStep, now.Add(-historyStep), step.at(p))
	t.keep(r, historySpan, historyStep, now, p)
}

// tidy forgets the endpoints that no instance has had for as long as histories
// reach back, and at the bound those that none has now.
func (t *table) tidy(s *service, now time.Time) {
	span := historySpan
	if len(s.endpoints) > maxEndpoints {
		span = forgetful
	}
	for name, e := range s.endpoints {
		if e.offered.IsZero() {
			e.offered = now
		}
		if now.Sub(e.offered) > span {
			t.bytes -= e.ring.bytes() + e.fine.bytes()
			delete(s.endpoints, name)
		}
	}
}

// keep writes a point of a history, which begins with the first traffic.
func (t *table) keep(r **ring, span, step time.Duration, now time.Time, p point) {
	if *r == nil {
		if !(p.rate > 0) { // NaN is no traffic either
			return
		}
		*r = newRing(span, step)
	}
	before := (*r).used
	t.bytes += (*r).put(now, p)
	if !(p.rate > 0) {
		(*r).used = before // for evict: when something last happened
	}
}

func (t *table) release(s *service) {
	t.bytes -= s.fine.bytes()
	s.fine = nil
	for _, e := range s.endpoints {
		t.bytes -= e.fine.bytes()
		e.fine = nil
	}
}

// evict throws away the histories that have had no traffic for longest, until an
// eighth of the room is free: one at a time would be as much work for each.
func (t *table) evict() {
	var all []**ring
	for _, s := range t.services {
		for _, r := range s.rings() {
			if *r != nil {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b **ring) int { return (*a).used.Compare((*b).used) })
	for _, r := range all {
		if t.bytes <= maxHistory/8*7 {
			return
		}
		t.bytes -= (*r).bytes()
		*r = nil
	}
}

func (s *service) rings() []**ring {
	all := []**ring{&s.ring, &s.fine}
	for _, e := range s.endpoints {
		all = append(all, &e.ring, &e.fine)
	}
	return all
}

func (s *service) bytes() (n int) {
	for _, r := range s.rings() {
		n += (*r).bytes()
	}
	return n
}

func (t *table) point() point {
	return point{float32(t.all.Rate), float32(t.all.Errors), float32(t.allP50), float32(t.all.P99), float32(t.all.InFlight)}
}

func (s *service) point() point {
	return point{float32(s.now.rate), float32(s.now.errors), float32(s.now.p50), float32(s.now.p99), float32(s.now.inFlight)}
}

func (e *endpoint) point(now time.Time) point {
	w := e.recent(now)
	return point{float32(e.rate), float32(e.errorRate), float32(w.calls.quantile(0.50)), float32(w.calls.quantile(0.99)), float32(math.NaN())}
}
