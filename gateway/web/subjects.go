package web

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	maxSubjects = 1000
	// subjectIdle is how long nothing comes of a topic that makes room for another.
	subjectIdle = time.Minute
	// rateSpan is the window of the rate of a subject.
	rateSpan = 5 * time.Second
)

// subjects are the topics that are known: the broker has subscriptions to them,
// or events have been seen. Its methods may be called from any goroutine.
type subjects struct {
	mu    sync.Mutex
	known map[string]*subject
	more  map[string]bool // names that did not fit, up to maxSubjects of them
	full  time.Time       // when room was last looked for
}

type subject struct {
	subscribers int
	met         time.Time // when it was last asked for or heard of
	last        time.Time // when an event was last seen
	// of the window, and of the one before it
	window           int64
	recent, before   uint64
	recentB, beforeB uint64
}

// A subjectData is a topic on the page of events.
type subjectData struct {
	Name        string  `json:"name"`
	Subscribers int     `json:"subscribers"`
	Rate        numeral `json:"rate"`
	Bytes       numeral `json:"bytes_per_s"`
	Last        int64   `json:"last"`
}

func newSubjects() *subjects {
	return &subjects{known: make(map[string]*subject), more: make(map[string]bool)}
}

// meet returns a subject, nil if there are too many.
func (s *subjects) meet(name string, now time.Time) *subject {
	one := s.known[name]
	if one == nil {
		if len(s.known) >= maxSubjects {
			s.makeRoom(now)
		}
		if len(s.known) >= maxSubjects {
			if len(s.more) < maxSubjects {
				s.more[name] = true
			}
			return nil
		}
		one = &subject{}
		s.known[name] = one
	}
	one.met = now
	return one
}

// makeRoom forgets, once a second at most, up to a quarter of the subjects: those
// without subscribers of which nobody has heard for longest.
func (s *subjects) makeRoom(now time.Time) {
	if now.Sub(s.full) < time.Second {
		return
	}
	s.full = now
	var idle []string
	for name, one := range s.known {
		if one.subscribers == 0 && now.Sub(one.met) > subjectIdle {
			idle = append(idle, name)
		}
	}
	if len(idle) == 0 {
		return
	}
	slices.SortFunc(idle, func(a, b string) int {
		return cmp.Or(s.known[a].met.Compare(s.known[b].met), strings.Compare(a, b))
	})
	for _, name := range idle[:min(len(idle), maxSubjects/4)] {
		delete(s.known, name)
	}
	clear(s.more)
}

// know adds a topic that somebody asks for.
func (s *subjects) know(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet(name, time.Now())
}

// saw takes over that an event has been seen.
func (s *subjects) saw(name string, size int) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.meet(name, now)
	if one == nil {
		return
	}
	one.advance(now)
	one.recent++
	one.recentB += uint64(size)
	one.last = now
}

func (o *subject) advance(now time.Time) {
	window := now.Unix() / int64(rateSpan/time.Second)
	if window == o.window {
		return
	}
	o.before, o.beforeB = 0, 0
	if window == o.window+1 {
		o.before, o.beforeB = o.recent, o.recentB
	}
	o.recent, o.recentB, o.window = 0, 0, window
}

// subscribed takes over who subscribes to what, as the broker tells.
func (s *subjects) subscribed(counts map[string]int) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, one := range s.known {
		one.subscribers = counts[name]
	}
	for name, n := range counts {
		if wire.CheckPattern(name) != nil {
			continue
		}
		if one := s.meet(name, now); one != nil {
			one.subscribers = n
		}
	}
}

// list returns the subjects that a filter covers, in order.
func (s *subjects) list(now time.Time) (all []subjectData, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = []subjectData{}
	for name, one := range s.known {
		one.advance(now)
		seconds := (rateSpan + time.Duration(now.UnixNano())%rateSpan).Seconds()
		d := subjectData{Name: name, Subscribers: one.subscribers, Rate: unknownNumber(), Bytes: unknownNumber(), Last: milli(one.last)}
		if !one.last.IsZero() {
			d.Rate, d.Bytes = numeral(float64(one.recent+one.before)/seconds), numeral(float64(one.recentB+one.beforeB)/seconds)
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b subjectData) int { return strings.Compare(a.Name, b.Name) })
	return all, len(s.more)
}

// patterns are subscriptions that together cover the subjects that are known, one
// or two for each first token: the first maxRoots of them.
func (s *subjects) patterns() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]bool)
	for name := range s.known {
		root, _, deep := strings.Cut(name, ".")
		patterns := []string{root}
		if deep {
			patterns = append(patterns, root+".>")
		}
		for _, p := range patterns {
			if wire.CheckPattern(p) == nil {
				all[p] = true
			}
		}
	}
	sorted := slices.Sorted(maps.Keys(all))
	return sorted[:min(len(sorted), maxRoots)]
}
