package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// lateAccept is how long the caller of a stream that it has given up listens for
// an instance that accepts it all the same, to tell it.
const lateAccept = 30 * time.Second

// An opening is what goes out with the opening of a stream.
type opening struct {
	call  bool // of a unary method, with body in parts
	first bool // body is the first message
	half  bool // and the last
	codec codec.Codec
	body  []byte
}

// A clientStream is the caller's side of a stream on the bus.
type clientStream struct {
	client *Client
	req    *Request
	pipe   *pipe.Pipe
	seq    uint64
	line   *bus.Expectation // where the other side sends
	call   bool             // of a unary method
	life   context.Context  // the stream's
	giveUp func()           // ends it

	whole    atomic.Pointer[nats.Msg] // the answer to a call, in one message
	answered chan struct{}            // closed when it is accepted or refused

	mu       sync.Mutex
	uplink   string // where this side sends; empty until it is accepted
	instance string
	failure  *bus.Error // why it was refused
	decided  bool
	given    bool // up before it was decided
}

// openStream opens a stream with the tries, the middleware and the errors of a
// call. req belongs to it.
func (c *Client) openStream(lasting context.Context, req *Request, o opening) (*RawStream, error) {
	start, ctx := time.Now(), lasting
	req.Stream = true
	if err := c.begin(ctx, req); err != nil {
		return nil, c.explain(err, req, start)
	}
	var open *clientStream
	try := chain(func(ctx context.Context, req *Request) (*Response, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		once := func(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
			life, giveUp := context.WithCancel(lasting)
			s, failure := c.openOnce(ctx, life, giveUp, p, req, o)
			if failure != nil {
				giveUp()
				return nil, failure
			}
			open.drop() // middleware may open anew
			open = s
			return &Response{}, nil
		}
		_, failure := c.try(ctx, c.peers.get(req.Service), req, func(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
			return c.route(ctx, p, req, once)
		})
		return &Response{Codec: req.Codec}, orNil(failure)
	}, c.cfg.Middleware)
	opened := ctx
	if timeout := c.openTimeout(req); timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		opened = limited
	}
	_, err := try(opened, req)
	if err == nil && open == nil {
		err = bus.Errorf(bus.Internal, "middleware answered in place of the stream")
	}
	if err != nil {
		open.drop()
		return nil, c.explain(err, req, start)
	}
	life := open.life
	context.AfterFunc(life, func() { open.pipe.Cancel(bus.AsError(life.Err())) })
	s := &RawStream{ctx: life, flow: open.pipe, codec: req.Codec, instance: open.instance, giveUp: open.drop}
	s.explain = explainer(func(err error) error {
		e := c.explain(err, req, start)
		if own, ok := e.(*bus.Error); ok && own.Instance == "" { //nolint:errorlint // explain makes it
			own.Instance = open.instance
		}
		return e
	})
	return s, nil
}

// drop gives the stream up; a nil one is none. The other side is told before drop
// returns.
func (s *clientStream) drop() {
	if s == nil {
		return
	}
	s.pipe.Cancel(bus.AsError(context.Canceled))
	s.giveUp()
}

// openTimeout bounds the opening alone.
func (c *Client) openTimeout(req *Request) time.Duration {
	if req.Timeout > 0 {
		return req.Timeout
	}
	return c.cfg.Timeout
}

// openOnce asks one instance, whichever the bus chooses or the one that req
// names, to accept the stream, which lasts as long as life.
func (c *Client) openOnce(ctx, life context.Context, giveUp func(), p *peer, req *Request, o opening) (*clientStream, *bus.Error) {
	if p.foreignSubject(req) != "" {
		return nil, bus.Errorf(bus.Unimplemented, "%s is not an mbus service: it has no streams", req.Service)
	}
	pairs, err := c.control(req)
	if err != nil {
		return nil, bus.AsError(err)
	}
	p.frames() // from here on it hears when an instance is gone
	subject := p.subject(req.Method)
	if req.Instance != "" {
		subject = wire.NodeSubject(req.Service, req.Instance, req.Method)
	}
	if o.call {
		if len(o.body) > c.maxBody() {
			failure := overLimit("the request", len(o.body), c.maxBody())
			failure.End = bus.Refused
			return nil, failure
		}
		pairs = append(pairs[:len(pairs):len(pairs)], sizeMeta(len(o.body)))
	} else {
		pairs = append(pairs[:len(pairs):len(pairs)], readsBatches)
	}
	s := &clientStream{client: c, req: req, seq: c.seq.Add(1), call: o.call, answered: make(chan struct{}), life: life, giveUp: giveUp}
	s.line, err = c.conn.ExpectFrom(subject, s.receive, s.unheard)
	if err != nil {
		return nil, bus.AsError(err)
	}
	if failure := s.begin(c.maxBody()); failure != nil {
		return nil, failure
	}
	fits := o.first && len(o.body) <= min(pipe.Fragment, whole(c.conn, 0))
	open := wire.Open{Window: s.pipe.Grant(), First: fits, Half: fits && o.half, Call: o.call, Message: o.body}
	k := req.Codec
	if fits {
		k = o.codec
		s.pipe.Opened(len(o.body), o.half)
	}
	f := wire.Frame{Type: wire.FrameOpen, Seq: s.seq, Codec: uint8(k), Timeout: timeLeft(life), Meta: pairs, Payload: wire.AppendOpen(nil, &open)}
	if err := c.conn.Publish(ctx, subject, s.line.Reply, nil, wire.AppendFrame(nil, &f)); err != nil {
		failure := bus.AsError(err)
		s.refuse(failure)
		return nil, failure
	}
	if failure := s.await(ctx); failure != nil {
		return nil, failure
	}
	if !o.first || fits {
		return s, nil
	}
	err = s.pipe.Send(life, uint8(o.codec), o.body)
	if err == nil && o.half {
		err = s.pipe.Half(nil)
	}
	if err == nil {
		return s, nil
	}
	select {
	case <-s.pipe.Done():
		return s, nil // receiving says why, behind what has come
	default:
	}
	failure := bus.AsError(err)
	s.pipe.Cancel(failure)
	return nil, failure
}

// begin makes the pipe, unless the connection is lost already.
func (s *clientStream) begin(maxBody int) *bus.Error {
	p := newPipe(s.client.conn, maxBody, nil, s.send, s.over)
	s.mu.Lock()
	s.pipe = p
	failure := s.failure
	s.mu.Unlock()
	if failure != nil {
		p.Fail(failure)
		return failure
	}
	streamsOf(s.client.conn).add(p)
	return nil
}

// await waits for the answer to the opening.
func (s *clientStream) await(ctx context.Context) *bus.Error {
	select {
	case <-s.answered:
	case <-ctx.Done():
	}
	s.mu.Lock()
	decided, failure := s.decided, s.failure
	s.given = !decided // answer tells whoever accepts it now
	s.mu.Unlock()
	if decided {
		return failure
	}
	time.AfterFunc(lateAccept, s.line.Release)
	failure = bus.AsError(ctx.Err())
	s.pipe.Fail(failure)
	return failure
}

// refuse ends a stream that was never open.
func (s *clientStream) refuse(failure *bus.Error) {
	s.mu.Lock()
	if s.decided {
		s.mu.Unlock()
		return
	}
	s.decided, s.failure = true, failure
	close(s.answered)
	p := s.pipe
	s.mu.Unlock()
	if p != nil {
		p.Fail(failure)
	}
}

// unheard hears that nothing can be sent. A broker that is lost after the answer
// is not the end of the stream yet.
func (s *clientStream) unheard(e *bus.Error) {
	s.mu.Lock()
	p, open := s.pipe, s.decided && s.failure == nil
	s.mu.Unlock()
	switch {
	case !open:
		s.refuse(e)
	case p != nil && e.End != bus.Broker:
		p.Fail(e)
	}
}

// receive takes what comes for the stream. It runs on the goroutine of the
// connection's replies.
func (s *clientStream) receive(m *nats.Msg) {
	s.mu.Lock()
	open := s.decided && s.failure == nil
	s.mu.Unlock()
	if !open {
		s.answer(m)
		return
	}
	if bus.NoResponders(m) {
		s.pipe.Fail(gone("the instance that served the stream is gone"))
		return
	}
	switch t := wire.TypeOf(m.Data); {
	case s.call && (t == wire.FrameReply || t == wire.FrameError):
		s.whole.Store(m)
		s.pipe.Close()
		return
	case t == wire.FrameError:
		s.pipe.Fail(bus.FrameError(m.Data))
		return
	}
	f, err := wire.ParseFrame(m.Data)
	if err != nil {
		s.pipe.Cancel(bus.Errorf(bus.DataLoss, "a broken frame: %w", err))
		return
	}
	s.pipe.Deliver(&f)
}

// answer reads the answer to the opening.
func (s *clientStream) answer(m *nats.Msg) {
	if bus.NoResponders(m) {
		failure := gone("nobody listens")
		failure.End, failure.Retry = bus.Nobody, bus.RetrySafe
		s.refuse(failure)
		return
	}
	if e := bus.ReplyError(m); e != nil {
		s.refuse(e)
		return
	}
	f, err := wire.ParseFrame(m.Data)
	if err != nil || f.Type != wire.FrameAccept {
		s.refuse(bus.Errorf(bus.Unimplemented, "%s of %s answered without opening a stream; it may not know streams", s.req.Method, s.req.Service))
		return
	}
	a, err := wire.ParseAccept(f.Payload)
	switch {
	case err != nil:
		s.refuse(bus.Errorf(bus.DataLoss, "the acceptance is broken: %w", err))
		return
	case f.Seq != s.seq, !wire.UplinkAllowed(m.Reply, s.req.Service, a.ID):
		s.refuse(bus.Errorf(bus.DataLoss, "the acceptance of stream %d leads to %q", f.Seq, m.Reply))
		return
	}
	s.mu.Lock()
	s.uplink, s.instance = m.Reply, a.ID
	given := s.given
	if !given {
		s.decided = true
		close(s.answered)
	}
	s.mu.Unlock()
	if given {
		// Who does not hear it learns it from our silence.
		_ = s.send(&wire.Frame{Type: wire.FrameCancel})
		return
	}
	s.line.Move(m.Reply)
	streamsOf(s.client.conn).leadsTo(s.pipe, s.req.Service, a.ID)
	if !s.call && metaOf(f.Meta, wire.MetaStreamBatch) == wire.StreamBatchVersion {
		s.pipe.Gather()
	}
	s.pipe.Widen(a.Window)
}

func gone(text string) *bus.Error {
	e := bus.Errorf(bus.Unavailable, "%s", text)
	e.End = bus.Timeout
	return e
}

// send publishes a frame, with a reply subject by which the broker can say that
// nobody is there any more.
func (s *clientStream) send(f *wire.Frame) error {
	s.mu.Lock()
	uplink := s.uplink
	s.mu.Unlock()
	if uplink == "" {
		return nil // before the acceptance there is nobody to tell
	}
	buf := s.client.buffers.get()
	defer s.client.buffers.put(buf)
	buf.b = wire.AppendFrame(buf.b, f)
	// The stream's own context must not keep its end from being sent.
	return s.client.conn.Publish(context.Background(), uplink, s.line.Reply, nil, buf.b)
}

// over frees what the stream held, once.
func (s *clientStream) over() {
	streamsOf(s.client.conn).remove(s.pipe)
	s.mu.Lock()
	given, open := s.given, s.uplink != ""
	s.mu.Unlock()
	if !given {
		s.line.Release()
	}
	if open {
		s.giveUp()
	}
}
