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
	calls int
	total time.Duration

	least time.Duration // the mean latency of calls that do not wait for each other
	eager bool          // the limit doubles: it was never too high yet
	tried time.Time
	trial *trial
}

// A trial is what there was before half as many calls were let in.
type trial struct {
	allowed int
	latency time.Duration
	routine bool // nothing was wrong
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
	return l.allowed, true
}

// leave counts a call that has ended. counts says that its latency is one.
func (l *limit) leave(began, now time.Time, counts bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atWork--
	if !counts || began.Before(l.began) {
		return
	}
	l.calls++
	l.total += now.Sub(began)
	if l.calls >= sampleCalls && now.Sub(l.began) >= sampleTime {
		l.learn(now, l.total/time.Duration(l.calls))
	}
}

// learn ends a sample whose mean latency is given.
func (l *limit) learn(now time.Time, latency time.Duration) {
	full := l.full
	switch {
	case l.trial != nil:
		l.judge(now, latency)
	case l.least == 0:
		l.least = latency
	case !full:
		l.least += (latency - l.least) / settled
	case l.above(latency, l.slowdown):
		l.halve(now, latency, false)
	case now.Sub(l.tried) >= trialEvery:
		l.halve(now, latency, true)
	default:
		if latency < l.least {
			l.least += (latency - l.least) / settled
		}
		step := max(1, l.allowed/growth)
		if l.eager {
			step = l.allowed
		}
		l.allowed = min(l.allowed+step, l.most)
	}
	l.began, l.calls, l.total, l.full = now, 0, 0, false
}

func (l *limit) above(latency time.Duration, times float64) bool {
	return float64(latency) > times*float64(l.least)
}

// halve tries whether half as many calls are faster.
func (l *limit) halve(now time.Time, latency time.Duration, routine bool) {
	l.trial = &trial{allowed: l.allowed, latency: latency, routine: routine}
	l.allowed = max(1, l.allowed/2)
	l.tried = now
	l.eager = false
}

// judge ends a trial, or goes on with half of the half.
func (l *limit) judge(now time.Time, latency time.Duration) {
	t := l.trial
	l.trial = nil
	switch {
	case float64(latency) >= faster*float64(t.latency):
		// They do not wait for each other, or not here.
		l.allowed, l.least = t.allowed, latency
	case l.allowed == 1:
		l.least = latency
	case !t.routine && !l.above(latency, asGood):
		// As fast as ever.
	default:
		l.halve(now, latency, t.routine)
	}
}
