package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc/schema"
)

// An endpoint is one method of a server.
type endpoint struct {
	srv     *Server
	method  string
	kind    string // of a stream, one of discovery's Kind constants; "" is unary
	opts    handleOptions
	request schema.Schema // zero for raw handlers: nothing is known of the body
	answer  schema.Schema
	handler HandlerFunc // with the server's middleware around it
	counter counter
	pace    pace
}

// A HandleOption says something about one endpoint.
type HandleOption func(*handleOptions)

type handleOptions struct {
	description string
	idempotent  bool
	inline      bool
	internal    bool
	strict      bool
	validate    bool
	timeLimit   time.Duration // 0 is the server's
	exempt      bool          // from the limit of calls at work: the server's own endpoints
	single      bool          // only for calls to this instance
	notes       map[string]string
}

// Describe gives the endpoint a sentence for people to read, shown wherever
// endpoints are listed.
func Describe(text string) HandleOption {
	return func(o *handleOptions) { o.description = text }
}

// Idempotent declares that a call may run twice with the effect of running
// once. It is announced, so that callers, gateways among them, may try again
// when no answer came.
func Idempotent() HandleOption {
	return func(o *handleOptions) { o.idempotent = true }
}

// Note adds one entry to the endpoint's metadata in discovery. Names that begin
// with "mbus." are the protocol's own.
func Note(name, value string) HandleOption {
	return func(o *handleOptions) {
		if o.notes == nil {
			o.notes = make(map[string]string)
		}
		o.notes[name] = value
	}
}

// Inline runs the handler, and the middleware around it, on the goroutine that
// receives the calls of the whole connection. That is much faster, and right
// only for handlers that never block: not on I/O, not on another call, not on a
// lock that is held for long. While one runs, no other call is received.
func Inline() HandleOption {
	return func(o *handleOptions) { o.inline = true }
}

// Internal keeps the endpoint out of discovery. It can be called all the same.
func Internal() HandleOption {
	return func(o *handleOptions) { o.internal = true }
}

// TimeLimit is the most time that one call of the endpoint gets, in place of the
// server's Timeout: less, or more for work that is known to take long. A caller
// that asks for less gets less. A stream, which else has no limit, gets it as a
// whole. It is announced in milliseconds as the metadata "timeout". A limit that
// is not positive panics.
func TimeLimit(d time.Duration) HandleOption {
	if d <= 0 {
		panic(fmt.Sprintf("rpc: TimeLimit(%v): want more than no time", d))
	}
	return func(o *handleOptions) { o.timeLimit = d }
}

func optionsOf(opts []HandleOption) handleOptions {
	var o handleOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// timeout is the most time that one call gets.
func (e *endpoint) timeout() time.Duration {
	if e.opts.timeLimit > 0 {
		return e.opts.timeLimit
	}
	return e.srv.cfg.Timeout
}

// Strict refuses a request that has a field the request type does not know,
// with invalid_argument naming the field. Without it such fields are ignored,
// which lets callers be newer than the service.
func Strict() HandleOption {
	return func(o *handleOptions) { o.strict = true }
}

// metadata is what discovery says of the endpoint besides its name and kind.
func (e *endpoint) metadata() map[string]string {
	m := make(map[string]string, len(e.opts.notes)+3)
	for k, v := range e.opts.notes {
		m[k] = v
	}
	if e.opts.description != "" {
		m["description"] = e.opts.description
	}
	if e.opts.idempotent {
		m[discovery.MetaIdempotent] = "true"
	}
	if e.opts.timeLimit > 0 {
		m[metaTimeout] = strconv.FormatInt(max(1, e.opts.timeLimit.Milliseconds()), 10)
	}
	return m
}

// call runs the handler within its context and counts what comes of it. The call
// came at start, and its turn at turn.
func (e *endpoint) call(ctx *callContext, start, turn time.Time) (*Response, *bus.Error) {
	e.counter.callers.count(ctx.request.From)
	defer func() {
		ctx.end()
		now := e.srv.conn.Now()
		e.counter.done(now.Sub(start))
		e.pace.note(now.Sub(turn))
	}()
	res, err := e.guard(ctx, ctx.request)
	if err == nil && res != nil && res.Parts != nil {
		res.drop()
		err = bus.Errorf(bus.Internal, "%s answers with Parts, which only callers get: read them and answer with Body", e.method)
	}
	if err == nil {
		return res, nil
	}
	return nil, e.failed(err)
}

// guard turns a panic of the handler into an error. The stack is logged here
// and never travels.
func (e *endpoint) guard(ctx context.Context, req *Request) (res *Response, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			e.srv.log.Error().Str("method", e.method).Str("panic", fmt.Sprint(v)).Bytes("stack", debug.Stack()).Msg("a handler panicked")
			err = bus.Errorf(bus.Internal, "%s panicked; the log of the service says why", e.method)
		}
	}()
	res, err = e.handler(ctx, req)
	returned = true
	return res, err
}

// vanished is the failure of a handler that has ended its goroutine.
func (e *endpoint) vanished() *bus.Error {
	return e.failed(bus.Errorf(bus.Internal, "%s ended without an answer", e.method))
}

// failed counts and logs an error and returns it as what travels.
func (e *endpoint) failed(err error) *bus.Error {
	failure := bus.AsError(err)
	if failure.End != 0 && failure.Retry != bus.RetryNever {
		// It came out of another call. What was safe to repeat there is not
		// safe here: this handler has run.
		own := *failure
		own.Retry = bus.RetryNever
		failure = &own
	}
	e.counter.failed(failure.Code.String() + ": " + failure.Message)
	if failure.Code == bus.Internal {
		// The caller sees the message only; the chain of causes ends here.
		e.srv.log.Warn().Err(err).Str("method", e.method).Msg("a call failed")
	}
	return failure
}

// add registers an endpoint. Every mistake panics: registration is code, not
// input.
func (s *Server) add(method string, f HandlerFunc, request, answer schema.Schema, opts []HandleOption) *endpoint {
	e := &endpoint{srv: s, method: method, request: request, answer: answer, opts: optionsOf(opts)}
	if err := wire.CheckMethod(method); err != nil {
		panic(fmt.Sprintf("rpc: service %s: %v", s.cfg.Name, err))
	}
	s.checkOptions(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != idle {
		panic(fmt.Sprintf("rpc: %s.%s is registered after the server has started; register every method before Start", s.cfg.Name, method))
	}
	if s.endpoints[method] != nil {
		panic(fmt.Sprintf("rpc: %s.%s is registered twice", s.cfg.Name, method))
	}
	e.handler = chain(f, s.cfg.Middleware)
	s.endpoints[method] = e
	s.order = append(s.order, e)
	return e
}

// HandleRaw registers a handler that sees requests as they are, in whatever
// codec they come, and answers the same way. Most services want [Handle].
func (s *Server) HandleRaw(method string, f HandlerFunc, opts ...HandleOption) {
	if f == nil {
		panic(fmt.Sprintf("rpc: %s.%s: the handler is nil", s.cfg.Name, method))
	}
	s.add(method, f, schema.Schema{}, schema.Schema{}, opts)
}

// unknownMethod is the answer to a call of one instance that names no method of
// it.
func (s *Server) unknownMethod(method string) *bus.Error {
	var names []string
	for _, e := range s.order {
		if !e.opts.internal && !e.opts.exempt {
			names = append(names, e.method)
		}
	}
	slices.Sort(names)
	return bus.Errorf(bus.NotFound, "%s", noSuchMethod(s.cfg.Name, method, names))
}
