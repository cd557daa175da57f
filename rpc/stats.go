package rpc

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// EndpointStats is what a server knows of one of its endpoints since it
// started. Durations are in nanoseconds on the wire.
type EndpointStats struct {
	Name string `json:"name"`
	// Requests counts the calls that were taken, Errors those of them that
	// ended with an error.
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	// Refused counts the calls that were turned away before their handler
	// could run because too many were at work; they are in neither of the above.
	Refused uint64 `json:"refused"`
	// LastError is "code: message" of the latest error, "" if there was none.
	LastError string `json:"last_error"`
	// Processing is the time spent on all calls together.
	Processing time.Duration `json:"processing"`
	// P50 and P99 are exact to about an eighth, and at most 2 minutes.
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
	// Latency counts the calls by the time they took: pairs of a bucket's number
	// and its count, in order, without the buckets that are empty. See
	// [LatencyBucket]. The difference of two readings tells the quantiles of the
	// time between them.
	Latency []uint64 `json:"latency,omitempty"`
	// Callers counts the requests by where they came from, as Request.From says
	// it: up to 64 names, the rest together as "other", and those that do not
	// say as "".
	Callers map[string]uint64 `json:"callers,omitempty"`
}

// A counter holds the numbers of one endpoint. Counting allocates nothing.
type counter struct {
	requests   atomic.Uint64
	errors     atomic.Uint64
	refused    atomic.Uint64
	processing atomic.Int64
	last       atomic.Pointer[string]
	latency    atomic.Pointer[histogram] // nil before the first call: most endpoints are seldom called
	callers    callers
}

func (c *counter) done(took time.Duration) {
	c.requests.Add(1)
	c.processing.Add(int64(took))
	h := c.latency.Load()
	if h == nil {
		c.latency.CompareAndSwap(nil, new(histogram))
		h = c.latency.Load()
	}
	h.add(took)
}

func (c *counter) failed(text string) {
	c.errors.Add(1)
	c.last.Store(&text)
}

func (c *counter) read(name string) EndpointStats {
	s := EndpointStats{
		Name: name, Requests: c.requests.Load(), Errors: c.errors.Load(), Refused: c.refused.Load(),
		Processing: time.Duration(c.processing.Load()),
	}
	if h := c.latency.Load(); h != nil {
		s.P50, s.P99 = h.quantile(0.50), h.quantile(0.99)
		s.Latency = h.pairs()
	}
	s.Callers = c.callers.read()
	if last := c.last.Load(); last != nil {
		s.LastError = *last
	}
	return s
}

const (
	// A bucket spans an eighth of a power of two, from a microsecond to two
	// minutes; what is outside counts in the first or the last.
	histogramSteps   = 8
	histogramFirst   = 10 // 2^10 ns
	histogramLast    = 36 // 2^37 ns, over two minutes
	histogramBuckets = (histogramLast - histogramFirst + 1) * histogramSteps
)

// A histogram counts durations in buckets of fixed bounds.
type histogram struct {
	buckets [histogramBuckets]atomic.Uint64
}

func (h *histogram) add(d time.Duration) { h.buckets[bucketOf(d)].Add(1) }

func bucketOf(d time.Duration) int {
	if d < 1<<histogramFirst {
		return 0
	}
	octave := bits.Len64(uint64(d)) - 1
	if octave > histogramLast {
		return histogramBuckets - 1
	}
	step := int(d>>(octave-3)) & (histogramSteps - 1)
	return (octave-histogramFirst)*histogramSteps + step
}

// LatencyBuckets is the number of buckets of [EndpointStats].Latency.
const LatencyBuckets = histogramBuckets

// LatencyBucket is the longest time that counts in a bucket, numbered from 0: each
// spans an eighth of a power of two from 1.024 µs on. What is shorter is in the
// first, what is longer than the last in the last.
func LatencyBucket(number int) time.Duration {
	return upperBound(min(max(number, 0), histogramBuckets-1))
}

// upperBound is the longest duration that counts in a bucket.
func upperBound(bucket int) time.Duration {
	octave, step := histogramFirst+bucket/histogramSteps, bucket%histogramSteps
	return time.Duration(1)<<octave + time.Duration(step+1)<<(octave-3) - 1
}

// quantile returns an upper bound of the q-quantile, 0 without any durations.
// Durations added meanwhile may or may not be counted.
func (h *histogram) quantile(q float64) time.Duration {
	var counts [histogramBuckets]uint64
	var total uint64
	for i := range h.buckets {
		counts[i] = h.buckets[i].Load()
		total += counts[i]
	}
	if total == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(q*float64(total))))
	for i, n := range counts {
		if n >= rank {
			return upperBound(i)
		}
		rank -= n
	}
	return upperBound(histogramBuckets - 1)
}

// pairs are the buckets that are not empty: number, count, number, count.
func (h *histogram) pairs() []uint64 {
	var out []uint64
	for i := range h.buckets {
		if n := h.buckets[i].Load(); n > 0 {
			out = append(out, uint64(i), n)
		}
	}
	return out
}
