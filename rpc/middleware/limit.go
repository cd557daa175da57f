package middleware

import (
	"sync"
	"time"
)

const (
	// A sample is this many calls at least, twice as many in a trial, of so long
	// at least.
	sampleCalls = 32
	sampleTime  = 100 * time.Millisecond
	// It ends when all but a tenth of them have: the others count as they are.
	stragglers = 10
	// So often fewer calls are tried, if there are always too many: the least
	// latency is known only while they do not wait for each other.
	trialEvery = 10 * time.Second
	// Half as many calls are faster if they take less than four fifths, and fast
	// enough within one and a half times the least.
	faster    = 0.8
	enough    = 1.5
	growth    = 8 // an eighth at a time
	settled   = 8 // the least latency follows by an eighth
	corrected = 4 // and by a quarter after a trial
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
	sample  sample

	least time.Duration // the mean latency of calls that do not wait for each other
	eager bool          // the limit doubles: nothing says that it may be too high
	tried time.Time
	trial *trial
}

// A sample is the latency of some calls that begin one after the other while
// as many are at work as the limit allows.
type sample struct {
	number uint64
	least  int // how many calls it needs
	made   time.Time
	round  int       // how many more must end that were at work when the limit changed
	begun  time.Time // when its first call could; zero until then
	full   bool      // calls came up against the limit
	peak   int       // most that were at work

	calls  int
	late   int
	total  time.Duration // of those that have ended
	open   int
	offset time.Duration // sum of when the open ones began, counted from begun
}

// A trial is what there was before half as many calls were let in.
type trial struct {
	allowed int
	latency time.Duration
	lost    bool // most ran out of time: the true latency is not known
	deep    bool // until fewer are not faster, whatever is known as the least
	origin  int  // what was allowed before the first half of a half
}

func newLimit(cfg ShedConfig, now time.Time) *limit {
	l := &limit{most: cfg.Most, slowdown: cfg.Slowdown, allowed: cfg.Start, tried: now, eager: true}
	l.sample = sample{number: 1, least: sampleCalls, made: now, begun: now}
	return l
}

// enter counts a call that begins, if one may, and returns the limit and the
// sample that the call belongs to, 0 if none.
func (l *limit) enter(now time.Time) (number uint64, allowed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.sample
	ok = l.atWork < l.allowed
	if !ok {
		s.full = true
	}
	if s.begun.IsZero() && s.round <= 0 && (!ok || now.Sub(s.made) >= max(sampleTime, l.least)) {
		s.begun = now
	}
	if !ok {
		return 0, l.allowed, false
	}
	l.atWork++
	s.peak = max(s.peak, l.atWork)
	if s.begun.IsZero() || s.complete(now) {
		return 0, l.allowed, true
	}
	s.calls++
	s.open++
	s.offset += now.Sub(s.begun)
	return s.number, l.allowed, true
}

// leave counts a call that has ended, with the number that enter gave it.
func (l *limit) leave(number uint64, began, now time.Time, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atWork--
	s := &l.sample
	s.round--
	if number != s.number {
		return
	}
	s.open--
	s.offset -= began.Sub(s.begun)
	switch o {
	case nothing:
		s.calls--
	case late:
		s.late++
		fallthrough
	case answered:
		s.total += now.Sub(began)
	}
	if s.complete(now) && s.open*stragglers <= s.calls {
		l.learn(now, (s.total+time.Duration(s.open)*now.Sub(s.begun)-s.offset)/time.Duration(s.calls))
	}
}

// complete reports whether no more calls belong to the sample.
func (s *sample) complete(now time.Time) bool {
	return s.calls >= s.least && now.Sub(s.begun) >= sampleTime
}

// learn ends a sample whose mean latency is given.
func (l *limit) learn(now time.Time, latency time.Duration) {
	// Where calls run out of time, latency says no more how overloaded it is,
	// and there may be fewer of them than the limit has ever seen.
	s := l.sample
	lost := s.late >= s.calls/2
	slow := float64(latency) > l.slowdown*float64(l.least)
	due := now.Sub(l.tried) >= trialEvery
	before := l.allowed
	switch {
	case l.trial != nil:
		l.judge(now, latency, lost)
	case l.least == 0:
		l.least = latency
	case lost && (slow || due), s.full && due:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, lost: lost, deep: true, origin: l.allowed})
	case lost:
	case s.full && slow:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, origin: l.allowed})
	case s.full:
		l.least += min(0, latency-l.least) / settled
		l.grow()
	default:
		l.least += (latency - l.least) / settled
	}
	l.sample = sample{number: s.number + 1, least: sampleCalls, made: now, peak: l.atWork}
	switch {
	case l.allowed == before:
		l.sample.begun = now
	case l.allowed < before:
		l.sample.round = l.atWork
	}
	if l.trial != nil {
		l.sample.least *= 2
	}
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
	l.allowed = max(1, min(l.allowed, l.sample.peak)/2)
}

// judge ends a trial, or goes on with half of the half.
func (l *limit) judge(now time.Time, latency time.Duration, lost bool) {
	t := l.trial
	l.trial = nil
	switch {
	case lost && l.allowed > 1:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, lost: true, deep: true, origin: t.origin})
	case lost:
		// Not even one has the time: that is not a matter of how many.
		l.allowed, l.least = t.origin, latency
	case !t.lost && float64(latency) >= faster*float64(t.latency):
		// They do not wait for each other, or not here. If that is news, all
		// that was learnt is old.
		l.allowed, l.least, l.eager = t.allowed, latency, !t.deep
	case l.allowed == 1:
		l.least = latency
	case !t.deep && float64(latency) <= enough*float64(l.least):
		// As fast as ever, as far as such a sample can tell.
		l.least += (latency - l.least) / corrected
	default:
		l.halve(now, &trial{allowed: l.allowed, latency: latency, deep: t.deep, origin: t.origin})
	}
}
