package rpc

import (
	"context"
	"sync"
	"time"
)

// A callContext is the context of one handled call: it ends with the server,
// at its deadline, and when the handler has returned. Its timer and its channel
// are made when someone first asks for them, because a context timer for each
// call costs a quarter of the throughput and most handlers never look.
type callContext struct {
	parent   context.Context
	deadline time.Time
	request  *Request

	// How the caller can end the call from afar; cancels is nil if it cannot.
	cancels *cancels
	caller  string
	seq     uint64

	mu      sync.Mutex
	framed  bool // the call is known by seq, else by the id of the request
	watched bool
	asked   bool            // somebody has the request
	inner   context.Context // made by the first Done
	cancel  context.CancelCauseFunc
	stop    context.CancelFunc
	over    error // set once the call has ended

	// What remains of the request, for calls that are made with the context of one
	// that is over.
	ep    *endpoint
	from  string
	depth int
}

var _ context.Context = (*callContext)(nil)

// Deadline returns when the call must have been answered.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Value returns the request for [RequestFrom] and else what the server's own
// context holds.
func (c *callContext) Value(key any) any {
	c.mu.Lock()
	if key == (requestKey{}) {
		defer c.mu.Unlock()
		return c.ask()
	}
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		// It knows how to be the parent of other contexts without a goroutine.
		return inner.Value(key)
	}
	return c.parent.Value(key)
}

// ask returns the request for somebody who may keep it. c.mu is held.
func (c *callContext) ask() *Request {
	if c.request == nil {
		s := c.ep.srv
		c.request = &Request{Service: s.cfg.Name, Method: c.ep.method, Instance: s.id, From: c.from, Attempt: 1, depth: c.depth}
	}
	c.asked = true
	return c.request
}

// let parts a context that is over from its request, which then is free. It
// reports false if somebody has the request, or there is more in it than a
// context keeps.
func (c *callContext) let() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.request
	if c.asked || r.Meta != nil || r.ID != "" || r.Attempt > 1 {
		return false
	}
	c.from, c.depth, c.request = r.From, r.depth, nil
	return true
}

// Done returns a channel that is closed when the context ends.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.open()
	}
	return c.inner.Done()
}

func (c *callContext) open() {
	ctx, cancel := context.WithCancelCause(c.parent)
	c.cancel = cancel
	c.inner, c.stop = context.WithDeadline(ctx, c.deadline)
	if c.over != nil {
		cancel(c.over)
		return
	}
	if c.cancels != nil && c.caller != "" {
		c.watched = c.cancels.watch(c.caller, c.key(), c)
	}
}

// Err returns nil until the context has ended.
func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
	case c.over != nil:
		return context.Canceled
	case c.parent.Err() != nil, !time.Now().Before(c.deadline):
		// From here on the answer must stay the same, which inner sees to.
		c.open()
		return c.inner.Err()
	}
	return nil
}

// key is what the caller's word that it has given up calls this call.
func (c *callContext) key() callKey {
	if c.framed {
		return callKey{seq: c.seq}
	}
	return callKey{id: c.request.ID}
}

// interrupt ends the context before its handler has returned.
func (c *callContext) interrupt(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil {
		c.over = cause
	}
	if c.cancel != nil {
		c.cancel(cause)
	}
}

// end ends the context and frees its timer.
func (c *callContext) end() {
	c.interrupt(errReturned)
	c.mu.Lock()
	stop, watched := c.stop, c.watched
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	if watched {
		c.cancels.forget(c.caller, c.key())
	}
}
