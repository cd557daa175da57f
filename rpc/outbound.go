package rpc

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// send chooses an instance, if the client does, sends the request once and waits
// for the answer.
func (c *Client) send(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
	if p.choice == nil || req.Instance != "" {
		return c.deliver(ctx, p, req)
	}
	return c.route(ctx, p, req, c.deliver)
}

// deliver sends the request once and waits for the answer.
func (c *Client) deliver(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
	pairs, err := c.control(req)
	if err != nil {
		return nil, bus.AsError(err)
	}
	subject := ""
	switch foreign := p.foreignSubject(req); {
	case foreign != "":
		return c.sendForeign(ctx, foreign, req)
	case req.Instance != "":
		subject = wire.NodeSubject(req.Service, req.Instance, req.Method)
	default:
		subject = p.subject(req.Method)
	}
	if len(req.Body) > whole(c.conn, c.cfg.ChunkAbove) && p.takesParts(len(req.Body)) {
		return c.sendLarge(ctx, p, req)
	}
	if p.frames() {
		return c.sendFrame(ctx, p, subject, req, pairs)
	}
	return c.sendPlain(ctx, subject, req, pairs)
}

// controlPairs is how many there are besides the metadata, mostly.
const controlPairs = 2

// control returns what travels beside the body, in either spelling, but for
// codec and timeout.
func (c *Client) control(req *Request) ([]wire.Pair, error) {
	var pairs []wire.Pair
	if room := len(req.Meta) + controlPairs; len(req.Meta) > 0 || req.From != "" {
		pairs = make([]wire.Pair, 0, room)
	}
	switch {
	case req.cancellable && pairs == nil:
		pairs = c.pairs[:1:1] // appending copies
	case req.cancellable:
		pairs = append(pairs, c.pairs[0])
	}
	if req.From != "" {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderFrom, Value: req.From})
	}
	if req.ID != "" {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderID, Value: req.ID})
	}
	if req.Attempt > 1 {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderAttempt, Value: strconv.Itoa(req.Attempt)})
	}
	if req.depth > 0 {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderDepth, Value: strconv.Itoa(req.depth)})
	}
	if len(req.Meta) == 0 && req.From == "" && req.ID == "" {
		return pairs, nil // nothing in it comes from outside
	}
	pairs, err := appendPairs(pairs, req.Meta)
	if err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	return pairs, nil
}

// timeLeft is how long the caller still waits; 0 means that it does not say.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	if left := time.Until(deadline); left > 0 {
		return left
	}
	return wire.Expired
}

// timeLeft is how long the caller still waits. A request that has just begun has
// its whole time.
func (c *Client) timeLeft(ctx context.Context, p *peer, req *Request) time.Duration {
	if l, ok := ctx.(*limited); ok && c.direct(req, p) {
		return l.until.Sub(req.origin.began)
	}
	return timeLeft(ctx)
}

func (c *Client) sendFrame(ctx context.Context, p *peer, subject string, req *Request, pairs []wire.Pair) (*Response, *bus.Error) {
	f := wire.Frame{
		Type: wire.FrameCall, Seq: c.seq.Add(1), Codec: uint8(req.Codec), Timeout: c.timeLeft(ctx, p, req), Meta: pairs, Payload: req.Body,
	}
	buf := c.buffers.get()
	buf.b = wire.AppendFrame(buf.b, &f)
	if c.cfg.Batch && p.batches(len(buf.b)) {
		return c.sendBatched(ctx, p, subject, req, buf, f.Seq)
	}
	r, err := c.conn.Call(ctx, within(ctx, bus.Call{Subject: subject, Data: buf.b, Seq: f.Seq, Began: req.start()}))
	c.buffers.put(buf)
	if err != nil {
		return nil, c.unanswered(err, req, f.Seq)
	}
	return c.readReply(ctx, p, req, f.Seq, &r)
}

// readReply reads the answer to a frame, which mostly is one.
func (c *Client) readReply(ctx context.Context, p *peer, req *Request, seq uint64, r *bus.Reply) (*Response, *bus.Error) {
	switch {
	case r.Msg != nil:
		return c.read(ctx, p, req, seq, r.Msg)
	case wire.TypeOf(r.Data) == wire.FrameReply:
		if c.direct(req, p) {
			req.origin.simple = true
		}
		return readFrame(seq, r.Data, req)
	}
	return c.read(ctx, p, req, seq, &nats.Msg{Reply: r.Reply, Data: r.Data})
}

// unanswered is the error of a frame without an answer, for which the caller may
// have given up.
func (c *Client) unanswered(err error, req *Request, seq uint64) *bus.Error {
	failure := bus.AsError(err)
	if failure.End == bus.Cancelled && req.cancellable {
		c.giveUp(wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCancel, Seq: seq}))
	}
	return failure
}

// read reads the answer to a frame.
func (c *Client) read(ctx context.Context, p *peer, req *Request, seq uint64, m *nats.Msg) (*Response, *bus.Error) {
	if e := bus.ReplyError(m); e != nil {
		if !wire.IsFrame(m.Data) {
			p.notFrames()
		}
		return nil, e
	}
	if !wire.IsFrame(m.Data) || len(m.Header[wire.HeaderContentType]) > 0 {
		p.notFrames()
		return readPlain(m)
	}
	if wire.TypeOf(m.Data) == wire.FrameAccept {
		return c.fetch(ctx, req, m)
	}
	return readFrame(seq, m.Data, req)
}

// readFrame reads the frame that answers a frame, if it is no error.
func readFrame(seq uint64, data []byte, req *Request) (*Response, *bus.Error) {
	answer, err := wire.ParseFrame(data)
	if err != nil {
		return nil, badReply("%w", err)
	}
	if answer.Type != wire.FrameReply || answer.Seq != seq || answer.More {
		return nil, badReply("a frame of type %s, number %d, answers number %d", answer.Type, answer.Seq, seq)
	}
	res := req.response()
	*res = Response{Codec: codec.Codec(answer.Codec), Body: answer.Payload, Meta: metadataOfPairs(answer.Meta)}
	if answer.Codec == wire.CodecNone {
		res.Codec = codec.JSON
	}
	if !res.Codec.Valid() {
		return nil, badReply("codec %d is not known", answer.Codec)
	}
	return res, nil
}

func (c *Client) sendPlain(ctx context.Context, subject string, req *Request, pairs []wire.Pair) (*Response, *bus.Error) {
	id := req.ID
	if id == "" && req.cancellable {
		// Without an id the call could not be named in a cancel.
		id = strconv.FormatUint(c.seq.Add(1), 36)
		pairs = append(pairs, wire.Pair{Key: wire.HeaderID, Value: id})
	}
	pairs = append(pairs, wire.Pair{Key: wire.HeaderStream, Value: wire.StreamChunks})
	if left := timeLeft(ctx); left != 0 {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderTimeout, Value: wire.FormatTimeout(left)})
	}
	res, failure := c.exchange(ctx, subject, req, pairs)
	if failure != nil && failure.End == bus.Cancelled && req.cancellable {
		c.giveUp([]byte(id))
	}
	return res, failure
}

// sendForeign calls a service that knows nothing of mbus: JSON, and no header
// but what the caller set.
func (c *Client) sendForeign(ctx context.Context, subject string, req *Request) (*Response, *bus.Error) {
	if req.Codec == codec.Msgpack {
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, req.Body)
		if err != nil {
			return nil, bus.AsError(err)
		}
		plain := *req
		plain.Codec, plain.Body = codec.JSON, text
		req = &plain
	}
	pairs, err := appendPairs(nil, req.Meta)
	if err != nil {
		return nil, bus.AsError(err)
	}
	return c.exchange(ctx, subject, req, pairs)
}

// exchange sends a plain request and reads the plain answer.
func (c *Client) exchange(ctx context.Context, subject string, req *Request, pairs []wire.Pair) (*Response, *bus.Error) {
	if req.Codec != codec.JSON {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderContentType, Value: req.Codec.ContentType()})
	}
	m, err := c.conn.Request(ctx, subject, headerOf(pairs), req.Body)
	if err != nil {
		return nil, bus.AsError(err)
	}
	if e := bus.ReplyError(m); e != nil {
		return nil, e
	}
	if wire.TypeOf(m.Data) == wire.FrameAccept && len(m.Header[wire.HeaderContentType]) == 0 {
		return c.fetch(ctx, req, m)
	}
	return readPlain(m)
}

// readPlain reads a plain answer.
func readPlain(m *nats.Msg) (*Response, *bus.Error) {
	res := &Response{Codec: codec.JSON, Body: m.Data}
	if len(m.Header) == 0 {
		return res, nil
	}
	if err := checkHeader(m.Header); err != nil {
		return nil, badReply("%w", err)
	}
	if types := m.Header[wire.HeaderContentType]; len(types) > 0 {
		c, err := codec.Parse(types[0])
		if err != nil {
			return nil, badReply("%w", err)
		}
		res.Codec = c
	}
	res.Meta = metadataOfHeader(m.Header)
	return res, nil
}

// badReply says that an answer came and cannot be read. The handler has run.
func badReply(format string, args ...any) *bus.Error {
	e := bus.Errorf(bus.DataLoss, "bad reply: "+format, args...)
	e.End = bus.Handler
	return e
}
