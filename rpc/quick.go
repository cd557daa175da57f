package rpc

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A handler is quick while its calls take less than this on average. One that
	// waits for anything is not.
	quickBelow = 30 * time.Microsecond
	// paceFirst is what is believed of a handler before its first call.
	paceFirst = 100 * time.Microsecond
	// paceMost is what the longest call counts as, which keeps one that the
	// system held up from weighing like a hundred.
	paceMost = 2 * time.Millisecond
	// paceWeight is how many calls make the average.
	paceWeight = 64
	// quickStuck is how long calls wait behind one that does not return.
	quickStuck = time.Millisecond
	// quickShare is how many waiting calls are worth one more goroutine.
	quickShare = 8
)

// A pace is how long the calls of an endpoint take on average.
type pace struct{ average atomic.Int64 }

func (p *pace) note(took time.Duration) {
	was := p.average.Load()
	if was == 0 {
		was = int64(paceFirst)
	}
	// Of two calls that end at once one may not count.
	p.average.Store(max(1, was+(int64(min(took, paceMost))-was)/paceWeight))
}

func (p *pace) quick() bool {
	average := p.average.Load()
	return average != 0 && average < int64(quickBelow)
}

// quickCalls are calls that wait for a goroutine and will not need it for long:
// a few of them serve all, one after another, since waking one for each costs
// more than they do. When a call does not return after all, those behind it go on
// without it, a millisecond later; when those stay too there are twice as many
// goroutines each time.
type quickCalls struct {
	workers *workers

	mu     sync.Mutex
	jobs   []job
	next   int // in jobs; those before it are gone
	active int // goroutines
	taken  uint64
	seen   uint64 // of taken, when the timer was set
	given  uint64 // goroutines that came then, each of which takes one at least
	timer  *time.Timer
	armed  bool
}

var _ job = (*quickCalls)(nil)

func (q *quickCalls) run(c job) {
	q.mu.Lock()
	if q.next > quickShare && 2*q.next > len(q.jobs) {
		q.jobs, q.next = slices.Delete(q.jobs, 0, q.next), 0
	}
	q.jobs = append(q.jobs, c)
	more := q.active == 0 || q.active < runtime.GOMAXPROCS(0) && len(q.jobs)-q.next > quickShare*q.active
	if more {
		q.active++
	} else if !q.armed {
		q.arm() // all that run may be about to stay
	}
	q.mu.Unlock()
	if more {
		q.workers.run(q)
	}
}

// serve serves calls until none waits.
func (q *quickCalls) serve() {
	whole := false
	defer func() {
		if !whole { // a handler has ended its goroutine
			q.workers.run(q)
		}
	}()
	for {
		c := q.take()
		if c == nil {
			whole = true
			return
		}
		c.serve()
	}
}

func (q *quickCalls) take() job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == len(q.jobs) {
		q.jobs, q.next = q.jobs[:0], 0
		q.active--
		return nil
	}
	c := q.jobs[q.next]
	q.jobs[q.next] = nil
	q.next++
	q.taken++
	if q.next == len(q.jobs) {
		q.jobs, q.next = q.jobs[:0], 0
	} else if !q.armed {
		q.arm()
	}
	return c
}

// arm sets the timer that looks whether calls wait in vain. q.mu is held.
func (q *quickCalls) arm() {
	q.armed, q.seen, q.given = true, q.taken, 0
	if q.timer == nil {
		q.timer = time.AfterFunc(quickStuck, q.look)
		return
	}
	q.timer.Reset(quickStuck)
}

// look gives calls that wait behind some that do not return more goroutines.
func (q *quickCalls) look() {
	q.mu.Lock()
	waiting, more := len(q.jobs)-q.next, 0
	q.armed = false
	if waiting > 0 && q.taken-q.seen <= q.given {
		more = min(waiting, max(1, q.active)) // all that run stay
		q.active += more
	}
	if waiting > 0 {
		q.arm()
		q.given = uint64(more)
	}
	q.mu.Unlock()
	for range more {
		q.workers.run(q)
	}
}
