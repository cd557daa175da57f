package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

// sharedBy is the part of a timeout by which calls that share a timer may get
// less than it.
const sharedBy = 100

// A patience bounds the time of calls that come one after the other: they share a
// timer as long as that costs a later call at most a hundredth of its time. A timer
// for each call would cost more than the rest of the call's bookkeeping together.
type patience struct {
	conn   *bus.Conn
	mu     sync.Mutex
	latest *shared
}

// A shared is one timer and those who use it.
type shared struct {
	context.Context // ends with the timer
	expiry          *bus.Expiry
	stop            func() bool // nobody needs the expiry any more
	timeout         time.Duration
	until           time.Time
	cancel          context.CancelFunc
	users           int
}

// limit makes l a context that ends with its parent, and after the timeout or up to
// a hundredth of it sooner. The caller gives it back with release.
func (p *patience) limit(parent context.Context, l *limited, timeout time.Duration, now time.Time) {
	l.parent, l.timer = parent, p.take(timeout, now)
	l.until = l.timer.until
	if d, ok := parent.Deadline(); ok && d.Before(l.until) {
		l.until = d
	}
}

func (p *patience) take(timeout time.Duration, now time.Time) *shared {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := now.Add(timeout)
	if s := p.latest; s != nil && s.timeout == timeout && until.Sub(s.until) <= timeout/sharedBy {
		s.users++
		return s
	}
	if s := p.latest; s != nil && s.users == 0 {
		s.end()
	}
	s := &shared{timeout: timeout, until: until, users: 1, expiry: p.conn.NewExpiry()}
	s.Context, s.cancel = context.WithDeadline(context.Background(), until)
	s.stop = context.AfterFunc(s.Context, s.expiry.End)
	p.latest = s
	return s
}

// release gives a context back. The last user of a timer stops it, unless calls to
// come may share it.
func (p *patience) release(l *limited) {
	l.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := l.timer
	if s.users--; s.users == 0 && s != p.latest {
		s.end()
	}
}

// end stops the timer of nobody.
func (s *shared) end() {
	s.stop()
	s.cancel()
}

// A limited is the context of one call: its parent's, and a timer that it shares.
// The call itself waits for its parent and has an expiry; the channel and the timer
// of its own that others need are made when they ask.
type limited struct {
	parent context.Context
	timer  *shared
	until  time.Time

	mu    sync.Mutex
	inner context.Context // made by the first Done
	stop  context.CancelFunc
	err   error // nil until the context has ended
}

var _ context.Context = (*limited)(nil)

// Deadline returns when the call must have been answered.
func (l *limited) Deadline() (time.Time, bool) { return l.until, true }

// Value is that of the parent.
func (l *limited) Value(key any) any {
	l.mu.Lock()
	inner := l.inner
	l.mu.Unlock()
	if inner != nil {
		// It knows how to be the parent of other contexts without a goroutine.
		return inner.Value(key)
	}
	return l.parent.Value(key)
}

// Done returns a channel that is closed when the context ends.
func (l *limited) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		l.open()
	}
	return l.inner.Done()
}

func (l *limited) open() {
	l.inner, l.stop = context.WithDeadline(l.parent, l.until)
	if l.err != nil {
		l.stop()
	}
}

// Err returns nil until the context has ended.
func (l *limited) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
	case l.inner != nil:
		l.err = l.inner.Err()
	default:
		if l.err = l.parent.Err(); l.err == nil {
			l.err = l.timer.Err()
		}
	}
	return l.err
}

// within says how a call ends with ctx.
func within(ctx context.Context, call bus.Call) bus.Call {
	if l, ok := ctx.(*limited); ok {
		call.Expiry, call.Ended = l.timer.expiry, l.parent.Done()
	}
	return call
}

// ends returns channels of which one is closed when ctx ends. Unlike Done it makes
// none for a limited.
func ends(ctx context.Context) (one, other <-chan struct{}) {
	if l, ok := ctx.(*limited); ok {
		return l.parent.Done(), l.timer.Done()
	}
	return ctx.Done(), nil
}

// end frees what was made. A context that somebody has kept is over.
func (l *limited) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
	if l.err == nil {
		l.err = context.Canceled
	}
}
