package middleware

import (
	"sync"
	"time"
)

const (
	// A sample is this many calls, and lasts at least so long.
	sampleCalls = 32
	sampleTime  = 100 * time.Millisecond
	// So often fewer calls are tried, if there are always too many: the least
	// latency is known only while they do not wait for each other.
	trialEvery = 10 * time.Second
	// Half as many calls are faster if they take less than four fifths, and as
	// fast as they can be within five quarters of the least.
	faster  = 0.8
	asGood  = 1.25
	growth  = 8 // an eighth at a time
	settled = 8 // the least latency follows by an eighth
)

// An outcome is what a call says about latency.
type outcome uint8

const (
	nothing  outcome = iota
	answered         // in time
	late             // it ran out of time
)

// A limit learns how many calls may be at work at once. Its clock is that of the
// calls it is told of.
type limit struct {
	most     int
	slowdown float64

	mu      sync.Mutex
	allowed int
	atWork  int

	// The sample under way: calls that began and ended in it.
	began time.Time
	full  bool // they came up against the limit
	peak  int  // most that were at work
	calls int
	late  int // of them ran out of time
	total time.Duration

	least time.Duration // the mean latency of calls that do not wait for each other
	eager bool          // the limit doubles: nothing says that it may be too high
	tried time.Time
	trial *trial
}

// A trial is what there was before half as many calls were let in.
type trial struct {
	allowed int
	latency time.Duration
	deep    bool // until fewer are not faster, whatever is known as the least
	origin  int  // what was allowed before the first half of a half
}

func newLimit(cfg ShedConfig, now time.Time) *limit {
	return &limit{most: cfg.Most, slowdown: cfg.Slowdown, allowed: cfg.Start, began: now, tried: now, eager: true}
}

// enter counts a call that begins, if one may, and returns the limit.
func (l *limit) enter() (allowed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.atWork >= l.allowed {
		l.full = true
		return l.allowed, false
	}
	l.atWork++
	l.peak = max(l.peak, l.atWork)
	return l.allowed, true
}

// leave counts a call that has ended, as a latency unless it came to nothing.
func (l *limit) leave(began, now time.Time, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atWork--
	if o == nothing || began.Before(l.began) {
		return
	}
	l.calls++
	l.total += now.Sub(began)
	if o == late {
		l.late++
	}
	if l.calls >= sampleCalls && now.Sub(l.began) >= sampleTime {
		l.learn(now, l.total/time.Duration(l.calls))
	}
}

// learn ends a sample whose mean latency is given.
func (l *limit) learn(now time.Time, latency time.Duration) {
	// Where calls run out of time, latency says no more how overloaded it is,
	// and there may be fewer of them than the limit has ever seen.
	lost := l.late >= l.calls/2
	slow := float64(latency) > l.slowdown*float64(l.least)
	due := now.Sub(l.tried) >= trialEvery
	switch {
	case l.trial != nil:
		l.judge(now, latency, lost)
	case l.least == 0:
		l.least = latency
	case lost && (slow || due), l.full && due:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, deep: true, origin: l.allowed})
	case lost:
	case l.full && slow:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, origin: l.allowed})
	case l.full:
		l.least += min(0, latency-l.least) / settled
		l.grow()
	default:
		l.least += (latency - l.least) / settled
	}
	l.began, l.calls, l.total, l.late, l.full, l.peak = now, 0, 0, 0, false, l.atWork
}

func (l *limit) grow() {
	step := max(1, l.allowed/growth)
	if l.eager {
		step = l.allowed
	}
	l.allowed = min(l.allowed+step, l.most)
}

// halve tries whether half as many calls are faster.
func (l *limit) halve(now time.Time, t *trial) {
	l.trial, l.tried, l.eager = t, now, false
	l.allowed = max(1, min(l.allowed, l.peak)/2)
}

// judge ends a trial, or goes on with half of the half.
func (l *limit) judge(now time.Time, latency time.Duration, lost bool) {
	t := l.trial
	l.trial = nil
	switch {
	case lost && l.allowed > 1:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, deep: true, origin: t.origin})
	case lost:
		// Not even one has the time: that is not a matter of how many.
		l.allowed, l.least = t.origin, latency
	case float64(latency) >= faster*float64(t.latency):
		// They do not wait for each other, or not here. If that is news, all
		// that was learnt is old.
		l.allowed, l.least, l.eager = t.allowed, latency, !t.deep
	case l.allowed == 1:
		l.least = latency
	case !t.deep && float64(latency) <= asGood*float64(l.least):
		// As fast as ever.
	default:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, deep: t.deep, origin: t.origin})
	}
}
