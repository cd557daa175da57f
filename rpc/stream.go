package rpc

import (
	"context"
	"io"
	"iter"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// A Stream is one side of an open stream: In is what its holder receives, Out
// what it sends. The other side holds the same stream the other way round.
//
// A message that is not received holds up its sender: 1024 messages or 1 MiB may
// wait, less where many streams share a connection. Nothing is dropped.
//
// The caller of a stream must bring it to an end: receive up to an error, Close
// it, or end its context. A handler ends it by returning.
type Stream[In, Out any] struct {
	raw     *RawStream
	buffers *buffers // of the side
	decode  func(codec.Codec, []byte, *In) error
	encode  func(dst []byte, m *Out) (codec.Codec, []byte, error) // nothing keeps what it appends to dst
}

// Send sends one message and waits while the peer has as many waiting as it
// takes. Messages that follow one another quickly may leave together, so that one
// which could not be sent shows in the next Send or Recv. After a good end of the
// stream the error is io.EOF.
func (s *Stream[In, Out]) Send(m *Out) error {
	buf := s.buffers.get()
	defer s.buffers.put(buf)
	c, body, err := s.encode(buf.b, m)
	if err != nil {
		return s.raw.explain(err)
	}
	if c != codec.Raw { // bytes are sent from where they lie
		buf.b = body
	}
	return s.raw.Send(c, body)
}

// Recv returns the next message. After the last one the error is io.EOF, or why
// the stream failed. A message that cannot be decoded is an error, and the
// stream goes on, unless the service validates: see [Validate].
func (s *Stream[In, Out]) Recv() (*In, error) {
	c, body, err := s.raw.peek()
	if err != nil {
		return nil, err
	}
	m := new(In)
	if err := s.decode(c, body, m); err != nil {
		return nil, s.raw.explain(err)
	}
	return m, nil
}

// All returns the messages up to the end of the stream; an error is the last
// thing that it yields. To break off the loop does not end the stream.
func (s *Stream[In, Out]) All() iter.Seq2[*In, error] {
	return func(yield func(*In, error) bool) {
		for {
			m, err := s.Recv()
			if err == io.EOF { //nolint:errorlint // it is never wrapped
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// CloseSend says that this side sends no more; receiving goes on.
func (s *Stream[In, Out]) CloseSend() error { return s.raw.CloseSend() }

// Close gives the stream up: the context of the handler ends. After the end of
// the stream, and in a handler, it does nothing.
func (s *Stream[In, Out]) Close() error { return s.raw.Close() }

// Context returns the context of the stream. It ends with the stream.
func (s *Stream[In, Out]) Context() context.Context { return s.raw.ctx }

// Instance returns the id of the instance that serves the stream.
func (s *Stream[In, Out]) Instance() string { return s.raw.instance }

// SetTrailer adds one entry to the metadata that the caller gets with the end of
// the stream. It has no effect on the caller's side.
func (s *Stream[In, Out]) SetTrailer(name, value string) { s.raw.SetTrailer(name, value) }

// Trailer returns the metadata that came with the end of the stream; nil before
// it.
func (s *Stream[In, Out]) Trailer() Metadata { return s.raw.Trailer() }

// Raw returns the stream of bytes underneath.
func (s *Stream[In, Out]) Raw() *RawStream { return s.raw }

// A StreamMethod is a contract that a service and its callers share, for a
// stream: callers send Req and receive Res.
type StreamMethod[Req, Res any] struct {
	Service string
	Name    string
}

// Handle registers f as this method of s, whose name must be the Service of the
// contract: another name panics.
func (m StreamMethod[Req, Res]) Handle(s *Server, f func(context.Context, *Stream[Req, Res]) error, opts ...HandleOption) {
	if s.cfg.Name != m.Service {
		panic("rpc: " + m.Name + " is a method of " + m.Service + ", not of " + s.cfg.Name)
	}
	HandleStream(s, m.Name, f, opts...)
}

// Open opens a stream; see [OpenStream].
func (m StreamMethod[Req, Res]) Open(ctx context.Context, c *Client, opts ...CallOption) (*Stream[Res, Req], error) {
	return OpenStream[Res, Req](ctx, c, m.Service, m.Name, opts...)
}

// brokenMessage says that a message of a stream cannot be read.
func brokenMessage(err error) error { return bus.Errorf(bus.DataLoss, "bad message: %w", err) }
