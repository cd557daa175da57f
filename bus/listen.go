package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// A Lane is one of the three queues that a connection's listeners share: calls
// do not wait behind control traffic, nor streams behind calls.
type Lane int

// The lanes.
const (
	Control Lane = iota // discovery and administration
	Calls               // requests to services
	Streams             // what follows the opening of a stream
)

// A Listener is one function that listens on one subject. See [Conn.Listen].
type Listener struct {
	conn  *Conn
	lane  *lane
	key   groupKey
	group *group
	f     func(*nats.Msg)
	end   *ending
}

// Listen hands the messages of a subject to f. A connection holds one NATS
// subscription for each subject and queue, however many listen: with an empty
// queue every listener gets every message, with a queue each message goes to
// one of them, in rotation.
//
// All listeners of a lane share one goroutine, so f must not block; at 16,384
// messages waiting in a lane (131,072 for Streams) the newest are dropped, which
// Dropped counts. Messages with a header may be overtaken by later ones without.
// Listeners share the messages, so f must not change them.
//
// The broker reports a missing right only later: Confirm tells.
func (c *Conn) Listen(lane Lane, subject, queue string, f func(*nats.Msg)) (*Listener, error) {
	l := &Listener{conn: c, lane: c.lanes[lane], key: groupKey{subject, queue}, f: f, end: newEnding()}
	if lane == Calls {
		c.pulse.start()
	}
	if err := l.lane.join(c.nc, l); err != nil {
		e := c.sendError(err, subject)
		e.Message = fmt.Sprintf("listen on %s: %s", subject, e.Message)
		return nil, e
	}
	return l, nil
}

// Arrived tells about the message that the lane is handing out: it came at since
// or later, and stale says that the process may have stood still while it
// waited, so that nobody knows how old it is. Only the f of a listener on that
// lane may ask, and only before it returns.
//
// A process has stood still when a timer of its own came over a second late, as
// after SIGSTOP. Messages are stale from there until a round trip with the
// broker is done.
func (c *Conn) Arrived(lane Lane) (since time.Time, stale bool) {
	l := c.lanes[lane]
	return l.since, c.pulse.stale(l.now)
}

// Drain ends the listening without losing a message: it returns once
// everything that the broker has sent here has been handed to a listener, or
// when ctx ends. A second Drain waits for the first, within its own ctx.
func (l *Listener) Drain(ctx context.Context) error {
	return l.end.do(ctx, l.drain)
}

func (l *Listener) drain(ctx context.Context) error {
	if l.lane.leave(l) {
		l.conn.denied.forget(l.key.subject, l.key.queue)
		if l.conn.Connected() {
			l.group.end()
		} else {
			_ = l.group.sub.Unsubscribe() // fails only when it is gone already
		}
		defer l.lane.forget(l.group)
		select {
		case <-l.group.gone:
		case <-l.conn.closed:
			return nil
		case <-ctx.Done():
			_ = l.group.sub.Unsubscribe()
			return fmt.Errorf("drain %s: %w", l.key.subject, context.Cause(ctx))
		}
	}
	if err := l.lane.barrier(ctx); err != nil {
		return fmt.Errorf("drain %s: %w", l.key.subject, err)
	}
	return nil
}

// Confirm makes a round trip with the broker and returns permission_denied if
// it refused one of the listeners.
func (c *Conn) Confirm(ctx context.Context, listeners ...*Listener) error {
	if err := c.Flush(ctx); err != nil {
		return err
	}
	for _, l := range listeners {
		if err := c.deniedSubscription(l.key.subject, l.key.queue); err != nil {
			return err
		}
	}
	return nil
}

// Dropped counts the messages that were lost because a lane or the replies of
// the connection were not served fast enough.
func (c *Conn) Dropped() uint64 {
	var n uint64
	if lost, err := c.replies.Dropped(); err == nil && lost > 0 {
		n = uint64(lost)
	}
	for _, l := range c.lanes {
		n += l.droppedByNATS()
	}
	return n
}
