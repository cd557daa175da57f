package rpc

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// A RawStream is one side of an open stream of messages as bytes; [Stream] is
// made of it. One goroutine may send while another receives; sends from several
// goroutines follow one another.
type RawStream struct {
	ctx      context.Context
	flow     flow
	codec    codec.Codec // that the caller prefers
	instance string
	trail    trailer           // the server's
	explain  func(error) error // makes the caller's errors say what was called
	giveUp   func()            // the caller's

	// A message that breaks the schema of its type ends the stream.
	refusal atomic.Pointer[bus.Error]
	stop    context.CancelCauseFunc // the server's
}

// A flow carries the messages of a stream: frames, or the bodies of a caller
// that knows no frames.
type flow interface {
	Send(ctx context.Context, codec uint8, data []byte) error
	Recv(ctx context.Context) (codec uint8, data []byte, err error)
	Peek(ctx context.Context) (codec uint8, data []byte, err error)
	Half(meta []wire.Pair) error
	Trailer() []wire.Pair
}

var (
	_ flow = (*pipe.Pipe)(nil)
	_ flow = (*plainFlow)(nil)
)

type trailer struct {
	mu   sync.Mutex
	meta Metadata
}

// refuse ends the stream on the server's side: its context, what it receives,
// and with the handler all of it, which the caller learns the reason of.
func (s *RawStream) refuse(e *bus.Error) {
	if s.refusal.CompareAndSwap(nil, e) {
		s.stop(e)
	}
}

// Context returns the context of the stream. It ends with the stream.
func (s *RawStream) Context() context.Context { return s.ctx }

// Instance returns the id of the instance that serves the stream.
func (s *RawStream) Instance() string { return s.instance }

// Codec returns the codec that the caller of the stream has chosen.
func (s *RawStream) Codec() codec.Codec { return s.codec }

// Send sends one message, of at most MaxBody bytes. It waits while the peer has
// as many messages waiting as it takes, until the stream ends. One that could not
// be sent may show in the next Send or Recv. After a good end the error is io.EOF.
func (s *RawStream) Send(c codec.Codec, body []byte) error {
	if refusal := s.refusal.Load(); refusal != nil {
		return refusal
	}
	return s.explain(s.flow.Send(s.ctx, uint8(c), body))
}

// Recv returns the next message. After the last one the error is io.EOF, or why
// the stream failed. The body belongs to whoever gets it.
func (s *RawStream) Recv() (codec.Codec, []byte, error) {
	if refusal := s.refusal.Load(); refusal != nil {
		return 0, nil, refusal
	}
	return s.received(s.flow.Recv(s.ctx))
}

// peek is Recv for who decodes the body at once.
func (s *RawStream) peek() (codec.Codec, []byte, error) {
	if refusal := s.refusal.Load(); refusal != nil {
		return 0, nil, refusal
	}
	return s.received(s.flow.Peek(s.ctx))
}

func (s *RawStream) received(c uint8, body []byte, err error) (codec.Codec, []byte, error) {
	if err != nil {
		return 0, nil, s.explain(err)
	}
	if got := codec.Codec(c); got.Valid() {
		return got, body, nil
	}
	if c == wire.CodecNone {
		return codec.JSON, body, nil
	}
	return 0, nil, s.explain(bus.Errorf(bus.Unimplemented, "codec %d of a message is not known", c))
}

// CloseSend says that this side sends no more; receiving goes on. Doing it again
// does nothing.
func (s *RawStream) CloseSend() error { return s.explain(s.flow.Half(nil)) }

// Close gives the stream up: the context of the handler ends. On the server's
// side, and after the end of the stream, it does nothing: there a handler ends
// its stream by returning.
func (s *RawStream) Close() error {
	if s.giveUp != nil {
		s.giveUp()
	}
	return nil
}

// SetTrailer adds one entry to the metadata that the caller gets with the end of
// the stream. It has no effect on the caller's side.
func (s *RawStream) SetTrailer(name, value string) {
	s.trail.mu.Lock()
	defer s.trail.mu.Unlock()
	if s.trail.meta == nil {
		s.trail.meta = make(Metadata)
	}
	s.trail.meta[name] = value
}

// Trailer returns the metadata that came with the end of the stream; nil before
// it.
func (s *RawStream) Trailer() Metadata { return metadataOfPairs(s.flow.Trailer()) }

// unexplained is what the server's side of a stream makes of its errors: a
// handler returns them as they are.
func unexplained(err error) error {
	if e, ok := err.(*bus.Error); ok && e == nil { //nolint:errorlint // a nil of the type, as a flow may return it
		return nil
	}
	return err
}

// explainer makes errors say which call they are about. The end of a stream is
// none.
func explainer(explain func(error) error) func(error) error {
	return func(err error) error {
		if err == nil || err == io.EOF { //nolint:errorlint // it is never wrapped
			return err
		}
		return explain(err)
	}
}
