package rpc

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// A local is one call that came from the same process.
type local struct {
	ep      *endpoint
	began   time.Time
	request Request
	ctx     *callContext
	done    chan struct{} // has room for one
	body    *buffer       // of the request, if it is used again

	res     *Response
	failure *bus.Error
}

// serveHere serves a call of this process, as one from the bus is served. It
// reports false when the server cannot take it and the bus should be asked.
func (s *Server) serveHere(ctx context.Context, req *Request) (*Response, *bus.Error, bool) {
	if !s.serving.Load() || s.elsewhere() {
		return nil, nil, false
	}
	e := s.endpoint(req.Method)
	if e == nil || e.kind != "" {
		return nil, nil, false
	}
	if e.opts.single && req.Instance == "" {
		return nil, asReply(e.chooseOne()), true
	}
	if err := s.fits(req.Meta, len(req.Body)); err != nil {
		failure := bus.AsError(err)
		failure.End = bus.Refused
		return nil, failure, true
	}
	if failure := s.enter(e); failure != nil {
		e.counter.refused.Add(1)
		return nil, failure, true
	}
	if s.elsewhere() {
		// It began between the two questions, and no longer counts on us.
		s.leave(e)
		return nil, nil, false
	}
	lends := req.origin != nil && req.origin.room != nil && len(s.cfg.Middleware) == 0
	c := s.locals.get()
	c.ep, c.request = e, *req
	c.request.Instance, c.request.room = s.id, nil
	c.request.InParts, c.request.origin = false, nil
	if lends { // the answer is read before the memory is used again
		req.origin.local = c
		c.request.room = s.buffers.get()
		c.began = req.origin.began // nothing was in between
	} else {
		c.began = s.conn.Now()
	}
	deadline := c.began.Add(e.timeout())
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c.ctx = &callContext{ep: e, parent: s.base, deadline: deadline, request: &c.request}
	if e.opts.inline {
		c.serve()
		return c.res, c.failure, true
	}
	// The handler may outlive the caller's patience, the caller's bytes may not.
	c.request.Meta = req.Meta.clone()
	if lends {
		c.body = s.buffers.get()
		c.body.b = append(c.body.b, req.Body...)
		c.request.Body = c.body.b
	} else {
		c.request.Body = bytes.Clone(req.Body)
	}
	s.workers.run(c)
	ended, also := ends(ctx)
	select {
	case <-c.done:
		return c.res, c.failure, true
	case <-ended:
	case <-also:
	}
	if lends {
		req.origin.local = nil // the handler has it
	}
	c.ctx.interrupt(errGaveUp)
	return nil, bus.AsError(ctx.Err()), true
}

// A locals keeps the memory of calls for the next ones.
type locals struct{ pool sync.Pool }

func (p *locals) get() *local {
	if c, ok := p.pool.Get().(*local); ok {
		return c
	}
	return &local{done: make(chan struct{}, 1)}
}

// free gives back a call that is over and whose answer has been read.
func (c *local) free() {
	s := c.ep.srv
	s.buffers.put(c.request.room)
	if c.body != nil {
		s.buffers.put(c.body)
	}
	if c.ctx.let() {
		*c = local{done: c.done}
		s.locals.pool.Put(c)
	}
}

// serve runs the handler and keeps its answer.
func (c *local) serve() {
	returned := false
	defer func() {
		if !returned {
			c.failure = c.ep.vanished()
		}
		if c.failure != nil {
			c.failure = asReply(c.failure)
		}
		c.ep.srv.leave(c.ep)
		if !c.ep.opts.inline {
			c.done <- struct{}{}
		}
	}()
	c.res, c.failure = c.ep.call(c.ctx, c.began, c.began)
	returned = true
	if c.failure != nil {
		return
	}
	if c.res == nil {
		c.res = &Response{}
	}
	if !c.res.Codec.Valid() {
		c.res.Codec = codec.JSON
	}
	if err := c.ep.srv.fits(c.res.Meta, len(c.res.Body)); err != nil {
		c.res, c.failure = nil, c.ep.failed(err)
	}
}

// fits applies the limits of the bus to a message that does not travel on it.
func (s *Server) fits(m Metadata, size int) error {
	pairs, err := appendPairs(nil, m)
	if err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	for _, p := range pairs {
		size += len(p.Key) + len(p.Value) + len(": \r\n")
	}
	if limit := s.maxBody(); size > limit {
		return overLimit("a body with its metadata", size, limit)
	}
	return nil
}

// asReply is an error as its caller gets it from the bus: the cause stays
// behind.
func asReply(e *bus.Error) *bus.Error {
	far := bus.Error{
		Code: e.Code, Status: e.Status, Message: wire.CleanMessage(e.Message), Detail: e.Detail, Retry: e.Retry, End: bus.Handler,
	}
	switch e.Code {
	case bus.PermissionDenied, bus.Unauthenticated:
		far.End = bus.Refused
	case bus.ResourceExhausted, bus.Unavailable:
		if e.Retry != bus.RetryNever {
			far.End = bus.Refused
		}
	case bus.DeadlineExceeded:
		far.End = bus.Timeout
	}
	return &far
}
