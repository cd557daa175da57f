package web

import (
	"math"
	"slices"
	"time"
)

// maxEndpoints bounds the methods of a service that are remembered after they
// have gone.
const maxEndpoints = 4096

// totals are those of all services.
type totals struct {
	Services  int     `json:"services"`
	Instances int     `json:"instances"`
	Down      int     `json:"down"`
	Degraded  int     `json:"degraded"`
	Starting  int     `json:"starting"`
	Stale     int     `json:"stale"`
	OK        int     `json:"ok"`
	Rate      numeral `json:"rps"`
	P99       numeral `json:"p99_ms"`
	Errors    numeral `json:"errors_per_s"`
	InFlight  int     `json:"in_flight"`
}

// sum makes the numbers of services of those of their instances, and judges them.
func (t *table) sum(now time.Time) {
	sum := totals{Rate: unknownNumber(), P99: unknownNumber(), Errors: unknownNumber()}
	var all buckets
	for _, s := range t.services {
		s.sum(now)
		all = all.plus(s.latest.calls)
		if h, why := s.judge(now); h != s.health || why != s.why {
			if h != s.health {
				s.since = now
			}
			s.health, s.why = h, why
		}
		sum.Services++
		sum.Instances += len(s.instances)
		sum.InFlight += s.now.inFlight
		sum.Rate, sum.Errors = add(sum.Rate, s.now.rate), add(sum.Errors, s.now.errors)
		switch s.health {
		case down:
			sum.Down++
		case degraded:
			sum.Degraded++
		case starting:
			sum.Starting++
		case stale:
			sum.Stale++
		default:
			sum.OK++
		}
	}
	sum.P99 = all.quantile(0.99)
	t.all = sum
	t.allP50 = all.quantile(0.50)
}

func add(a, b numeral) numeral {
	switch {
	case !a.known():
		return b
	case !b.known():
		return a
	}
	return a + b
}

// sum adds up the endpoints and instances of a service.
func (s *service) sum(now time.Time) {
	n := noNumbers()
	for _, e := range s.endpoints {
		e.requests, e.errors, e.refused = 0, 0, 0
		e.rate, e.errorRate, e.refusing = unknownNumber(), unknownNumber(), unknownNumber()
	}
	for _, i := range s.instances {
		n.inFlight += i.now.inFlight
		n.load = max(n.load, i.now.load)
		if i.answered.IsZero() || now.Sub(i.answered) > forgetful {
			i.now.rate, i.now.errors, i.now.p50, i.now.p99 = unknownNumber(), unknownNumber(), unknownNumber(), unknownNumber()
			continue
		}
		for method, c := range i.counters {
			e := s.endpoint(method)
			e.offered = now
			e.requests += c.requests
			e.errors += c.errors
			e.refused += c.refused
			if i.now.rate.known() {
				e.rate, e.errorRate, e.refusing = add(e.rate, numeral(c.rate)), add(e.errorRate, numeral(c.errorRate)), add(e.refusing, numeral(c.refusing))
			}
		}
		n.rate, n.errors = add(n.rate, i.now.rate), add(n.errors, i.now.errors)
	}
	s.latest = s.window(now)
	n.p50, n.p99 = s.latest.calls.quantile(0.50), s.latest.calls.quantile(0.99)
	s.now = n
}

// window is the latest calls of all methods but those of every service.
func (s *service) window(now time.Time) window {
	var all window
	for name, e := range s.endpoints {
		if isDebug(name) {
			continue
		}
		w := e.recent(now)
		all.taken += w.taken
		all.failed += w.failed
		all.refused += w.refused
		all.calls = all.calls.plus(w.calls)
	}
	return all
}

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
