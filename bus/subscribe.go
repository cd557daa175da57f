package bus

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Limits bounds the messages that wait for a subscription's function. At
// either bound the newest are dropped and counted.
type Limits struct {
	Messages int // 0 means 65,536
	Bytes    int // 0 means 64 MiB
}

// A Subscription is one subject served by a goroutine of its own, one message
// after another. See [Conn.Subscribe].
type Subscription struct {
	conn   *Conn
	sub    *nats.Subscription
	closed chan struct{} // f has returned and is not called again
	end    *ending

	dropped atomic.Uint64 // before the end
}

// Subscribe calls f for each message of the subject, in order, on a goroutine
// of its own; f may block, and then messages wait within limits. With a queue,
// each message goes to one subscriber of that queue. Subscribe returns once the
// broker knows of it; a missing right is permission_denied.
func (c *Conn) Subscribe(ctx context.Context, subject, queue string, limits Limits, f func(*nats.Msg)) (*Subscription, error) {
	if limits.Messages <= 0 {
		limits.Messages = 65536
	}
	if limits.Bytes <= 0 {
		limits.Bytes = 64 << 20
	}
	s := &Subscription{conn: c, closed: make(chan struct{}), end: newEnding()}
	sub, err := c.nc.QueueSubscribe(subject, queue, f)
	if err != nil {
		return nil, c.sendError(err, subject)
	}
	s.sub = sub
	sub.SetClosedHandler(func(string) { close(s.closed) })
	err = sub.SetPendingLimits(limits.Messages, limits.Bytes)
	if err == nil {
		err = c.Flush(ctx)
	}
	if err == nil {
		err = c.deniedSubscription(subject, queue)
	}
	if err != nil {
		_ = sub.Unsubscribe() // fails only when it is gone already
		return nil, err
	}
	return s, nil
}

// Drain ends the subscription once f has had every message that the broker has
// sent, or when ctx ends. f does not run after Drain has returned without an
// error. A second Drain waits for the first, within its own ctx.
func (s *Subscription) Drain(ctx context.Context) error {
	return s.end.do(ctx, s.drain)
}

func (s *Subscription) drain(ctx context.Context) error {
	s.dropped.Store(s.Dropped())
	if ctx.Err() != nil || !s.conn.Connected() || s.sub.Drain() != nil {
		_ = s.sub.Unsubscribe() // fails only when it is gone already
	}
	select {
	case <-s.closed:
	case <-s.conn.closed:
	case <-ctx.Done():
		_ = s.sub.Unsubscribe()
		return fmt.Errorf("drain %s: %w", s.sub.Subject, context.Cause(ctx))
	}
	return nil
}

// Dropped counts the messages lost because f was too slow.
func (s *Subscription) Dropped() uint64 {
	if n, err := s.sub.Dropped(); err == nil && n > 0 {
		return uint64(n)
	}
	return s.dropped.Load()
}
