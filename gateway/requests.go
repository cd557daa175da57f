package gateway

import (
	"context"
	"sync/atomic"
)

// requests counts what is underway and tells it of the end.
type requests struct {
	lifetime *lifetime
	count    atomic.Int64
	idle     chan struct{} // one token: look at count again
}

func newRequests() requests {
	return requests{idle: make(chan struct{}, 1), lifetime: newLifetime()}
}

func (r *requests) begin() { r.count.Add(1) }

func (r *requests) end() {
	if r.count.Add(-1) == 0 {
		select {
		case r.idle <- struct{}{}:
		default:
		}
	}
}

func (r *requests) drain()         { r.lifetime.end() }
func (r *requests) draining() bool { return r.lifetime.ended() }

// wait returns once nothing is underway.
func (r *requests) wait(ctx context.Context) error {
	for r.count.Load() > 0 {
		select {
		case <-r.idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
