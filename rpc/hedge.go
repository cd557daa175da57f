package rpc

import (
	"slices"
	"sync"
	"time"
)

const (
	// keptLatencies of a method tell what is slow; before there are
	// enoughLatencies nothing is.
	keptLatencies   = 128
	enoughLatencies = 20
	// slowShare of them are faster than what is slow.
	slowShare = 0.95
)

// hedges reports whether a second copy of a slow request may be sent.
func (c *Client) hedges(req *Request) bool { return c.cfg.Hedge || req.Hedge }

// A latency is how long the latest hedged calls of a method took.
type latency struct {
	mu     sync.Mutex
	recent [keptLatencies]time.Duration // a ring
	count  int                          // of all that were added
	limit  time.Duration                // the share slowShare took less
}

// latency returns that of a method, nil if the client keeps facts about too many
// already: then its calls are not hedged.
func (p *peer) latency(method string) *latency {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.latencies[method]
	if l == nil && p.kept && len(p.latencies) < maxSubjects {
		if p.latencies == nil {
			p.latencies = make(map[string]*latency)
		}
		l = new(latency)
		p.latencies[method] = l
	}
	return l
}

// add takes the time of one call.
func (l *latency) add(d time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent[l.count%keptLatencies] = d
	l.count++
	// Sorting is dear, and one call more or less changes little.
	if l.count < enoughLatencies || l.count%(enoughLatencies/2) != 0 {
		return
	}
	sorted := slices.Clone(l.recent[:min(l.count, keptLatencies)])
	slices.Sort(sorted)
	l.limit = sorted[int(slowShare*float64(len(sorted)))]
}

// slow ticks once when a call that begins now is slow; never before enough is
// known.
func (l *latency) slow() (<-chan time.Time, func()) {
	if l == nil {
		return nil, func() {}
	}
	l.mu.Lock()
	limit := l.limit
	l.mu.Unlock()
	if limit == 0 {
		return nil, func() {}
	}
	t := time.NewTimer(limit)
	return t.C, func() { t.Stop() }
}
