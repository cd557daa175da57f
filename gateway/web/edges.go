package web

import (
	"maps"
	"slices"
	"time"
)

const (
	// edgeSpan is how long a call counts that one service has made to another.
	edgeSpan    = 5 * time.Minute
	edgeMinutes = 6
	// maxEdges bounds the pairs of services; those unused for longest go.
	maxEdges = 10_000
)

type edgeKey struct{ from, to string }

// An edge is that one service calls another, as the other tells.
type edge struct {
	minute  int64 // of the newest in minutes
	minutes [edgeMinutes]edgeCount
	window  int64
	windows [2]edgeCount
	last    time.Time
}

type edgeCount struct{ calls, failed float64 }

// called takes over who has called a method in the last seconds. Of more of them
// than a window has, only its share counts for the rate of this moment.
func (t *table) called(service string, before, now map[string]uint64, failing, seconds float64, at time.Time) {
	if len(now) > maxCallers {
		return
	}
	for from, n := range now {
		calls := grown(before[from], n)
		if calls == 0 {
			continue
		}
		key := edgeKey{cutText(from), service}
		e := t.edges[key]
		if e == nil {
			if len(t.edges) >= maxEdges {
				t.forgetEdges()
			}
			e = &edge{}
			t.edges[key] = e
		}
		e.add(float64(calls), min(failing, 1), min(1, windowSpan.Seconds()/seconds), at)
	}
}

// forgetEdges makes room for an eighth of all edges at a time.
func (t *table) forgetEdges() {
	keys := slices.SortedFunc(maps.Keys(t.edges), func(a, b edgeKey) int { return t.edges[a].last.Compare(t.edges[b].last) })
	for _, key := range keys[:max(1, len(keys)/8)] {
		delete(t.edges, key)
	}
}

// advance makes the newest slots those of a moment.
func (e *edge) advance(at time.Time) {
	minute, number := at.Unix()/60, at.Unix()/int64(windowSpan/time.Second)
	for e.minute < minute {
		e.minute = max(e.minute+1, minute-edgeMinutes)
		e.minutes[e.minute%edgeMinutes] = edgeCount{}
	}
	if e.window != number {
		e.windows[1] = edgeCount{}
		if e.window == number-1 {
			e.windows[1] = e.windows[0]
		}
		e.windows[0], e.window = edgeCount{}, number
	}
}

// add counts calls of which a share fails, and a share is of this window.
func (e *edge) add(calls, failing, latest float64, at time.Time) {
	e.advance(at)
	m, w := &e.minutes[e.minute%edgeMinutes], &e.windows[0]
	m.calls += calls
	m.failed += calls * failing
	w.calls += calls * latest
	w.failed += calls * failing * latest
	e.last = at
}

// An edgeView is an edge on pages.
type edgeView struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Rate   numeral `json:"rps"`
	Errors numeral `json:"errors_per_s"`
	Calls  numeral `json:"calls"`
	Source string  `json:"source"`
}

// unknownCaller stands for callers that do not say who they are.
const unknownCaller = "?"

func (k edgeKey) view(e *edge, now time.Time) edgeView {
	e.advance(now)
	seconds := (windowSpan + time.Duration(now.UnixNano())%windowSpan).Seconds()
	v := edgeView{From: k.from, To: k.to, Source: "mbus"}
	if v.From == "" {
		v.From = unknownCaller
	}
	v.Rate = numeral((e.windows[0].calls + e.windows[1].calls) / seconds)
	v.Errors = numeral((e.windows[0].failed + e.windows[1].failed) / seconds)
	for _, m := range e.minutes {
		v.Calls += numeral(m.calls)
	}
	return v
}

// live returns the edges of the last minutes, and forgets older ones.
func (t *table) liveEdges(now time.Time, want func(edgeKey) bool) []edgeView {
	out := []edgeView{}
	for key, e := range t.edges {
		if now.Sub(e.last) > edgeSpan {
			delete(t.edges, key)
			continue
		}
		if want == nil || want(key) {
			out = append(out, key.view(e, now))
		}
	}
	sortEdges(out)
	return out
}
