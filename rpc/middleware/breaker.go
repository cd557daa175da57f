package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// BreakerConfig configures a Breaker. The zero value works; negative numbers
// count as zero.
type BreakerConfig struct {
	// Window is the time that is judged, in tenths: it moves on by a tenth of
	// itself. 0 means 10 s.
	Window time.Duration
	// Calls is how many calls of a method the window must hold before they are
	// judged. 0 means 20.
	Calls int
	// Share is the part of them, above 0 and up to 1, that must have failed for
	// the breaker to open. 0 means a half.
	Share float64
	// Rest is how long an open breaker turns calls away. 0 means 5 s.
	Rest time.Duration
	// Probes is how many calls are let through after the rest. If all of them
	// go well the breaker closes, at the first that fails it opens again. 0
	// means 3.
	Probes int
	// Failed says which errors count as failures. nil means those that speak of
	// the service or the way to it: no answer, nobody to answer, no broker, and
	// the codes internal, unavailable, data_loss and deadline_exceeded. Nobody
	// with not_found does not count: a name that nobody has is the caller's
	// mistake, and its error says so better. What is canceled counts neither
	// way, whatever Failed says.
	Failed func(*bus.Error) bool
}

// Breaker leaves a method in peace that keeps failing. While its breaker is open
// calls fail at once as unavailable, refused, with the rest of the time as the
// retry; then a few are let through, and how they end decides. While these are
// on their way all others are refused as safe to retry.
//
// Each service and method has a breaker of its own. Of more than 1024 the least
// recently called is forgotten, which closes it. The opening of a stream counts
// as a call, on the server's side the whole stream.
func Breaker(cfg BreakerConfig) rpc.Middleware {
	cfg.Window = time.Duration(or(int64(cfg.Window), int64(10*time.Second)))
	cfg.Rest = time.Duration(or(int64(cfg.Rest), int64(5*time.Second)))
	cfg.Calls, cfg.Probes = or(cfg.Calls, 20), or(cfg.Probes, 3)
	cfg.Share = min(or(cfg.Share, 0.5), 1)
	if cfg.Failed == nil {
		cfg.Failed = func(e *bus.Error) bool {
			return failed(e) && (e.End != bus.Nobody || e.Code != bus.NotFound)
		}
	}
	all := newStates[method](maxMethods, func() *breaker { return newBreaker(cfg) })
	return func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			return all.of(methodOf(req)).call(ctx, req, next)
		}
	}
}

// A breaker is that of one method.
type breaker struct {
	gate   *gobreaker.TwoStepCircuitBreaker[struct{}]
	why    atomic.Pointer[string]
	opened atomic.Pointer[opening]
}

// An opening is why a breaker has opened, and until when.
type opening struct {
	why   string
	until time.Time
}

// buckets is into how many parts a window is divided.
const buckets = 10

func newBreaker(cfg BreakerConfig) *breaker {
	b := &breaker{}
	b.gate = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  uint32(cfg.Probes),
		Interval:     cfg.Window,
		BucketPeriod: max(cfg.Window/buckets, 1),
		Timeout:      cfg.Rest,
		IsExcluded:   isCanceled,
		IsSuccessful: func(err error) bool { return err == nil || !cfg.Failed(bus.AsError(err)) },
		ReadyToTrip: func(n gobreaker.Counts) bool {
			judged := n.TotalSuccesses + n.TotalFailures
			if int(judged) < cfg.Calls || float64(n.TotalFailures) < cfg.Share*float64(judged) {
				return false
			}
			why := fmt.Sprintf("%d of the last %d calls failed", n.TotalFailures, judged)
			b.why.Store(&why)
			return true
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to != gobreaker.StateOpen {
				return
			}
			o := &opening{why: "it still fails", until: time.Now().Add(cfg.Rest)}
			if from == gobreaker.StateClosed {
				o.why = *b.why.Load()
			}
			b.opened.Store(o)
		},
	})
	return b
}

func isCanceled(err error) bool {
	if err == nil {
		return false
	}
	e := bus.AsError(err)
	return e.End == bus.Cancelled || e.Code == bus.Canceled
}

func (b *breaker) call(ctx context.Context, req *rpc.Request, next rpc.HandlerFunc) (*rpc.Response, error) {
	done, err := b.gate.Allow()
	if err != nil {
		return nil, b.refuse(ctx, req, err)
	}
	returned := false
	defer func() {
		if !returned { // but panicked, or ended its goroutine
			err = bus.Errorf(bus.Internal, "%s ended without an answer", req.Method)
		}
		done(err)
	}()
	var res *rpc.Response
	res, err = next(ctx, req)
	returned = true
	return res, err
}

func (b *breaker) refuse(ctx context.Context, req *rpc.Request, err error) *bus.Error {
	o := b.opened.Load()
	if errors.Is(err, gobreaker.ErrTooManyRequests) {
		return refuse(ctx, req, bus.Unavailable, bus.RetrySafe, "%s is left in peace: %s, and whether it is well again is being tried", req.Method, o.why)
	}
	// It opens after the instant, not at it.
	rest := max(time.Until(o.until), 0) + 1
	return refuse(ctx, req, bus.Unavailable, bus.RetryAfter(rest), "%s is left in peace for %v: %s", req.Method, rest.Round(time.Millisecond), o.why)
}
