package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// noResponders is the status that the broker answers with when no one listens
// on a request's subject.
const noResponders = "503"

// NoResponders reports whether m is the broker's own answer that no one
// listens on the subject of the request.
func NoResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header != nil && m.Header.Get("Status") == noResponders
}

// Request publishes data on subject and waits for one reply, until ctx ends.
// header may be nil. Of the reply, Header, Data and Reply count; its Subject may
// be empty. A reply that carries an error is returned as a message:
// [ReplyError] reads it. The error is an *Error:
//
//	no one listens           unavailable        Nobody     safe to retry
//	ctx ran out of time      deadline_exceeded  Timeout
//	ctx was canceled         canceled           Cancelled
//	the broker is away       unavailable        Broker     safe if it was never sent
//	no right to publish      permission_denied  Refused    at once
//	over the broker's limit  too_large          Refused
//	MaxCalls wait already    resource_exhausted Refused    safe to retry
func (c *Conn) Request(ctx context.Context, subject string, header nats.Header, data []byte) (*nats.Msg, error) {
	return c.Call(ctx, Call{Subject: subject, Header: header, Data: data})
}

// A Call is a request with what Request leaves out.
type Call struct {
	Subject string
	Header  nats.Header // may be nil
	Data    []byte
	// Seq is a number by which the caller and whoever answers know the call, 0
	// if there is none. Waiting and Abort use it.
	Seq uint64
	// Ended are channels of which one is closed when the context of the call ends,
	// for a context that would have to make one for Done. None means Done.
	Ended [2]<-chan struct{}
}

func (c *Call) ended(ctx context.Context) (one, other <-chan struct{}) {
	if c.Ended == ([2]<-chan struct{}{}) {
		return ctx.Done(), nil
	}
	return c.Ended[0], c.Ended[1]
}

// Call is Request for a call that needs more than a subject and a body.
func (c *Conn) Call(ctx context.Context, call Call) (*nats.Msg, error) {
	start := time.Now()
	if ctx.Err() != nil {
		return nil, contextError(ctx, start)
	}
	s, err := c.mux.take(slot{subject: call.Subject, seq: call.Seq})
	if err != nil {
		return nil, err
	}
	if call.Header != nil || !c.sendBeside(call.Subject, c.mux.prefix, s.key, call.Data) {
		if err := c.publishByNATS(call.Subject, c.mux.replySubject(s.key), call.Header, call.Data); err != nil {
			c.mux.release(s)
			return nil, err
		}
	}
	ended, also := call.ended(ctx)
	select {
	case r := <-s.result:
		c.mux.recycle(s, r.err == nil && len(r.msg.Header) == 0 && s.answers(r.msg.Data))
		if r.err != nil {
			r.err.Elapsed = time.Since(start)
			return nil, r.err
		}
		if NoResponders(r.msg) {
			return nil, nobody(call.Subject, time.Since(start))
		}
		return r.msg, nil
	case <-ended:
	case <-also:
	}
	c.mux.release(s)
	return nil, contextError(ctx, start)
}

// Waiting returns the numbers of the calls that wait for their reply and whose
// subject begins with prefix.
func (c *Conn) Waiting(prefix string) []uint64 {
	return c.mux.waiting(func(subject string) bool { return strings.HasPrefix(subject, prefix) })
}

// Abort ends, with err, the waiting calls whose subject begins with prefix and,
// unless which is nil, whose number is in it.
func (c *Conn) Abort(prefix string, which map[uint64]bool, err *Error) {
	c.mux.fail(func(s *slot) bool {
		return strings.HasPrefix(s.subject, prefix) && (which == nil || which[s.seq])
	}, err)
}

// Publish sends data on subject. reply and header may be empty. It returns
// once the message is on its way, without waiting for the broker to take it:
// a missing right shows in Request and PublishConfirmed, not here. It never
// waits for a broker that is away: that is unavailable with End Broker.
func (c *Conn) Publish(ctx context.Context, subject, reply string, header nats.Header, data []byte) error {
	if ctx.Err() != nil {
		return contextError(ctx, time.Now())
	}
	return c.publish(subject, reply, header, data)
}

// PublishConfirmed is Publish and a round trip with the broker: without an
// error the broker has taken the message, and a missing right is
// permission_denied.
func (c *Conn) PublishConfirmed(ctx context.Context, subject, reply string, header nats.Header, data []byte) error {
	if err := c.Publish(ctx, subject, reply, header, data); err != nil {
		return err
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	return c.deniedPublish(subject)
}

// Expect returns a reply subject whose messages go to f, for requests whose
// answers are gathered while the caller does something else. f runs on the
// goroutine that serves all replies of the connection and must not block. It
// may be called once more while release runs. An Expect counts as a waiting
// call until release is called.
func (c *Conn) Expect(f func(*nats.Msg)) (reply string, release func(), err error) {
	e, err := c.ExpectFrom("", f, nil)
	if err != nil {
		return "", nil, err
	}
	return e.Reply, e.Release, nil
}

// ExpectFrom is Expect for messages that go out on subject: failed is told when
// the right to publish there is missing, and each time that the broker is lost or
// the connection closed. It must not block.
func (c *Conn) ExpectFrom(subject string, f func(*nats.Msg), failed func(*Error)) (*Expectation, error) {
	s, err := c.mux.take(slot{subject: subject, f: f, failed: failed})
	if err != nil {
		return nil, err
	}
	return &Expectation{Reply: c.mux.replySubject(s.key), mux: c.mux, slot: s}, nil
}

// An Expectation is a reply subject whose messages go to a function.
type Expectation struct {
	Reply string // the subject

	mux  *mux
	slot *slot
}

// Move says that messages go out on another subject from here on.
func (e *Expectation) Move(subject string) { e.mux.move(e.slot, subject) }

// Release frees the reply subject.
func (e *Expectation) Release() { e.mux.release(e.slot) }

func (c *Conn) subscribeReplies(ctx context.Context) error {
	subject := c.mux.prefix + "*"
	sub, err := c.nc.Subscribe(subject, c.mux.deliver)
	if err == nil {
		err = sub.SetPendingLimits(maxPendingReplies, maxPendingReplyBytes)
	}
	if err != nil {
		return c.sendError(err, subject)
	}
	c.replies = sub
	if err := c.firstFlush(ctx); err != nil {
		return err
	}
	if err := c.deniedSubscription(subject, ""); err != nil {
		return err
	}
	return nil
}

func (c *Conn) publishByNATS(subject, reply string, header nats.Header, data []byte) error {
	msg := nats.Msg{Subject: subject, Reply: reply, Header: header, Data: data}
	if err := c.nc.PublishMsg(&msg); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			return c.tooLarge(subject, len(data))
		}
		return c.sendError(err, subject)
	}
	return nil
}

func (c *Conn) tooLarge(subject string, size int) *Error {
	e := Errorf(TooLarge, "%d bytes and their headers on %s are over the broker's limit of %d bytes a message", size, subject, c.MaxPayload())
	e.End = Refused
	return e
}

// sendError translates what nats.go says when it cannot send.
func (c *Conn) sendError(err error, subject string) *Error {
	switch {
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrInvalidMsg):
		return Errorf(InvalidArgument, "subject %q: %w", subject, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return AsError(err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return denied(err)
	}
	text := "the broker is away"
	if !errors.Is(err, nats.ErrReconnectBufExceeded) { // which says just that, as nothing is buffered
		text = fmt.Sprintf("the broker is away (%v)", err)
	}
	e := c.brokerGone(text, RetrySafe)
	e.cause = err
	return e
}

func (c *Conn) brokerGone(text string, retry Retry) *Error {
	return &Error{Code: Unavailable, End: Broker, Status: Unavailable.Status(), Retry: retry, Message: text}
}

func nobody(subject string, elapsed time.Duration) *Error {
	return &Error{
		Code: Unavailable, End: Nobody, Status: Unavailable.Status(), Retry: RetrySafe,
		Message: "nobody listens on " + subject, Elapsed: elapsed,
	}
}

func contextError(ctx context.Context, start time.Time) *Error {
	e := *AsError(ctx.Err())
	if cause := context.Cause(ctx); cause != nil {
		e.cause = cause
	}
	e.Elapsed = time.Since(start)
	return &e
}
