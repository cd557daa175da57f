package rpc

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
)

// HandleStream registers f as a method of s that is a stream in both
// directions. f serves one stream and ends it by returning; its context ends
// when the caller gives up or is gone, at the caller's deadline, and when the
// server stops. What panics is as for [Handle].
//
// A caller that knows no frames opens the stream with an ordinary request, whose
// body is the only message that f receives; it gets each message as a body, and
// an empty body at the end.
func HandleStream[In, Out any](s *Server, method string, f func(ctx context.Context, stream *Stream[In, Out]) error, opts ...HandleOption) {
	checkHandler(s, method, f == nil)
	shape := shapeOf[In, Out](s, method, opts)
	s.addStream(method, discovery.KindBidi, func(ctx context.Context, raw *RawStream) error {
		return f(ctx, newServerSide[In, Out](s, raw, RequestFrom(ctx), shape))
	}, shape, opts)
}

// HandleServerStream registers f as a method of s that answers one request with
// a stream. send sends one message and waits while the caller has as many
// waiting as it takes; it fails when the stream is over. Else it is like
// [HandleStream].
func HandleServerStream[Req, Res any](s *Server, method string, f func(ctx context.Context, req *Req, send func(*Res) error) error, opts ...HandleOption) {
	checkHandler(s, method, f == nil)
	shape := shapeOf[Req, Res](s, method, opts)
	s.addStream(method, discovery.KindServerStream, func(ctx context.Context, raw *RawStream) error {
		stream := newServerSide[Req, Res](s, raw, RequestFrom(ctx), shape)
		req, err := stream.Recv()
		if err == io.EOF { //nolint:errorlint // it is never wrapped
			req, err = new(Req), nil
		}
		if err != nil {
			return err
		}
		return f(ctx, req, stream.Send)
	}, shape, opts)
}

// HandleClientStream registers f as a method of s that answers a stream of
// requests with one answer; a nil answer without an error is the zero Res. in
// yields the requests up to the caller's end of sending, or an error as the last
// thing. Else it is like [HandleStream].
func HandleClientStream[Req, Res any](s *Server, method string, f func(ctx context.Context, in iter.Seq2[*Req, error]) (*Res, error), opts ...HandleOption) {
	checkHandler(s, method, f == nil)
	shape := shapeOf[Req, Res](s, method, opts)
	s.addStream(method, discovery.KindClientStream, func(ctx context.Context, raw *RawStream) error {
		stream := newServerSide[Req, Res](s, raw, RequestFrom(ctx), shape)
		res, err := f(ctx, stream.All())
		if err != nil {
			return err
		}
		if res == nil {
			res = new(Res)
		}
		return stream.Send(res)
	}, shape, opts)
}

// HandleRawStream registers a handler that sees messages as they are. kind is
// what discovery says of it, one of the Kind constants there.
func (s *Server) HandleRawStream(method, kind string, f func(ctx context.Context, stream *RawStream) error, opts ...HandleOption) {
	checkHandler(s, method, f == nil)
	switch kind {
	case discovery.KindServerStream, discovery.KindClientStream, discovery.KindBidi:
	default:
		panic(fmt.Sprintf("rpc: %s.%s: %q is not a kind of stream", s.cfg.Name, method, kind))
	}
	s.addStream(method, kind, f, shape{}, opts)
}

func checkHandler(s *Server, method string, missing bool) {
	if missing {
		panic(fmt.Sprintf("rpc: %s.%s: the handler is nil", s.cfg.Name, method))
	}
}

func (s *Server) addStream(method, kind string, f streamHandler, shape shape, opts []HandleOption) {
	e := s.add(method, f.handle, shape.request, shape.answer, opts)
	e.kind = kind
}

// newServerSide makes the typed stream of a handler.
func newServerSide[In, Out any](s *Server, raw *RawStream, req *Request, shape shape) *Stream[In, Out] {
	return &Stream[In, Out]{
		raw:     raw,
		buffers: &s.buffers,
		decode: func(c codec.Codec, body []byte, m *In) error {
			return s.decodeMessage(raw, req, c, body, m, shape)
		},
		encode: func(dst []byte, m *Out) (codec.Codec, []byte, error) {
			k := answerCodec(req, shape.answerPlan)
			body, err := appendMessage(s.plan, dst, k, m)
			if err != nil {
				return 0, nil, unencodable(err, req.Method)
			}
			return k, body, nil
		},
	}
}
