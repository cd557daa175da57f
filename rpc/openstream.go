package rpc

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/mbus-dev/mbus/bus/codec"
)

// OpenStream opens a stream: In is what the caller receives, Out what it sends.
// It returns once an instance has accepted it, within the client's Timeout or
// that of WithTimeout; a deadline of ctx bounds the whole stream. Opening is
// tried again as a call is; an open stream never moves to another instance.
//
// The stream must be brought to an end: received up to an error, closed, or its
// context ended.
func OpenStream[In, Out any](ctx context.Context, c *Client, service, method string, opts ...CallOption) (*Stream[In, Out], error) {
	in, out := planOfType[In](c.plan), planOfType[Out](c.plan)
	req := streamRequest(service, method, collect(opts))
	if req.Codec == 0 {
		req.Codec = streamCodec(in, out)
	}
	raw, err := c.openStream(ctx, req, opening{})
	if err != nil {
		return nil, err
	}
	return &Stream[In, Out]{
		raw:     raw,
		buffers: &c.buffers,
		decode:  messageDecoder[In](c, in),
		encode: func(dst []byte, m *Out) (codec.Codec, []byte, error) {
			k := req.Codec
			if out == codec.Raw {
				k = codec.Raw
			}
			body, err := appendMessage(c.plan, dst, k, m)
			return k, body, err
		},
	}, nil
}

// CallStream calls a server stream: it sends req and returns the answers as they
// come; an error is the last thing that it yields. To break off the loop gives
// the stream up.
func CallStream[Res any](ctx context.Context, c *Client, service, method string, req any, opts ...CallOption) iter.Seq2[*Res, error] {
	return func(yield func(*Res, error) bool) {
		start := time.Now()
		plan := planOfType[Res](c.plan)
		r := streamRequest(service, method, collect(opts))
		out := codec.Msgpack // an empty body is right in every codec
		if req != nil {
			out = planOfValue(c.plan, req)
		}
		if r.Codec == 0 {
			r.Codec = streamCodec(plan, out)
		}
		first := opening{first: true, half: true, codec: r.Codec}
		if out == codec.Raw {
			first.codec = codec.Raw
		}
		if req != nil {
			body, err := c.plan.Marshal(first.codec, req)
			if err != nil {
				yield(nil, c.explain(err, r, start))
				return
			}
			first.body = body
		}
		raw, err := c.openStream(ctx, r, first)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = raw.Close() }() // it cannot fail
		stream := &Stream[Res, struct{}]{raw: raw, decode: messageDecoder[Res](c, plan)}
		for m, err := range stream.All() {
			if !yield(m, err) {
				return
			}
		}
	}
}

// Open opens a stream of bytes: Service and Method of req are required, Codec is
// what the caller sends and would like to get; Body must be empty. [OpenStream]
// says the rest.
func (c *Client) Open(ctx context.Context, req *Request) (*RawStream, error) {
	own := *req
	own.Body, own.origin = nil, nil
	return c.openStream(ctx, &own, opening{})
}

func streamRequest(service, method string, o callOptions) *Request {
	return &Request{
		Service: service, Method: method, Instance: o.instance(service), Meta: o.meta, ID: o.id,
		Key: o.key, Idempotent: o.idempotent, Retries: o.retries, Timeout: o.timeout, Codec: o.codec,
	}
}

// streamCodec picks the codec of a stream whose two types have these plans: all
// who accept streams take msgpack.
func streamCodec(in, out codec.Codec) codec.Codec {
	switch {
	case in == codec.Protobuf && out == codec.Protobuf:
		return codec.Protobuf
	case (in == codec.Msgpack || in == codec.Raw) && (out == codec.Msgpack || out == codec.Raw):
		return codec.Msgpack
	}
	return codec.JSON
}

// appendMessage encodes a message of a stream, into dst unless it is bytes.
func appendMessage(plan *codec.Plan, dst []byte, k codec.Codec, m any) ([]byte, error) {
	if k == codec.Raw {
		return plan.Marshal(k, m)
	}
	return plan.Append(dst, k, m)
}

func messageDecoder[T any](c *Client, plan codec.Codec) func(codec.Codec, []byte, *T) error {
	return func(k codec.Codec, body []byte, out *T) error {
		if err := c.decode(&Response{Codec: k, Body: body}, out, plan); err != nil {
			return brokenMessage(err)
		}
		return nil
	}
}

// receiveOne receives the single message that a peer sends, empty if there is
// none.
func receiveOne(s *RawStream) (codec.Codec, []byte, error) {
	c, body, err := s.Recv()
	if err == io.EOF { //nolint:errorlint // it is never wrapped
		return codec.JSON, nil, nil
	}
	return c, body, err
}
