package rpc

import (
	"context"
	"sync"
	"time"
)

// An outgoing is a request that belongs to its call, and what comes with it, in one
// piece of memory. Of a call that was answered at the first try and by the shortest
// way, nobody has kept any of it, and the next call may have it.
type outgoing struct {
	Request
	from   origin
	bound  limited
	answer Response
}

// An origin is what the caller's side knows of a call beside the request. All tries
// share it.
type origin struct {
	began  time.Time
	life   context.Context // of the answer, with InParts
	tried  *tried          // where the call has been, with a Selector
	room   *Response       // for the first answer, if nobody keeps that
	local  *local          // that the answer is in
	simple bool            // nobody has kept the request
}

// alike is what a try has that may go on beside others.
func (o *origin) alike() *origin {
	if o == nil {
		return nil
	}
	return &origin{began: o.began, life: o.life, tried: o.tried}
}

// spareOutgoing keeps the memory of calls for the next ones.
type spareOutgoing struct{ pool sync.Pool }

func (s *spareOutgoing) get() *outgoing {
	if o, ok := s.pool.Get().(*outgoing); ok {
		return o
	}
	return new(outgoing)
}

func (s *spareOutgoing) put(o *outgoing) {
	if o.from.local != nil {
		o.from.local.free()
	}
	if o.from.simple {
		*o = outgoing{}
		s.pool.Put(o)
	}
}

// direct reports whether a request goes the shortest way: at once, at the first
// try, past nobody who might keep it.
func (c *Client) direct(req *Request, p *peer) bool {
	return req.Attempt == 1 && req.origin != nil && p.choice == nil && len(c.cfg.Middleware) == 0
}

// start is when the call began.
func (r *Request) start() (t time.Time) {
	if r.origin != nil {
		t = r.origin.began
	}
	return t
}

// path is where the call has been.
func (r *Request) path() *tried {
	if r.origin == nil {
		return nil
	}
	return r.origin.tried
}

// response returns an empty Response for an answer.
func (r *Request) response() *Response {
	if r.origin == nil || r.origin.room == nil {
		return new(Response)
	}
	own := r.origin.room
	r.origin.room = nil
	return own
}
