package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// ShedConfig configures a Shed. The zero value works; negative numbers count as
// zero.
type ShedConfig struct {
	// Start is how many calls of a method may be at work at once before
	// anything is known of it. 0 means 16.
	Start int
	// Most bounds what is learnt. 0 means 1024.
	Most int
	// Slowdown is how many times the latency of calls that have the service to
	// themselves is too much. 0 means 2, and less than 1.5 is as 1.5.
	Slowdown float64
}

// Shed turns calls away when more of them at once would only make each of them
// slower. How many that is, it learns for each method from the latency, whenever
// calls come up against the limit: more are let in as long as the mean stays
// below Slowdown times the least; then half as many, and half of that, until
// fewer do not make it faster. So a service of which five times is asked what it
// can do goes on doing what it can, within about Slowdown times its latency. One
// that becomes slower for other reasons has a new least latency after a moment.
//
// As long as calls neither come up against the limit nor mostly run out of time,
// nothing is done, however much their latencies differ. At a limit that stays
// full, half as many are tried every 10 s, for 64 calls, to see what the least
// latency is.
//
// To learn takes some hundred calls. For a service that does less than some
// fifty a second, or one at a time, a Bulkhead is better.
//
// Who is turned away learns it at once: resource_exhausted, refused, safe to
// retry. What counts is the latency of answers and of calls that ran out of
// time. Each service and method has a limit of its own. Of more than 1024 the
// least recently called is forgotten, and learns again. Streams pass: how long
// they last says nothing. A Bulkhead bounds them.
func Shed(cfg ShedConfig) rpc.Middleware {
	cfg.Most = or(cfg.Most, 1024)
	cfg.Start = min(or(cfg.Start, 16), cfg.Most)
	cfg.Slowdown = max(or(cfg.Slowdown, 2), 1.5)
	limits := newStates[method](maxMethods, func() *limit { return newLimit(cfg, time.Now()) })
	return func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			if req.Stream {
				return next(ctx, req)
			}
			l, began := limits.of(methodOf(req)), time.Now()
			sample, allowed, ok := l.enter(began)
			if !ok {
				return nil, refuse(ctx, req, bus.ResourceExhausted, bus.RetrySafe, "%s has %d calls at work, and more would make all of them slower", req.Method, allowed)
			}
			o := nothing // as of a panic
			defer func() { l.leave(sample, began, time.Now(), o) }()
			res, err := next(ctx, req)
			switch {
			case isLate(ctx, err):
				o = late
			case err == nil:
				o = answered
			}
			return res, err
		}
	}
}

// isLate reports whether a call ran out of time. A handler may have answered all
// the same, to nobody.
func isLate(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || err != nil && bus.AsError(err).Code == bus.DeadlineExceeded
}
