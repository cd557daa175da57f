package cli

import (
	"math"
	"time"
)

// latencies counts durations in buckets that grow by a hundredth each, from a
// microsecond to some 40 minutes, so that quantiles are exact to 1 % however
// many durations there are. What is outside counts in the first or the last.
type latencies struct {
	buckets [2200]uint64
	total   uint64
	max     time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.total++
	l.max = max(l.max, d)
	n := 0
	if d > time.Microsecond {
		n = int(math.Log(float64(d)/float64(time.Microsecond)) / math.Log(1.01))
	}
	l.buckets[min(n, len(l.buckets)-1)]++
}

// quantile returns the duration that a share q of all are not over; 0 without
// any.
func (l *latencies) quantile(q float64) time.Duration {
	if l.total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(l.total)))
	for n, count := range l.buckets {
		if rank <= count && n < len(l.buckets)-1 {
			return min(l.max, time.Duration(float64(time.Microsecond)*math.Pow(1.01, float64(n+1))))
		}
		rank -= count
	}
	return l.max
}
