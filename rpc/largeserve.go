package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// receiveBody receives the body of a request in parts.
func (c *inbound) receiveBody(deadline time.Time) error {
	s, size := c.ep.srv, c.opened.size
	if !s.hold(size) {
		return refused(bus.Errorf(bus.ResourceExhausted, "%s puts together %d MiB of requests already", s.named(), maxAssembling>>20))
	}
	defer s.hold(-size)
	ctx, cancel := context.WithDeadline(s.base, deadline)
	defer cancel()
	link := &serverStream{srv: s, reply: c.msg.Reply, end: func(error) { c.ctx.interrupt(errGaveUp) }}
	link.open(c.opened.Open)
	c.opened.link = link
	if err := link.accept(c.seq, link.pipe.Grant(), nil); err != nil {
		return err
	}
	k, body, err := link.pipe.RecvSized(ctx, size)
	if err != nil {
		return err
	}
	if _, _, err := link.pipe.Recv(ctx); !errors.Is(err, io.EOF) {
		return bus.Errorf(bus.InvalidArgument, "the request goes on behind its end (%v)", err)
	}
	if err := checkSum(body, size, link.pipe.Trailer()); err != nil {
		return err
	}
	c.request.Codec, c.request.Body = codec.Codec(k), body
	if !c.request.Codec.Valid() {
		return bus.Errorf(bus.Unimplemented, "codec %d is not known: 1 JSON, 2 msgpack, 3 protobuf and 4 raw are", k)
	}
	return nil
}

// replyLarge sends an answer in parts: on the stream that brought the request,
// or on one of its own, which is announced in place of the answer and begins
// when the caller says that it listens.
func (c *inbound) replyLarge(res *Response) error {
	s := c.ep.srv
	if len(res.Body) > s.maxBody() {
		return overLimit("the answer of "+c.ep.method, len(res.Body), s.maxBody())
	}
	meta := []wire.Pair{sumMeta(res.Body)}
	meta, err := appendPairs(meta, res.Meta)
	if err != nil {
		return unencodable(err, c.ep.method)
	}
	ctx, cancel := context.WithCancel(s.base)
	defer cancel()
	limit := time.AfterFunc(time.Until(c.deadline()), cancel)
	defer limit.Stop()
	begun := func() {
		limit.Reset(max(time.Until(c.deadline()), takenAlways+time.Duration(len(res.Body))*time.Second/takenPace))
	}
	k := uint8(res.Codec)
	if !res.Codec.Valid() {
		k = wire.CodecJSON
	}
	var link *serverStream
	if c.opened != nil {
		link = c.opened.link
	}
	if link != nil {
		begun()
	} else {
		link = &serverStream{srv: s, reply: c.msg.Reply, ticket: true, begun: begun, end: func(error) {}}
		link.open(wire.Open{})
		defer link.pipe.Close()
		if err := link.announce(c.seq, k, len(res.Body), meta); err != nil {
			return c.sent(err, 0)
		}
	}
	if err := link.pipe.Send(ctx, k, res.Body); err != nil {
		// Whoever asked has gone, or does not take it: there is nobody to tell.
		link.pipe.Cancel(bus.AsError(err))
		s.log.Debug().Err(err).Str("method", c.ep.method).Msg("an answer in parts was not taken")
		return nil
	}
	return c.sent(link.pipe.End(nil, meta), len(res.Body))
}

// announce tells the caller of an answer that waits to be taken. What is said at
// its end is said here too, so that it can be passed on before the body, unless
// that and the size are more than may travel.
func (s *serverStream) announce(seq uint64, codec uint8, size int, trailer []wire.Pair) error {
	head := append([]wire.Pair{sizeMeta(size)}, trailer...)
	if wire.CheckMeta(head) != nil {
		head, codec = head[:1], wire.CodecNone
	}
	return s.acceptIn(seq, codec, wire.Credit{}, head)
}

const (
	// An answer in parts whose caller has begun to take it, while the call had
	// time left, may take this much and a second for each takenPace bytes: whoever
	// passes it on to a slow reader may be slow, and must not hold it for ever.
	takenAlways = 30 * time.Second
	takenPace   = 64 << 10
)

// hold counts bytes that are put together, and reports whether there is room for
// them.
func (s *Server) hold(n int) bool {
	if total := s.assembling.Add(int64(n)); n <= 0 || total <= maxAssembling {
		return true
	}
	s.assembling.Add(-int64(n))
	return false
}

// deadline is how long the call may take.
func (c *inbound) deadline() time.Time {
	limit := c.arrived.Add(c.ep.timeout())
	if c.timed {
		limit = earlier(limit, c.since.Add(c.timeout))
	}
	return limit
}
