package rpc

import (
	"bytes"
	"context"
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
	ctx     callContext
	done    chan struct{} // nil for an inline handler

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
	c := &local{ep: e, began: s.conn.Now(), request: *req}
	c.request.Instance, c.request.room = s.id, nil
	c.request.InParts, c.request.origin = false, nil
	deadline := c.began.Add(e.timeout())
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c.ctx.parent, c.ctx.deadline, c.ctx.request = s.base, deadline, &c.request
	if e.opts.inline {
		c.serve()
		return c.res, c.failure, true
	}
	// The handler may outlive the caller's patience, the caller's bytes may not.
	c.request.Body, c.request.Meta = bytes.Clone(req.Body), req.Meta.clone()
	c.done = make(chan struct{})
	s.workers.run(c)
	select {
	case <-c.done:
		return c.res, c.failure, true
	case <-ctx.Done():
		c.ctx.interrupt(errGaveUp)
		return nil, bus.AsError(ctx.Err()), true
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
		if c.done != nil {
			close(c.done)
		}
	}()
	c.res, c.failure = c.ep.call(&c.ctx, c.began, c.began)
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
