package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A turn is one request that a shortcut serves: all that it needs, in one piece of
// memory.
type turn struct {
	life     turnContext
	reply    reply
	body     wholeBody
	exchange exchange
}

// A turnContext is the context of a request that a shortcut serves. What a context
// costs is spent when somebody asks for it: its channel by the first Done, and a
// context that others can be children of by the first child.
type turnContext struct {
	parent   context.Context // of the connection; it does not end before the request
	exchange *exchange       // nil until the edge has the request

	mu    sync.Mutex
	err   error         // nil until the end
	done  chan struct{} // nil until somebody asks
	after map[*func()]struct{}
}

var _ context.Context = (*turnContext)(nil)

// Deadline is that of the connection.
func (c *turnContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Value returns the exchange, and else what the connection has.
func (c *turnContext) Value(key any) any {
	if key == (exchangeKey{}) && c.exchange != nil {
		return c.exchange
	}
	return c.parent.Value(key)
}

// Err returns nil until the request has ended or its client has left.
func (c *turnContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done returns a channel that is closed then.
func (c *turnContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// AfterFunc has f called on a goroutine of its own then, unless stop is called
// first. Package context makes children with it, without a goroutine for each.
func (c *turnContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // ends by itself, as package context has it
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waits := c.after[&f]
		delete(c.after, &f)
		return waits
	}
}

// cancel ends the context.
func (c *turnContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)() // likewise
	}
	c.after = nil
}

// request makes the request that p is.
func (t *turn) request(blank *http.Request, p *plain) *http.Request {
	r := blank.WithContext(&t.life)
	r.Method, r.URL, r.Host, r.RequestURI, r.Header = p.method, p.url, p.host, p.target, p.header
	r.Body = http.NoBody
	if len(p.body) > 0 {
		t.body.data = append([]byte(nil), p.body...)
		r.ContentLength, r.Body = int64(len(p.body)), &t.body
	}
	return r
}
