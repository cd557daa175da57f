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
	r, err := c.Call(ctx, Call{Subject: subject, Header: header, Data: data})
	if err != nil || r.Msg != nil {
		return r.Msg, err
	}
	return &nats.Msg{Reply: r.Reply, Data: r.Data}, nil
}

// A Call is a request with what Request leaves out.
type Call struct {
	Subject string
	Header  nats.Header // may be nil
	Data    []byte
	// Seq is a number by which the caller and whoever answers know the call, 0
	// if there is none. Waiting and Abort use it.
	Seq uint64
	// Began is when the call began, for the Elapsed of its error. Zero means now.
	Began time.Time
	// Expiry ends the call when its context runs out of time. Then Ended is a
	// channel that is closed when the context ends sooner, nil if it cannot. Without
	// an Expiry the Done of the context counts.
	Expiry *Expiry
	Ended  <-chan struct{}
}

// wait returns what comes of the call that has the slot; false if the context has
// ended before.
func (c *Call) wait(ctx context.Context, s *slot) (r result, came bool) {
	ended := c.Ended
	if c.Expiry == nil {
		ended = ctx.Done()
	}
	if ended == nil {
		return <-s.result, true // to choose among channels costs more
	}
	select {
	case r = <-s.result:
		return r, true
	case <-ended:
		return r, false
	}
}

// A Reply is the answer to a call.
type Reply struct {
	// Msg is the message that the answer came in, as NATS has it. It is nil for
	// most: a message without a header, whose body is in Data, or one that others
	// share.
	Msg *nats.Msg
	// Data is the body of a message without Msg: for a call of a Batcher a frame
	// with the number of the call. Reply is the reply subject of that message, if it
	// has one.
	Data  []byte
	Reply string
	// Shared says that whoever keeps a part of Data keeps the answers of others.
	Shared bool
	// Whole says that Msg is about all calls of the message that this one has
	// travelled in, of which there were several.
	Whole bool
}

// Call is Request for a call that needs more than a subject and a body.
func (c *Conn) Call(ctx context.Context, call Call) (Reply, error) {
	start := call.Began
	if start.IsZero() {
		start = c.Now()
	}
	if ctx.Err() != nil {
		return Reply{}, contextError(ctx, start)
	}
	s, err := c.mux.take(slot{subject: call.Subject, seq: call.Seq, expiry: call.Expiry})
	if err != nil {
		return Reply{}, err
	}
	if call.Expiry.ended() {
		c.mux.release(s)
		return Reply{}, contextError(ctx, start)
	}
	if call.Header != nil || !c.sendBeside(call.Subject, c.mux.prefix, s.key, call.Data) {
		if err := c.publishByNATS(call.Subject, c.mux.replySubject(s.key), call.Header, call.Data); err != nil {
			c.mux.release(s)
			return Reply{}, err
		}
	}
	r, came := call.wait(ctx, s)
	if !came {
		c.mux.release(s)
		return Reply{}, contextError(ctx, start)
	}
	c.mux.recycle(s, r.plain() && s.answers(r.body()))
	return call.reply(ctx, start, r)
}

// reply is what comes of a call as its caller gets it.
func (c *Call) reply(ctx context.Context, start time.Time, r result) (Reply, error) {
	switch {
	case r.err != nil && c.Expiry.ended() && ctx.Err() != nil:
		return Reply{}, contextError(ctx, start)
	case r.err != nil:
		r.err.Elapsed = time.Since(start)
		return Reply{}, r.err
	case r.msg != nil && NoResponders(r.msg):
		return Reply{}, nobody(c.Subject, time.Since(start))
	}
	return Reply{Msg: r.msg, Data: r.frame, Reply: r.reply, Whole: r.whole}, nil
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
