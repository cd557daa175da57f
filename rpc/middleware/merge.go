package middleware

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// MergeConfig configures a Merge. The zero value works.
type MergeConfig struct {
	// For says which calls may share an answer. nil means those that the caller
	// has marked as idempotent. A server does not see that mark, so there For
	// is needed.
	For func(*rpc.Request) bool
	// Meta names the metadata in which calls must be alike to share an answer.
	// nil means all of it but the trace. Its names are sought as Metadata.Get
	// does, and an empty value is like none.
	Meta []string
}

// Merge lets calls that are alike, and at work at the same time, share one
// answer: same service, method, instance, codec, body and metadata. Who calls,
// the request's ID and the attempt do not matter; what is sent is the first
// call's request.
//
// The shared call goes on as long as one of its callers waits. Each leaves at
// its own deadline or cancel, and the others do not notice: where the first
// caller's time has been sent along, and its end has ended the call, one of the
// others sends it again. Each gets a copy of the answer, or the same error. A
// panic of the shared call is one for each of its callers.
//
// A call at work costs at most one entry, so callers bound the entries. Streams
// pass.
func Merge(cfg MergeConfig) rpc.Middleware {
	if cfg.For == nil {
		cfg.For = func(req *rpc.Request) bool { return req.Idempotent }
	}
	m := &merger{flights: make(map[string]*flight)}
	return func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			if req.Stream || !cfg.For(req) {
				return next(ctx, req)
			}
			req = inOne(req)
			return m.call(ctx, req, identity(req, cfg.Meta), next)
		}
	}
}

// timeSlack is by how much a server may end a call before its caller's own
// clock does.
const timeSlack = 50 * time.Millisecond

// A merger knows the calls at work.
type merger struct {
	mu      sync.Mutex
	flights map[string]*flight
}

// A flight is a call at work, with those who wait for it.
type flight struct {
	merger *merger
	key    string
	cancel context.CancelFunc
	first  time.Time     // the deadline of who began it, zero if none
	done   chan struct{} // closed when the rest is known

	waiting int       // guarded by merger.mu, as until is
	until   time.Time // when the last of them leaves, zero if never

	shared bool // more than one has waited
	res    *rpc.Response
	err    error
	panic  string
}

func (m *merger) call(ctx context.Context, req *rpc.Request, key string, next rpc.HandlerFunc) (*rpc.Response, error) {
	for {
		f, first := m.join(ctx, req, key, next)
		select {
		case <-f.done:
		case <-ctx.Done():
			f.leave()
			return nil, ctx.Err()
		}
		if f.panic != "" {
			panic(f.panic)
		}
		if f.err != nil && !first && f.outOfTime() && ctx.Err() == nil {
			continue
		}
		if f.shared {
			return clone(f.res), f.err
		}
		return f.res, f.err
	}
}

// join waits for the call with this key, or begins it.
func (m *merger) join(ctx context.Context, req *rpc.Request, key string, next rpc.HandlerFunc) (f *flight, first bool) {
	until, bounded := ctx.Deadline()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[key]; f != nil {
		f.waiting++
		f.shared = true
		if !bounded || f.until.IsZero() {
			f.until = time.Time{}
		} else if until.After(f.until) {
			f.until = until
		}
		return f, false
	}
	f = &flight{merger: m, key: key, first: until, until: until, waiting: 1, done: make(chan struct{})}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	m.flights[key] = f
	// It may outlive who began it, and the bytes of the request. It ends with
	// next, and the last of those who wait for it waits for that.
	own := req.Clone()
	go f.run(&flightContext{Context: life, flight: f}, own, next)
	return f, true
}

func (f *flight) run(ctx context.Context, req *rpc.Request, next rpc.HandlerFunc) {
	returned := false
	var res *rpc.Response
	var err error
	defer func() {
		if !returned {
			err = bus.Errorf(bus.Internal, "%s ended without an answer", req.Method)
			if v := recover(); v != nil {
				f.panic = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
			}
		}
		f.cancel()
		f.merger.mu.Lock()
		f.merger.remove(f)
		f.res, f.err = res, err
		f.merger.mu.Unlock()
		close(f.done)
	}()
	res, err = next(ctx, req)
	returned = true
}

// leave is called by who waits no longer. The last one ends the call.
func (f *flight) leave() {
	m := f.merger
	m.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last {
		m.remove(f)
	}
	m.mu.Unlock()
	if !last {
		return
	}
	f.cancel()
	<-f.done
	if f.panic != "" {
		panic(f.panic)
	}
}

// remove keeps others from joining. m.mu is held.
func (m *merger) remove(f *flight) {
	if m.flights[f.key] == f {
		delete(m.flights, f.key)
	}
}

// outOfTime reports whether the call has ended because the time of who began it
// did.
func (f *flight) outOfTime() bool {
	return bus.AsError(f.err).Code == bus.DeadlineExceeded && !f.first.IsZero() && time.Until(f.first) <= timeSlack
}

// A flightContext is the context of a shared call: it has the values of who
// began it, and ends when nobody waits any more.
type flightContext struct {
	context.Context
	flight *flight
}

// Deadline returns when the last of those who wait so far will leave.
func (c *flightContext) Deadline() (time.Time, bool) {
	c.flight.merger.mu.Lock()
	defer c.flight.merger.mu.Unlock()
	return c.flight.until, !c.flight.until.IsZero()
}
