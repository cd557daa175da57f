package selector

import (
	"math"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

const (
	// tooMany calls in a row without an answer, or for Blacklist with any
	// fault, put an instance out.
	tooMany = 3
	// holdMin and holdMax bound how long it is out.
	holdMin, holdMax = time.Second, 30 * time.Second
	// blacklisted is how long Blacklist leaves an instance out.
	blacklisted = 30 * time.Second
	// memory is the time in which a latency is forgotten by two thirds.
	memory = 5 * time.Second
	// penalty is the least latency that a fault counts as: who fails fast must
	// not look good.
	penalty = time.Second
	// alike is the factor up to which latencies count as equal: less is chance,
	// and would give the fastest one everything.
	alike = 2
	// quickest keeps a forgotten latency from making load meaningless.
	quickest = 100 * time.Microsecond
)

// An Outcome says what a call tells of its instance.
type Outcome uint8

// The outcomes. What is not told of the instance, such as the end of the
// caller's patience, is Void.
const (
	Void     Outcome = iota
	Answered         // it answered, if only that the request is wrong
	Failed           // it answered with a fault of its own: internal, unavailable, overload, a broken answer
	Silent           // no answer in time, or the call was lost with it
	Nobody           // the broker says that nobody listens there
)

type absence uint8

const (
	present absence = iota
	gone            // nobody listened
	mute            // calls had no answer
	banned          // by Blacklist
)

// A node is what a Picker knows of one instance. The Picker locks it.
type node struct {
	id        string
	hash      uint64
	seen      time.Time // when the instance last showed itself
	announced int       // calls it has in flight, as of its last beat
	inFlight  int       // calls of this Picker
	latency   float64   // in seconds, as of sampled
	sampled   time.Time // zero before the first answer

	faults  int // in a row
	silent  int // in a row
	absence absence
	since   time.Time // of the latest absence, also when it is over
	until   time.Time
	hold    time.Duration // how long the latest one lasts
	probing bool          // the call that tells whether it is over is under way
}

// hear takes in what the list says of the instance.
func (n *node) hear(i *discovery.Instance) {
	n.announced, n.seen = i.InFlight, i.LastSeen
	if n.absence == gone && n.seen.After(n.since) {
		n.absence, n.probing = present, false
	}
}

// out reports whether calls should go elsewhere.
func (n *node) out(now time.Time) bool {
	switch {
	case n.absence == present:
		return false
	case now.Before(n.until):
		return true
	case n.absence == banned:
		n.absence, n.hold, n.faults, n.silent = present, 0, 0, 0
		return false
	}
	return n.probing
}

// eject puts the instance out.
func (n *node) eject(why absence, now time.Time) {
	n.hold = min(max(2*n.hold, holdMin), holdMax)
	if why == banned {
		n.hold = blacklisted
	}
	n.absence, n.since, n.until = why, now, now.Add(n.hold)
}

// report takes in how a call has ended.
func (n *node) report(c *Choice, o Outcome, strategy Strategy, now time.Time) {
	n.inFlight--
	if c.probe {
		n.probing = false
	}
	old := c.began.Before(n.since) // the absence has counted it already
	switch o {
	case Answered, Failed:
		n.silent = 0
		switch {
		case n.absence == mute, n.absence == gone && !old:
			// An answer to an earlier call shows that it lives, not that it listens.
			n.absence, n.hold = present, 0
		case n.absence == present:
			n.hold = 0
		}
	case Silent:
		if !old {
			n.silent++
		}
		if n.absence == present && n.silent >= tooMany || n.absence != banned && c.probe {
			n.eject(mute, now)
		}
	case Nobody:
		if n.absence == present || c.probe {
			n.eject(gone, now)
		}
	}
	if strategy == Blacklist && o != Void {
		n.fault(o != Answered, old, now)
	}
	if strategy == LeastLoaded {
		n.sample(o, now.Sub(c.began), now)
	}
}

// fault counts the calls that went wrong in a row.
func (n *node) fault(wrong, old bool, now time.Time) {
	switch {
	case !wrong:
		n.faults = 0
	case !old:
		if n.faults++; n.faults >= tooMany && n.absence != banned {
			n.eject(banned, now)
		}
	}
}

// sample takes in how long a call took.
func (n *node) sample(o Outcome, took time.Duration, now time.Time) {
	switch o {
	case Answered:
	case Failed, Silent:
		took = max(took, penalty)
	default:
		return
	}
	if n.sampled.IsZero() {
		n.latency = took.Seconds()
	} else {
		w := fade(now.Sub(n.sampled))
		n.latency = n.latency*w + took.Seconds()*(1-w)
	}
	n.sampled = now
}

// fade is what is left of a latency after a while.
func fade(d time.Duration) float64 { return math.Exp(-d.Seconds() / memory.Seconds()) }

// busier reports whether b is a better choice than n.
func (n *node) busier(b *node, now time.Time) bool {
	mine, theirs := float64(n.inFlight+n.announced+1), float64(b.inFlight+b.announced+1)
	if !n.sampled.IsZero() && !b.sampled.IsZero() {
		took, takes := n.latency*fade(now.Sub(n.sampled))+quickest.Seconds(), b.latency*fade(now.Sub(b.sampled))+quickest.Seconds()
		if ratio := took / takes; ratio > alike || ratio < 1/alike {
			mine *= ratio
		}
	}
	unknown := b.sampled.IsZero() && !n.sampled.IsZero()
	return theirs < mine || theirs == mine && unknown
}
