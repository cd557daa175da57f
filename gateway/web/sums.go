package web

import "time"

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
