package rpc

import (
	"context"
	"errors"
	"io"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// sendLarge sends a request in parts and waits for the answer. The instance that
// accepts the first word gets all of them.
func (c *Client) sendLarge(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
	caller := ctx
	ctx, stop := context.WithCancel(ctx) // ends with the answer
	s, failure := c.openOnce(ctx, ctx, stop, p, req, opening{call: true, body: req.Body})
	if failure != nil {
		stop()
		return nil, failure
	}
	leave := context.AfterFunc(ctx, func() { s.pipe.Cancel(bus.AsError(ctx.Err())) })
	kept := false
	defer func() {
		if leave(); !kept {
			stop()
			s.pipe.Close()
		}
	}()
	err := s.pipe.Send(ctx, uint8(req.Codec), req.Body)
	if err == nil {
		err = s.pipe.Half([]wire.Pair{sumMeta(req.Body)})
	}
	if err == nil {
		var res *Response
		if res, err = c.receiveAnswer(ctx, req, s, -1, nil); err == nil {
			kept = res.Parts != nil
			return res, nil
		}
	}
	// The answer may have come before the request was out, or in its place. What
	// comes once the caller has given up says no more than that.
	if m := s.whole.Load(); m != nil && caller.Err() == nil {
		return c.read(ctx, p, req, s.seq, m)
	}
	failure = bus.AsError(err)
	failure.Instance = s.instance
	s.pipe.Cancel(failure) // before it is closed, whatever ctx has set off
	return nil, failure
}

// fetch gets the answer whose announcement m is, in parts.
func (c *Client) fetch(ctx context.Context, req *Request, m *nats.Msg) (*Response, *bus.Error) {
	f, err := wire.ParseFrame(m.Data)
	if err != nil {
		return nil, badReply("%w", err)
	}
	a, err := wire.ParseAccept(f.Payload)
	if err != nil {
		return nil, badReply("%w", err)
	}
	size, err := sizeOf(f.Meta)
	if err != nil || !wire.UplinkAllowed(m.Reply, req.Service, a.ID) {
		return nil, badReply("the answer in parts is announced with the size %q and leads to %q", metaOf(f.Meta, wire.MetaSize), m.Reply)
	}
	s := &clientStream{client: c, req: req, answered: make(chan struct{}), decided: true, giveUp: func() {}, uplink: m.Reply, instance: a.ID}
	if s.line, err = c.conn.ExpectFrom(m.Reply, s.receive, s.unheard); err != nil {
		return nil, bus.AsError(err)
	}
	if failure := s.begin(c.maxBody()); failure != nil {
		return nil, failure
	}
	streamsOf(c.conn).leadsTo(s.pipe, req.Service, a.ID)
	if size > c.maxBody() {
		failure := overLimit("the answer", size, c.maxBody())
		s.pipe.Cancel(failure)
		failure.End, failure.Instance = bus.Handler, a.ID
		return nil, failure
	}
	leave := context.AfterFunc(ctx, func() { s.pipe.Cancel(bus.AsError(ctx.Err())) })
	kept := false
	defer func() {
		if leave(); !kept {
			s.pipe.Close()
		}
	}()
	if err := s.send(&wire.Frame{Type: wire.FrameCredit, Payload: wire.AppendCredit(nil, s.pipe.Grant())}); err != nil {
		return nil, bus.AsError(err)
	}
	res, err := c.receiveAnswer(ctx, req, s, size, &f)
	if err != nil {
		failure := bus.AsError(err)
		failure.Instance = a.ID
		s.pipe.Cancel(failure)
		return nil, failure
	}
	kept = res.Parts != nil
	return res, nil
}

// receiveAnswer receives an answer in parts, or only its beginning if the caller
// reads them itself.
func (c *Client) receiveAnswer(ctx context.Context, req *Request, s *clientStream, size int, head *wire.Frame) (*Response, error) {
	if req.InParts {
		return c.begunParts(ctx, req, s, size, head)
	}
	return s.receiveLarge(ctx, size)
}

// receiveLarge receives an answer in parts and checks it. size is -1 if the peer
// has not said it.
func (s *clientStream) receiveLarge(ctx context.Context, size int) (*Response, error) {
	k, body, err := s.pipe.RecvSized(ctx, size)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.pipe.Recv(ctx); !errors.Is(err, io.EOF) {
		if err == nil {
			err = badReply("the answer goes on behind its end")
		}
		return nil, err
	}
	trailer := s.pipe.Trailer()
	if err := checkSum(body, max(size, len(body)), trailer); err != nil {
		return nil, err
	}
	res := &Response{Codec: codec.Codec(k), Body: body, Meta: metadataOfPairs(trailer)}
	if !res.Codec.Valid() {
		return nil, badReply("codec %d is not known", k)
	}
	return res, nil
}
