package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxCallers bounds the callers whose cancels a server listens to. Calls of
	// others run to their deadline.
	maxCallers = 1024
	// callerLinger is how long a server goes on listening to a caller none of
	// whose calls is at work.
	callerLinger = 30 * time.Second
	callerSweep  = 10 * time.Second
	drainLimit   = 5 * time.Second
)

// cancels listens to the callers of those calls whose handlers look at the end
// of their context; other handlers could not notice.
type cancels struct {
	conn *bus.Conn

	mu      sync.Mutex
	callers map[string]*caller // by the token that they send as Mbus-Conn
	swept   time.Time
	wg      sync.WaitGroup
}

type caller struct {
	listener *bus.Listener
	calls    map[callKey]*callContext
	idle     time.Time // since when calls is empty
}

// A callKey names a call of one caller: by sequence in a frame, by id in a
// plain request.
type callKey struct {
	seq uint64
	id  string
}

func newCancels(conn *bus.Conn) *cancels {
	return &cancels{conn: conn, callers: make(map[string]*caller)}
}

// watch ends ctx when the caller says so. It reports false when it cannot.
func (c *cancels) watch(token string, key callKey, ctx *callContext) bool {
	if !isToken(token) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.sweep(now)
	from := c.callers[token]
	if from == nil {
		if len(c.callers) >= maxCallers {
			return false
		}
		l, err := c.conn.Listen(bus.Control, wire.CancelSubject(token), "", func(m *nats.Msg) { c.receive(token, m) })
		if err != nil {
			return false
		}
		from = &caller{listener: l, calls: make(map[callKey]*callContext), idle: now}
		c.callers[token] = from
	}
	from.calls[key] = ctx
	return true
}

// forget ends the watching of one call.
func (c *cancels) forget(token string, key callKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from := c.callers[token]; from != nil {
		delete(from.calls, key)
		if len(from.calls) == 0 {
			from.idle = time.Now()
		}
	}
}

func (c *cancels) receive(token string, m *nats.Msg) {
	key := callKey{id: string(m.Data)}
	if wire.IsFrame(m.Data) {
		f, err := wire.ParseFrame(m.Data)
		if err != nil || f.Type != wire.FrameCancel {
			return
		}
		key = callKey{seq: f.Seq}
	}
	c.mu.Lock()
	var ctx *callContext
	if from := c.callers[token]; from != nil {
		ctx = from.calls[key]
	}
	c.mu.Unlock()
	if ctx != nil {
		ctx.interrupt(errGaveUp)
	}
}

// sweep stops listening to callers that have been silent. c.mu is held.
func (c *cancels) sweep(now time.Time) {
	if now.Sub(c.swept) < callerSweep {
		return
	}
	c.swept = now
	for token, from := range c.callers {
		if len(from.calls) > 0 || now.Sub(from.idle) < callerLinger {
			continue
		}
		delete(c.callers, token)
		c.wg.Go(func() {
			// Tidying up belongs to no call; stop waits for it.
			ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
			defer cancel()
			_ = from.listener.Drain(ctx) // nothing of it is wanted any more
		})
	}
}

// stop ends all listening.
func (c *cancels) stop(ctx context.Context) {
	c.mu.Lock()
	all := c.callers
	c.callers = make(map[string]*caller)
	c.mu.Unlock()
	for _, from := range all {
		c.wg.Go(func() {
			_ = from.listener.Drain(ctx) // nothing of it is wanted any more
		})
	}
	c.wg.Wait()
}

// isToken reports whether a caller's token may be part of a subject.
func isToken(s string) bool {
	if s == "" || len(s) > wire.MaxNameBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
