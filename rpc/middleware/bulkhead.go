package middleware

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// BulkheadConfig configures a Bulkhead. The zero value works; negative numbers
// count as zero.
type BulkheadConfig struct {
	// Calls is how many calls of a method may be at work at once. 0 means 64.
	Calls int
	// Waiting is how many more may wait for their turn. 0 means none.
	Waiting int
	// Wait is how long each of them waits at most; a caller's own time ends it
	// sooner. 0 means 1 s.
	Wait time.Duration
}

// Bulkhead keeps one method from taking all there is. A call above Calls waits
// for its turn, first come, first served; one that finds no place to wait, or
// has waited in vain, is resource_exhausted, refused, and safe to retry. A
// caller whose own time ends, or who gives up, while it waits gets that error.
//
// Each service and method has a bulkhead of its own. Of more than 1024 the least
// recently called is forgotten: calls then at work in it are not counted any
// more. The opening of a stream counts as a call, on the server's side the whole
// stream.
func Bulkhead(cfg BulkheadConfig) rpc.Middleware {
	cfg.Calls, cfg.Waiting = or(cfg.Calls, 64), max(cfg.Waiting, 0)
	cfg.Wait = time.Duration(or(int64(cfg.Wait), int64(time.Second)))
	all := newStates[method](maxMethods, func() *bulkhead {
		return &bulkhead{cfg: cfg, places: semaphore.NewWeighted(int64(cfg.Calls))}
	})
	return func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			b := all.of(methodOf(req))
			if err := b.enter(ctx, req); err != nil {
				return nil, err
			}
			defer b.places.Release(1)
			return next(ctx, req)
		}
	}
}

// A bulkhead is that of one method.
type bulkhead struct {
	cfg     BulkheadConfig
	places  *semaphore.Weighted
	waiting atomic.Int64
}

// enter takes a place, or says why there is none.
func (b *bulkhead) enter(ctx context.Context, req *rpc.Request) error {
	if b.places.TryAcquire(1) { // not before those who wait
		return nil
	}
	defer b.waiting.Add(-1)
	if b.waiting.Add(1) > int64(b.cfg.Waiting) {
		return refuse(ctx, req, bus.ResourceExhausted, bus.RetrySafe, "%s has %d calls at work and %d waiting, the most it takes", req.Method, b.cfg.Calls, b.cfg.Waiting)
	}
	patience, cancel := context.WithTimeout(ctx, b.cfg.Wait)
	defer cancel()
	if b.places.Acquire(patience, 1) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return refuse(ctx, req, bus.ResourceExhausted, bus.RetrySafe, "%s has %d calls at work, and none of them ended within %v", req.Method, b.cfg.Calls, b.cfg.Wait)
}
