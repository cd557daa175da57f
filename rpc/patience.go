package rpc

import (
	"context"
	"sync"
	"time"
)

// sharedBy is the part of a timeout by which calls that share a timer may get
// less than it.
const sharedBy = 100

// A patience makes contexts with a timeout for calls that come one after the
// other from the same parent: they share one context and its timer as long as
// that costs a later call at most a hundredth of its time. A context for each
// call would cost more than the rest of the call's bookkeeping together.
type patience struct {
	mu     sync.Mutex
	latest *shared
}

// A shared is one context with a deadline and those who use it.
type shared struct {
	context.Context
	parent  context.Context
	timeout time.Duration
	until   time.Time
	cancel  context.CancelFunc
	users   int
}

// limit returns a context that ends after the timeout, or up to a hundredth of
// it sooner. The caller gives it back with release.
func (p *patience) limit(parent context.Context, timeout time.Duration, now time.Time) *shared {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := now.Add(timeout)
	if s := p.latest; s != nil && s.timeout == timeout && until.Sub(s.until) <= timeout/sharedBy && sameContext(s.parent, parent) {
		s.users++
		return s
	}
	if s := p.latest; s != nil && s.users == 0 {
		s.cancel()
	}
	s := &shared{parent: parent, timeout: timeout, until: until, users: 1}
	s.Context, s.cancel = context.WithDeadline(parent, until)
	p.latest = s
	return s
}

// release gives a context back; the last one to do so ends it, unless calls to
// come may share it.
func (p *patience) release(s *shared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.users--; s.users == 0 && s != p.latest {
		s.cancel()
	}
}

// sameContext compares two contexts. Those of types that cannot be compared are
// never the same.
func sameContext(a, b context.Context) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}
