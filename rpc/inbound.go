package rpc

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// An inbound is one call that came from the bus, on its way through the server.
type inbound struct {
	ep      *endpoint
	msg     *nats.Msg
	data    []byte    // of the message, or the call's part of it
	arrived time.Time // here; it may have waited on the connection
	since   time.Time // when it came to the connection, or sooner

	admitted bool // of a batch: it is at work
	owed     bool // and so it is until its answer is sent

	counted bool   // among the calls in progress
	framed  bool   // the caller speaks frames, and is answered so
	timed   bool   // the caller said how long it waits
	chunks  bool   // a plain caller takes an answer in parts
	place   int    // among the calls in progress
	seq     uint64 // of its frame
	timeout time.Duration
	opened  *opened // nil for a call whose request came whole
	batch   *batch  // nil for a call that came in a message of its own
	request Request
	caller  string       // where the caller says that it has given up
	ctx     *callContext // made before the handler runs, which may keep it

	res     *Response
	failure *bus.Error
}

// An opened is what the first frame of a stream, or of a request in parts, says.
type opened struct {
	wire.Open
	size    int           // of the request
	link    *serverStream // that brings it
	batches bool          // the caller reads several messages in one frame
}

// receive takes a message that asks for the endpoint. It runs on the goroutine
// that receives every call of the connection.
func (e *endpoint) receive(m *nats.Msg) {
	s := e.srv
	if !wire.ReplyAllowed(m.Reply) {
		s.dropped.Add(1)
		return
	}
	if isBatch(m) {
		e.receiveBatch(m)
		return
	}
	c := s.inbounds.get()
	c.ep, c.msg, c.data, c.arrived = e, m, m.Data, s.conn.Now()
	since, stale := s.conn.Arrived(bus.Calls)
	if c.since = since; stale {
		e.counter.refused.Add(1)
		_ = c.parse() // for the spelling of the answer alone
		c.reply(nil, s.stoodStill())
		return
	}
	if failure := s.enter(e); failure != nil {
		e.counter.refused.Add(1)
		_ = c.parse() // for the spelling of the answer alone
		c.reply(nil, failure)
		return
	}
	if e.kind != "" {
		s.workers.run(c)
		return
	}
	if e.opts.inline && wire.TypeOf(m.Data) != wire.FrameOpen {
		c.serve()
		return
	}
	if c.seq, c.counted = wire.SeqOf(m.Data); c.counted {
		s.progress.add(c.seq, c)
	}
	if e.pace.quick() && wire.TypeOf(m.Data) != wire.FrameOpen {
		s.quick.run(c)
		return
	}
	s.workers.run(c)
}

// serve answers the call, or serves the stream.
func (c *inbound) serve() {
	if c.ep.kind != "" {
		defer c.ep.srv.leave(c.ep)
		c.serveStream()
		return
	}
	returned, seq := false, c.seq
	defer func() {
		if !returned {
			c.failure = c.ep.vanished()
		}
		if c.ep.opts.inline && c.failure == nil && c.inParts(c.res) {
			c.ep.srv.workers.run(&parting{c, seq}) // whoever takes them may be slow
			return
		}
		c.finish(seq)
		if returned && c.spare() {
			c.ep.srv.inbounds.put(c)
		}
	}()
	c.res, c.failure = c.answer()
	returned = true
}

// spare reports whether nobody has a call any more that is over: middleware may
// keep its request, and so may whoever brings it in parts.
func (c *inbound) spare() bool {
	return len(c.ep.srv.cfg.Middleware) == 0 && c.opened == nil && c.ctx != nil && c.ctx.let()
}

// finish sends what came of the call.
func (c *inbound) finish(seq uint64) {
	c.reply(c.res, c.failure)
	if c.request.room != nil {
		c.ep.srv.buffers.put(c.request.room)
	}
	if c.opened != nil && c.opened.link != nil {
		c.opened.link.pipe.Close()
	}
	if c.counted {
		c.ep.srv.progress.remove(seq, c)
	}
	if !c.owed {
		c.ep.srv.leave(c.ep)
	}
}

// A parting is the rest of a call whose answer goes in parts.
type parting struct {
	*inbound
	seq uint64
}

func (p *parting) serve() {
	p.finish(p.seq)
	if p.batch != nil {
		p.batch.end()
	}
}

func (c *inbound) answer() (*Response, *bus.Error) {
	s := c.ep.srv
	if err := c.parse(); err != nil {
		c.ep.counter.done(time.Since(c.arrived))
		return nil, c.ep.failed(err)
	}
	if c.ep.opts.single {
		if _, _, _, direct := wire.ParseNode(c.msg.Subject); !direct {
			c.ep.counter.done(time.Since(c.arrived))
			return nil, c.ep.chooseOne()
		}
	}
	deadline, now := c.deadline(), c.arrived
	if !c.ep.opts.inline { // which has not waited since
		now = s.conn.Now()
	}
	if !now.Before(deadline) {
		c.ep.counter.done(time.Since(c.arrived))
		return nil, c.ep.failed(bus.Errorf(bus.DeadlineExceeded, "the caller's time was over before %s could begin", c.ep.method))
	}
	c.ctx = &callContext{ep: c.ep, parent: s.base, deadline: deadline, request: &c.request, caller: c.caller}
	if len(s.cfg.Middleware) == 0 { // which would own the answer
		c.request.room = s.buffers.get()
	}
	if c.caller != "" {
		c.ctx.cancels = s.cancels
		c.ctx.framed, c.ctx.seq = c.framed, c.seq
	}
	if c.opened != nil && c.opened.Call {
		if err := c.receiveBody(deadline); err != nil {
			c.ep.counter.done(time.Since(c.arrived))
			return nil, c.ep.failed(err)
		}
	}
	return c.ep.call(c.ctx, c.arrived, now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// parse reads the message into the request.
func (c *inbound) parse() error {
	c.request.Service, c.request.Method, c.request.Instance = c.ep.srv.cfg.Name, c.ep.method, c.ep.srv.id
	c.request.Attempt = 1
	c.framed = wire.IsFrame(c.data) && len(c.msg.Header[wire.HeaderContentType]) == 0
	if len(c.msg.Header) > 0 {
		if err := checkHeader(c.msg.Header); err != nil {
			return err
		}
	}
	if c.framed {
		return c.parseFrame()
	}
	return c.parsePlain()
}

func (c *inbound) parseFrame() error {
	f, err := wire.ParseFrame(c.data)
	if err != nil {
		return brokenFrame(err, f)
	}
	c.seq = f.Seq
	switch {
	case f.Type == wire.FrameCall && c.ep.kind != "":
		return c.notACall()
	case f.Type == wire.FrameCall:
	case f.Type == wire.FrameOpen && c.batch == nil:
		if err := c.parseOpen(&f); err != nil {
			return err
		}
		f.Payload = nil
	default:
		return bus.Errorf(bus.InvalidArgument, "a frame of type %s is not a request", f.Type)
	}
	if f.More {
		return bus.Errorf(bus.Unimplemented, "%s does not take requests in parts", c.ep.method)
	}
	c.request.Codec, c.request.Body = codec.Codec(f.Codec), f.Payload
	if f.Codec == wire.CodecNone {
		c.request.Codec = codec.JSON
	} else if !c.request.Codec.Valid() {
		return bus.Errorf(bus.Unimplemented, "codec %d is not known: 1 JSON, 2 msgpack, 3 protobuf and 4 raw are", f.Codec)
	}
	if f.Timeout != 0 {
		c.timed, c.timeout = true, max(0, f.Timeout)
	}
	for _, p := range f.Meta {
		if p.Key == wire.HeaderContentType || p.Key == wire.HeaderTimeout {
			continue // the frame has fields for them
		}
		if err := c.control(p.Key, p.Value); err != nil {
			return err
		}
	}
	c.request.Meta = metadataOfPairs(f.Meta)
	return nil
}

// notACall tells a caller who knows streams that the method is one.
func (c *inbound) notACall() *bus.Error {
	return bus.Errorf(bus.Unimplemented, "%s is a stream (%s): open it as one, on the command line with mbus stream", c.ep.method, c.ep.kind)
}

func (c *inbound) parseOpen(f *wire.Frame) error {
	open, err := wire.ParseOpen(f.Payload)
	switch {
	case !open.Call && c.ep.kind == "":
		return bus.Errorf(bus.Unimplemented, "%s is not a stream: call it, on the command line with mbus query", c.ep.method)
	case err != nil:
		return bus.Errorf(bus.InvalidArgument, "the opening of the stream is broken: %w", err)
	case open.Call && c.ep.kind == "":
		return c.parseLarge(f, open)
	case open.Call:
		return bus.Errorf(bus.Unimplemented, "%s is a stream; it takes no call in parts", c.ep.method)
	case len(open.Message) > pipe.Fragment:
		return bus.Errorf(bus.TooLarge, "the first message of a stream may have %d bytes with its opening, not %d", pipe.Fragment, len(open.Message))
	}
	c.opened = &opened{Open: open, batches: metaOf(f.Meta, wire.MetaStreamBatch) == wire.StreamBatchVersion}
	return nil
}

// parseLarge reads the opening of a call whose request follows in parts.
func (c *inbound) parseLarge(f *wire.Frame, open wire.Open) error {
	size, err := sizeOf(f.Meta)
	switch limit := c.ep.srv.maxBody(); {
	case err != nil:
		return err
	case size > limit:
		return overLimit("the request", size, limit)
	case open.First, open.Half:
		return bus.Errorf(bus.InvalidArgument, "the request in parts begins with its opening")
	}
	c.opened = &opened{Open: open, size: size}
	return nil
}

func brokenFrame(err error, f wire.Frame) error {
	if errors.Is(err, wire.ErrVersion) {
		return bus.Errorf(bus.Unimplemented, "frame version %d is not known here, version %d is", f.Version, wire.Version)
	}
	return bus.Errorf(bus.InvalidArgument, "the request is a broken frame: %w", err)
}

func (c *inbound) parsePlain() error {
	c.request.Codec, c.request.Body = codec.JSON, c.data
	if len(c.msg.Header) == 0 {
		return nil
	}
	for name, values := range c.msg.Header {
		if !controls(name) {
			continue
		}
		if len(values) != 1 {
			return bus.Errorf(bus.InvalidArgument, "the header %s is there %d times; send it once", name, len(values))
		}
		if err := c.control(name, values[0]); err != nil {
			return err
		}
	}
	c.request.Meta = metadataOfHeader(c.msg.Header)
	return nil
}

// controls reports whether a header of exactly this name steers the call.
// Other spellings of these names are neither obeyed nor passed on.
func controls(name string) bool {
	switch name {
	case wire.HeaderContentType, wire.HeaderTimeout, wire.HeaderID, wire.HeaderConn, wire.HeaderAttempt, wire.HeaderFrom, wire.HeaderStream, wire.HeaderDepth:
		return true
	}
	return false
}

// control obeys a header that steers the call, or the metadata of that name in
// a frame.
func (c *inbound) control(name, value string) error {
	switch name {
	case wire.HeaderContentType:
		got, err := codec.Parse(value)
		if err != nil {
			return err
		}
		c.request.Codec = got
	case wire.HeaderTimeout:
		d, err := wire.ParseTimeout(value)
		if err != nil {
			return bus.Errorf(bus.InvalidArgument, "%w", err)
		}
		c.timed, c.timeout = true, d
	case wire.HeaderID:
		c.request.ID = value
	case wire.HeaderConn:
		c.caller = value
	case wire.HeaderAttempt:
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n == 0 {
			return bus.Errorf(bus.InvalidArgument, "%s: want a count from 1", wire.HeaderAttempt)
		}
		c.request.Attempt = int(n)
	case wire.HeaderFrom:
		c.request.From = value
	case wire.HeaderDepth:
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return bus.Errorf(bus.InvalidArgument, "%s: want a count", wire.HeaderDepth)
		}
		c.request.depth = int(n)
	case wire.HeaderStream:
		switch {
		case value != wire.StreamChunks:
			return bus.Errorf(bus.Unimplemented, "%s: %q is not known, %q is", wire.HeaderStream, value, wire.StreamChunks)
		case c.ep.kind != "":
			return c.notACall()
		}
		c.chunks = true
	}
	return nil
}
