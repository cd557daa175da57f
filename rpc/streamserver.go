package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// defaultStreams is the most streams that a server has open.
const defaultStreams = 10000

// A streamHandler serves one stream.
type streamHandler func(ctx context.Context, s *RawStream) error

// uplinks are the open streams of a server, by the last token of the subject
// that their callers send to.
type uplinks struct {
	mu   sync.Mutex
	open map[string]uplink
}

// An uplink takes what the caller of a stream sends.
type uplink interface {
	receive(m *nats.Msg)
}

var (
	_ uplink = (*serverStream)(nil)
	_ uplink = (*plainFlow)(nil)
)

// add returns the token of a new uplink. It is random, so that nobody sends to
// the stream of another by mistake.
func (u *uplinks) add(l uplink) string {
	sid := strconv.FormatUint(rand.Uint64(), 36)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open == nil {
		u.open = make(map[string]uplink)
	}
	u.open[sid] = l
	return sid
}

func (u *uplinks) remove(sid string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, sid)
}

func (u *uplinks) get(sid string) uplink {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open[sid]
}

// receiveUplink takes what the callers of streams send.
func (s *Server) receiveUplink(m *nats.Msg) {
	sid := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	if l := s.uplinks.get(sid); l != nil {
		l.receive(m)
		return
	}
	// A stream that is over. Who still asks for it is told.
	if t := wire.TypeOf(m.Data); (t == wire.FramePing || t == wire.FrameData || t == wire.FrameStreamBatch) && wire.ReplyAllowed(m.Reply) {
		e := bus.Errorf(bus.Unavailable, "%s does not know the stream", s.named())
		f := wire.Frame{Type: wire.FrameCancel, Payload: e.AppendFrame(nil, 0)}
		_ = s.conn.Publish(s.life, m.Reply, "", nil, wire.AppendFrame(nil, &f)) // it asks again
	}
}

// A serverStream is the server's side of a stream in frames.
type serverStream struct {
	srv    *Server
	pipe   *pipe.Pipe
	ticket bool   // the caller says where it listens with its first frame
	begun  func() // hears of that frame; only with ticket
	sid    string
	uplink string // where this side listens
	end    context.CancelCauseFunc

	mu    sync.Mutex
	reply string // where the caller listens
	heard bool   // the caller has said so
}

// receive takes a frame of the caller.
func (s *serverStream) receive(m *nats.Msg) {
	if bus.NoResponders(m) {
		s.pipe.Fail(bus.Errorf(bus.Canceled, "the caller of the stream is gone"))
		return
	}
	f, err := wire.ParseFrame(m.Data)
	if err != nil {
		s.pipe.Cancel(bus.Errorf(bus.DataLoss, "a broken frame: %w", err))
		return
	}
	if s.ticket && wire.ReplyAllowed(m.Reply) {
		s.mu.Lock()
		first := !s.heard
		s.reply, s.heard = m.Reply, true
		s.mu.Unlock()
		if first {
			s.begun()
		}
	}
	s.pipe.Deliver(&f)
}

func (s *serverStream) send(f *wire.Frame) error {
	s.mu.Lock()
	reply := s.reply
	s.mu.Unlock()
	buf := s.srv.buffers.get()
	defer s.srv.buffers.put(buf)
	buf.b = wire.AppendFrame(buf.b, f)
	return s.srv.conn.Publish(s.srv.life, reply, s.uplink, nil, buf.b)
}

// open makes the pipe and gives it a subject.
func (s *serverStream) open(o wire.Open) {
	hold := s.srv.hold
	if o.Call {
		hold = nil // all of it is counted already
	}
	s.pipe = newPipe(s.srv.conn, s.srv.maxBody(), hold, s.send, s.over)
	s.pipe.Widen(o.Window)
	s.sid = s.srv.uplinks.add(s)
	s.uplink = wire.StreamSubject(s.srv.cfg.Name, s.srv.id, s.sid)
}

// accept tells the caller where to send to, and how much.
func (s *serverStream) accept(seq uint64, window wire.Credit, meta []wire.Pair) error {
	return s.acceptIn(seq, wire.CodecNone, window, meta)
}

func (s *serverStream) acceptIn(seq uint64, codec uint8, window wire.Credit, meta []wire.Pair) error {
	accept := wire.Accept{Window: window, ID: s.srv.id}
	f := wire.Frame{Type: wire.FrameAccept, Seq: seq, Codec: codec, Meta: meta, Payload: wire.AppendAccept(nil, &accept)}
	err := s.send(&f)
	if err != nil {
		s.pipe.Fail(bus.AsError(err))
		return err
	}
	// Not sooner: a question must not come before the acceptance.
	streamsOf(s.srv.conn).add(s.pipe)
	return nil
}

// over frees what the stream held and ends its context, once.
func (s *serverStream) over() {
	streamsOf(s.srv.conn).remove(s.pipe)
	s.srv.uplinks.remove(s.sid)
	cause := errGaveUp
	if e := s.pipe.Failure(); e != nil && e.Code != bus.Canceled {
		cause = e
	}
	s.end(cause)
}

// newServerStream makes the server's side of the stream that c opens.
func (c *inbound) newServerStream(ctx context.Context, end context.CancelCauseFunc) *serverStream {
	s := &serverStream{srv: c.ep.srv, reply: c.msg.Reply, end: end}
	var open wire.Open
	if c.opened != nil {
		open = c.opened.Open
	}
	s.open(open)
	if c.opened != nil && c.opened.batches {
		s.pipe.Gather()
	}
	if open.First {
		s.pipe.First(uint8(c.request.Codec), open.Message)
	}
	if open.Half {
		s.pipe.PeerHalf()
	}
	context.AfterFunc(ctx, func() { s.stopped(ctx) })
	return s
}

// stopped ends the stream, if it still lasts, when its context does: at the
// deadline, or because the server has stopped.
func (s *serverStream) stopped(ctx context.Context) {
	if cause := context.Cause(ctx); errors.Is(cause, errStopped) {
		_ = s.pipe.End(s.srv.ended(cause), nil) // a caller who does not hear it notices our silence
	}
}

// ended is what the end of a stream's context means to its caller.
func (s *Server) ended(err error) *bus.Error {
	if errors.Is(err, errStopped) {
		return bus.Errorf(bus.Unavailable, "%s has stopped; open the stream again", s.named())
	}
	return nil
}

// A streamContext is the context of a stream's handler.
type streamContext struct {
	context.Context
	request *Request
	stream  *RawStream
}

type streamKey struct{}

// Value returns the request for [RequestFrom], the stream, and else what the
// server's own context holds.
func (c *streamContext) Value(key any) any {
	switch key {
	case requestKey{}:
		return c.request
	case streamKey{}:
		return c.stream
	}
	return c.Context.Value(key)
}

// serveStream runs the handler of a stream from its opening to its end.
func (c *inbound) serveStream() {
	s := c.ep.srv
	start := time.Now()
	if err := c.parse(); err != nil {
		c.ep.counter.done(time.Since(start))
		c.reply(nil, c.ep.failed(err))
		return
	}
	if c.timed && !time.Now().Before(c.since.Add(c.timeout)) {
		c.ep.counter.done(time.Since(start))
		c.reply(nil, c.ep.failed(bus.Errorf(bus.DeadlineExceeded, "the caller's time was over before %s could begin", c.ep.method)))
		return
	}
	c.request.Stream = true
	c.ep.counter.callers.count(c.request.From)
	life, end := context.WithCancelCause(s.base)
	if limit, limited := c.streamDeadline(); limited {
		ctx, cancel := context.WithDeadline(life, limit)
		defer cancel()
		life = ctx
	}
	defer end(errReturned)
	ctx := &streamContext{Context: life, request: &c.request}
	finish, err := c.connect(ctx, end)
	if err != nil {
		c.ep.counter.done(time.Since(start))
		c.reply(nil, c.ep.failed(err))
		return
	}
	returned := false
	defer func() {
		c.ep.counter.done(time.Since(start))
		failure := error(bus.Errorf(bus.Internal, "%s ended without an answer", c.ep.method))
		if returned {
			failure = err
		}
		if stopped := s.ended(context.Cause(life)); failure != nil && stopped != nil {
			failure = stopped
		}
		end(errReturned) // who still sends for the handler stops
		if failure == nil {
			finish(nil)
			return
		}
		finish(c.ep.failed(failure))
	}()
	_, err = c.ep.guard(ctx, ctx.request)
	returned = true
}

// streamDeadline is when the stream must be over, if ever.
func (c *inbound) streamDeadline() (limit time.Time, limited bool) {
	own := c.ep.opts.timeLimit
	switch {
	case c.timed && own > 0:
		return earlier(c.since.Add(c.timeout), c.arrived.Add(own)), true
	case c.timed:
		return c.since.Add(c.timeout), true
	}
	return c.arrived.Add(own), own > 0
}

// connect makes the flow of a stream and returns what ends it.
func (c *inbound) connect(ctx *streamContext, end context.CancelCauseFunc) (func(*bus.Error), error) {
	raw := &RawStream{ctx: ctx, codec: c.request.Codec, instance: c.ep.srv.id, explain: unexplained, stop: end}
	ctx.stream = raw
	if !c.framed {
		p := c.newPlainFlow(end)
		raw.flow = p
		return func(failure *bus.Error) { p.end(failure) }, nil
	}
	s := c.newServerStream(ctx, end)
	raw.flow = s.pipe
	if err := s.accept(c.seq, s.pipe.Grant(), []wire.Pair{readsBatches}); err != nil {
		return nil, err
	}
	return func(failure *bus.Error) {
		raw.trail.mu.Lock()
		defer raw.trail.mu.Unlock()
		pairs, err := appendPairs(nil, raw.trail.meta)
		if err != nil && failure == nil {
			failure, pairs = c.ep.failed(unencodable(err, c.ep.method)), nil
		}
		if err := s.pipe.End(failure, pairs); err != nil {
			c.ep.srv.log.Warn().Err(err).Str("method", c.ep.method).Msg("the end of a stream is lost")
		}
	}, nil
}

// handler adapts f to what middleware wraps.
func (f streamHandler) handle(ctx context.Context, _ *Request) (*Response, error) {
	s, _ := ctx.Value(streamKey{}).(*RawStream)
	if s == nil {
		return nil, bus.Errorf(bus.Internal, "a stream without a flow")
	}
	err := f(ctx, s)
	if refusal := s.refusal.Load(); refusal != nil {
		return nil, refusal
	}
	if err != nil && err != io.EOF { //nolint:errorlint // it is never wrapped
		return nil, err
	}
	return &Response{Codec: codec.JSON}, nil
}
