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
	key     callKey

	mu      sync.Mutex
	watched bool
	inner   context.Context // made by the first Done
	cancel  context.CancelCauseFunc
	stop    context.CancelFunc
	over    error // set once the call has ended
}

var _ context.Context = (*callContext)(nil)

// Deadline returns when the call must have been answered.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Value returns the request for [RequestFrom] and else what the server's own
// context holds.
func (c *callContext) Value(key any) any {
	if key == (requestKey{}) {
		return c.request
	}
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		// It knows how to be the parent of other contexts without a goroutine.
		return inner.Value(key)
	}
	return c.parent.Value(key)
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
		c.watched = c.cancels.watch(c.caller, c.key, c)
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
		c.cancels.forget(c.caller, c.key)
	}
}
