package rpc

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// maxKeptBuffer bounds the buffers a server or client keeps for the next frame.
const maxKeptBuffer = 512 << 10

// reply sends the answer or the error in the spelling of the request. An answer
// that cannot be sent becomes an error that can: a caller is never left without
// a word.
func (c *inbound) reply(res *Response, failure *bus.Error) {
	if failure == nil {
		err := c.send(res)
		if err == nil {
			return
		}
		failure = c.ep.failed(err)
	}
	if err := c.sendError(failure); err != nil {
		c.ep.srv.log.Warn().Err(err).Str("method", c.ep.method).Msg("a reply is lost")
	}
}

func (c *inbound) send(res *Response) error {
	if res == nil {
		res = &Response{}
	}
	if c.inParts(res) {
		return c.replyLarge(res)
	}
	if c.framed {
		return c.sendFrame(res)
	}
	var pairs []wire.Pair
	if res.Codec.Valid() && res.Codec != codec.JSON {
		pairs = append(pairs, wire.Pair{Key: wire.HeaderContentType, Value: res.Codec.ContentType()})
	}
	if len(res.Meta) > 0 {
		var err error
		if pairs, err = appendPairs(pairs, res.Meta); err != nil {
			return unencodable(err, c.ep.method)
		}
	}
	return c.sent(c.publish(headerOf(pairs), res.Body), len(res.Body))
}

// inParts reports whether an answer goes in parts.
func (c *inbound) inParts(res *Response) bool {
	return res != nil && (c.framed || c.chunks) && len(res.Body) > whole(c.ep.srv.conn, c.ep.srv.cfg.ChunkAbove)
}

func (c *inbound) sendFrame(res *Response) error {
	f := wire.Frame{Type: wire.FrameReply, Seq: c.seq, Codec: uint8(res.Codec), Payload: res.Body}
	if f.Codec == wire.CodecNone {
		f.Codec = wire.CodecJSON
	}
	if len(res.Meta) > 0 {
		var err error
		if f.Meta, err = appendPairs(nil, res.Meta); err != nil {
			return unencodable(err, c.ep.method)
		}
	}
	buf := c.ep.srv.buffers.get()
	defer c.ep.srv.buffers.put(buf)
	buf.b = wire.AppendFrame(buf.b, &f)
	return c.sent(c.publish(nil, buf.b), len(buf.b))
}

// sent judges the sending of an answer. Only an answer that can never be sent
// is worth an error reply.
func (c *inbound) sent(err error, size int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bus.TooLarge):
		return bus.Errorf(bus.TooLarge, "the answer of %s has %d bytes with its headers, over the broker's limit of %d", c.ep.method, size, c.ep.srv.conn.MaxPayload())
	}
	c.ep.srv.log.Warn().Err(err).Str("method", c.ep.method).Msg("a reply is lost")
	return nil
}

// sendError sends an error reply, without its detail if that is too large.
func (c *inbound) sendError(failure *bus.Error) error {
	for {
		var err error
		if c.framed {
			err = c.publish(nil, failure.AppendFrame(nil, c.seq))
		} else {
			err = c.publish(failure.Header(), failure.Detail)
		}
		if !errors.Is(err, bus.TooLarge) || failure.Detail == nil {
			return err
		}
		bare := *failure
		bare.Detail = nil
		failure = &bare
	}
}

func (c *inbound) publish(header nats.Header, data []byte) error {
	if c.batch != nil {
		return c.batch.answer(c, data)
	}
	return c.ep.srv.conn.Publish(c.ep.srv.life, c.msg.Reply, "", header, data)
}
