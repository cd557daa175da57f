package main

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	maxFailed = 100    // calls that fail before a load is given up
	maxOpen   = 10_000 // calls of an open loop at a time
)

// A load is what a client process is asked for.
type load struct {
	Size     int           `json:"size"`
	InFlight int           `json:"inflight"` // closed loop: each caller calls when its last call has ended
	Rate     float64       `json:"rate"`     // open loop: calls begin at this rate, whatever becomes of earlier ones
	Duration time.Duration `json:"duration"`
	Count    int           `json:"count"` // a stream or a batch of events
}

// A result is what became of a load.
type result struct {
	Calls   int64         `json:"calls"`
	Failed  int64         `json:"failed"`
	Error   string        `json:"error"` // the first that failed
	Elapsed time.Duration `json:"elapsed"`
	CPU     time.Duration `json:"cpu"`
	Mallocs int64         `json:"mallocs"` // -1 if they cannot be counted
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	P999    time.Duration `json:"p999"`
	Behind  int64         `json:"behind"` // calls of an open loop that were due and not begun
}

// A loader runs one load.
type loader struct {
	call   func(context.Context) error
	pause  func(time.Duration)
	calls  atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[string]

	mu    sync.Mutex
	times [][]time.Duration // of each caller; what they are sorted into costs more than to keep them
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(100, int64(time.Minute), 2)
}

// run measures a load.
func run(ctx context.Context, c *client, o load) result {
	l := &loader{pause: pause}
	var work func() int64
	switch {
	case o.Count > 0:
		work = func() int64 { return l.transfer(ctx, c, o) }
	case o.Rate > 0:
		l.call = c.call(o.Size)
		work = func() int64 { return l.open(ctx, o) }
	default:
		l.call = c.call(o.Size)
		work = func() int64 { return l.closed(ctx, o) }
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, start := usedCPU(), time.Now()
	behind := work()
	elapsed := time.Since(start)
	cpu = usedCPU() - cpu
	runtime.ReadMemStats(&after)
	times := l.histogram()
	r := result{
		Calls: l.calls.Load(), Failed: l.failed.Load(), Elapsed: elapsed, CPU: cpu, Behind: behind,
		Mallocs: int64(after.Mallocs - before.Mallocs),
		P50:     time.Duration(times.ValueAtQuantile(50)), P99: time.Duration(times.ValueAtQuantile(99)), P999: time.Duration(times.ValueAtQuantile(99.9)),
	}
	if first := l.first.Load(); first != nil {
		r.Error = *first
	}
	return r
}

// histogram sorts the times of all callers, in nanoseconds.
func (l *loader) histogram() *hdrhistogram.Histogram {
	h := newHistogram()
	for _, t := range slices.Concat(l.times...) {
		_ = h.RecordValue(int64(t)) // longer than a minute is a failure
	}
	return h
}

// closed keeps a number of calls in flight.
func (l *loader) closed(ctx context.Context, o load) int64 {
	var over atomic.Bool
	timer := time.AfterFunc(o.Duration, func() { over.Store(true) })
	defer timer.Stop()
	var callers sync.WaitGroup
	for range o.InFlight {
		times := make([]time.Duration, 0, 512)
		callers.Go(func() {
			for !over.Load() && l.failed.Load() < maxFailed {
				start := time.Now()
				if l.did(l.call(ctx)) {
					times = append(times, time.Since(start))
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.times = append(l.times, times)
		})
	}
	callers.Wait()
	return 0
}

// open begins calls when they are due, and counts their latency from then: a
// contender that holds up calls cannot hide it by being asked less.
func (l *loader) open(ctx context.Context, o load) int64 {
	total := int64(o.Rate * o.Duration.Seconds())
	times := make([]time.Duration, 0, total)
	room := make(chan struct{}, maxOpen)
	var callers sync.WaitGroup
	start := time.Now()
	n := int64(0)
	for ; n < total && time.Since(start) < o.Duration*2 && l.failed.Load() < maxFailed; n++ {
		due := start.Add(time.Duration(float64(n) / o.Rate * float64(time.Second)))
		if early := time.Until(due); early > 0 {
			l.pause(early)
		}
		room <- struct{}{}
		callers.Go(func() {
			defer func() { <-room }()
			if !l.did(l.call(ctx)) {
				return
			}
			took := time.Since(due)
			l.mu.Lock()
			defer l.mu.Unlock()
			times = append(times, took)
		})
	}
	callers.Wait()
	l.times = append(l.times, times)
	return total - n
}

// transfer is one stream or one batch of events.
func (l *loader) transfer(ctx context.Context, c *client, o load) int64 {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if l.did(c.transfer(ctx, o.Size, o.Count)) {
		l.calls.Store(int64(o.Count))
	}
	return 0
}

// did counts a call and tells whether it went well.
func (l *loader) did(err error) bool {
	if err == nil {
		l.calls.Add(1)
		return true
	}
	l.failed.Add(1)
	what := err.Error()
	l.first.CompareAndSwap(nil, &what)
	return false
}
