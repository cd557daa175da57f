package bus

import (
	"context"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	maxGather      = 10000
	maxGatherBytes = 64 << 10
)

// A Gather bounds a request that many may answer. The zero value gathers until
// the context ends.
type Gather struct {
	// First is the longest wait for the first reply. 0 means until the context
	// ends.
	First time.Duration
	// Quiet ends the gathering once this long has passed since the last reply.
	// 0 means until the context ends.
	Quiet time.Duration
	// Max is the most replies. 0 means 10,000.
	Max int
	// MaxBytes is the most bytes of one reply; larger ones are skipped. 0 means
	// 64 KiB.
	MaxBytes int
	// Done, if set, tells the last reply. It is yielded like the others.
	Done func(*nats.Msg) bool
}

// Gather publishes data on subject and yields the replies as they come. It
// ends when g says so, without an error, or with one error: when no one
// listens, the context ends before the first reply, or the request could not
// be sent. A context that ends later ends the gathering without an error.
//
// Replies that come faster than they are used wait, up to g.Max of them.
func (c *Conn) Gather(ctx context.Context, subject string, header nats.Header, data []byte, g Gather) iter.Seq2[*nats.Msg, error] {
	if g.Max <= 0 {
		g.Max = maxGather
	}
	if g.MaxBytes <= 0 {
		g.MaxBytes = maxGatherBytes
	}
	return func(yield func(*nats.Msg, error) bool) {
		start := time.Now()
		replies, failed := make(chan *nats.Msg, g.Max), make(chan *Error, 1)
		hear := func(m *nats.Msg) {
			if len(m.Data) > g.MaxBytes {
				return // what waits is bounded in bytes too
			}
			select {
			case replies <- m:
			default: // over g.Max
			}
		}
		fail := func(e *Error) {
			select {
			case failed <- e:
			default: // the first one counts
			}
		}
		slot, err := c.mux.take(slot{subject: subject, f: hear, failed: fail})
		if err != nil {
			yield(nil, err)
			return
		}
		defer c.mux.release(slot)
		if err := c.Publish(ctx, subject, c.mux.replySubject(slot.key), header, data); err != nil {
			yield(nil, err)
			return
		}
		timer := newWait(g.First)
		defer timer.stop()
		for n := 0; n < g.Max; {
			select {
			case m := <-replies:
				if NoResponders(m) {
					if n == 0 {
						yield(nil, nobody(subject, time.Since(start)))
					}
					return
				}
				timer.reset(g.Quiet)
				n++
				if !yield(m, nil) || (g.Done != nil && g.Done(m)) {
					return
				}
			case <-timer.c:
				return
			case e := <-failed: // a missing right, or a lost broker
				if n == 0 {
					e.Elapsed = time.Since(start)
					yield(nil, e)
				}
				return
			case <-ctx.Done():
				if n == 0 {
					yield(nil, contextError(ctx, start))
				}
				return
			}
		}
	}
}

// A wait is a timer that may be endless.
type wait struct {
	t *time.Timer
	c <-chan time.Time
}

func newWait(d time.Duration) *wait {
	w := &wait{}
	w.reset(d)
	return w
}

func (w *wait) reset(d time.Duration) {
	switch {
	case d <= 0:
		w.stop()
		w.c = nil
	case w.t == nil:
		w.t = time.NewTimer(d)
		w.c = w.t.C
	default:
		w.t.Reset(d)
		w.c = w.t.C
	}
}

func (w *wait) stop() {
	if w.t != nil {
		w.t.Stop()
	}
}
