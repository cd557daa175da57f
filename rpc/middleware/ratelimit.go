package middleware

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// RateLimitConfig configures a RateLimit. The zero value works; negative
// numbers count as zero.
type RateLimitConfig struct {
	// PerSecond is how many calls a second there may be in the long run. 0
	// means 100.
	PerSecond float64
	// Burst is how many of them may come at once. 0 means those of a second, at
	// least one.
	Burst int
	// By names what is limited: calls with the same name share a limit. nil
	// limits each service and method by itself. A caller's From is what it says
	// of itself, and metadata is too unless a gateway has set it.
	By func(*rpc.Request) string
	// Keys is how many limits there may be. Above it the least recently used
	// one is forgotten, and its next call begins with a full burst. 0 means
	// 1024.
	Keys int
}

// RateLimit turns away calls above a rate as resource_exhausted, refused, with
// the time until the next may come as the retry. Nobody waits and nothing is
// reserved: calls that come back together compete.
//
// The opening of a stream counts as a call. The server's own methods Debug.* are
// calls like any others, which matters where By lumps methods together.
func RateLimit(cfg RateLimitConfig) rpc.Middleware {
	cfg.PerSecond = or(cfg.PerSecond, 100)
	cfg.Burst = or(cfg.Burst, max(1, int(cfg.PerSecond)))
	cfg.Keys = or(cfg.Keys, maxMethods)
	type key struct {
		method
		by string
	}
	keyOf, what := func(req *rpc.Request) key { return key{method: methodOf(req)} }, "in all"
	if by := cfg.By; by != nil {
		keyOf, what = func(req *rpc.Request) key { return key{by: by(req)} }, "from this caller"
	}
	limits := newStates[key](cfg.Keys, func() *rate.Limiter { return rate.NewLimiter(rate.Limit(cfg.PerSecond), cfg.Burst) })
	return func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			limit, now := limits.of(keyOf(req)), time.Now()
			if limit.AllowN(now, 1) {
				return next(ctx, req)
			}
			wait := time.Duration((1 - limit.TokensAt(now)) / cfg.PerSecond * float64(time.Second))
			return nil, refuse(ctx, req, bus.ResourceExhausted, bus.RetryAfter(wait+1), "%s takes %g calls a second %s", req.Method, cfg.PerSecond, what)
		}
	}
}
