package pubsub

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const defaultBuffer = 1024

// An Event is one event as a handler gets it.
type Event[T any] struct {
	Topic string // that it was published on, without wildcards
	Value T
	// Header holds the event's headers, or is nil.
	Header nats.Header
	// Body is the event as it came. It must not be changed.
	Body []byte
}

// A Handler receives events. Its context ends when the subscription is stopped
// and its grace is over. An error is counted and logged.
type Handler[T any] func(ctx context.Context, e *Event[T]) error

// A SubscribeOption changes one subscription.
type SubscribeOption func(*subscribing)

type subscribing struct {
	group       string
	buffer      bus.Limits
	concurrency int
	logger      *zerolog.Logger
}

// WithGroup makes each event go to one member of the named group. Without it
// every subscriber gets every event.
func WithGroup(name string) SubscribeOption {
	return func(s *subscribing) { s.group = name }
}

// WithBuffer bounds the events that wait for the handler, by number and by
// bytes; 0 keeps the default of 1,024 and 64 MiB. Beyond it the newest are
// dropped and counted.
func WithBuffer(events, bytes int) SubscribeOption {
	return func(s *subscribing) { s.buffer = bus.Limits{Messages: events, Bytes: bytes} }
}

// WithConcurrency lets up to n handlers run at once, which gives up the order
// of events. The default is 1.
func WithConcurrency(n int) SubscribeOption {
	return func(s *subscribing) { s.concurrency = n }
}

// WithLogger logs failures to l instead of the connection's logger.
func WithLogger(l zerolog.Logger) SubscribeOption {
	return func(s *subscribing) { s.logger = &l }
}

// Stats counts what has happened to the events of a subscription.
type Stats struct {
	Received uint64 // handed to the handler
	Failed   uint64 // the handler returned an error or panicked
	Invalid  uint64 // could not be decoded; the handler did not run
	Dropped  uint64 // lost because the buffer was full
}

// A Subscription delivers the events of a topic or a pattern to a handler. It
// is a [bus.Runner].
type Subscription struct {
	conn    *bus.Conn
	pattern string
	opts    subscribing
	handle  func(ctx context.Context, m *nats.Msg) error
	log     zerolog.Logger

	mu      sync.Mutex
	state   state
	sub     *bus.Subscription
	cancel  context.CancelFunc
	stopped chan struct{}

	slots    chan struct{} // one for each running handler
	handlers sync.WaitGroup

	received, failed, invalid atomic.Uint64
}

type state int

const (
	fresh state = iota
	running
	over
)

// errInvalid marks an event that could not be decoded.
var errInvalid = errors.New("cannot decode the event")

// Subscribe makes a subscription to a topic or a pattern; it receives once it
// is started, by [bus.Run] or Start.
func Subscribe[T any](conn *bus.Conn, pattern string, handler Handler[T], opts ...SubscribeOption) *Subscription {
	decoder := codec.DecoderOf[T](codec.PlanOf(conn))
	return newSubscription(conn, pattern, opts, func(ctx context.Context, m *nats.Msg) error {
		e := Event[T]{Topic: m.Subject, Header: m.Header, Body: m.Data}
		if err := decode(decoder, m, &e.Value); err != nil {
			return fmt.Errorf("%w: %w", errInvalid, err)
		}
		return handler(ctx, &e)
	})
}

// Chan delivers the values of a topic or a pattern to ch until ctx ends or the
// subscription is stopped. While ch is full events wait in the buffer of
// [WithBuffer]; beyond it the newest are dropped and counted. Chan does not
// close ch, and nothing is sent on it once Stop has returned.
func Chan[T any](ctx context.Context, conn *bus.Conn, pattern string, ch chan<- T, opts ...SubscribeOption) (*Subscription, error) {
	s := Subscribe(conn, pattern, func(handling context.Context, e *Event[T]) error {
		select {
		case ch <- e.Value:
			return nil
		case <-ctx.Done():
			return nil // the reader has gone
		case <-handling.Done():
			return context.Cause(handling)
		}
	}, opts...)
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = s.Stop(ctx) }) // its only error is that ctx has ended
	return s, nil
}

func newSubscription(conn *bus.Conn, pattern string, opts []SubscribeOption, handle func(context.Context, *nats.Msg) error) *Subscription {
	s := &Subscription{conn: conn, pattern: pattern, handle: handle, log: conn.Logger(), stopped: make(chan struct{})}
	for _, opt := range opts {
		opt(&s.opts)
	}
	if s.opts.logger != nil {
		s.log = *s.opts.logger
	}
	if s.opts.buffer.Messages <= 0 {
		s.opts.buffer.Messages = defaultBuffer
	}
	s.slots = make(chan struct{}, max(s.opts.concurrency, 1))
	return s
}

func decode[T any](decoder func(codec.Codec, []byte, *T) error, m *nats.Msg, value *T) error {
	if raw, ok := any(value).(*[]byte); ok {
		*raw = m.Data
		return nil
	}
	named := ""
	if len(m.Header) > 0 {
		named = m.Header.Get(wire.HeaderContentType)
	}
	c, err := codec.OfEvent(named, m.Data)
	if err != nil {
		return err
	}
	return decoder(c, m.Data, value)
}

// Start subscribes and returns once the broker knows of it. The error is a
// *bus.Error: invalid_argument for an illegal pattern, permission_denied for a
// missing right, unavailable when the broker is away.
func (s *Subscription) Start(ctx context.Context) error {
	if err := wire.CheckPattern(s.pattern); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != fresh {
		return bus.Errorf(bus.Conflict, "the subscription to %s was started before; a subscription runs once", s.pattern)
	}
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sub, err := s.conn.Subscribe(ctx, s.pattern, s.opts.group, s.opts.buffer, func(m *nats.Msg) { s.receive(handling, m) })
	if err != nil {
		cancel()
		return fmt.Errorf("subscribe to %s: %w", s.pattern, err)
	}
	s.state, s.sub, s.cancel = running, sub, cancel
	return nil
}

// Stop takes no more events, lets the handlers finish those that have arrived,
// and returns; when ctx ends first their context ends too, and what still waits
// is dropped.
func (s *Subscription) Stop(ctx context.Context) error {
	s.mu.Lock()
	switch s.state {
	case fresh:
		s.state = over
		close(s.stopped)
		s.mu.Unlock()
		return nil
	case over:
		s.mu.Unlock()
		<-s.stopped
		return nil
	}
	s.state = over
	s.mu.Unlock()
	defer close(s.stopped)

	release := context.AfterFunc(ctx, s.cancel)
	defer release()
	defer s.cancel()
	err := s.sub.Drain(ctx)
	if err != nil {
		s.cancel()
	}
	s.handlers.Wait()
	return err
}

// Stats returns the counts so far.
func (s *Subscription) Stats() Stats {
	stats := Stats{Received: s.received.Load(), Failed: s.failed.Load(), Invalid: s.invalid.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sub != nil {
		stats.Dropped = s.sub.Dropped()
	}
	return stats
}

// receive runs on the subscription's goroutine, which waits here while all
// handlers are busy.
func (s *Subscription) receive(ctx context.Context, m *nats.Msg) {
	if cap(s.slots) == 1 {
		s.handlers.Add(1)
		defer s.handlers.Done()
		s.serve(ctx, m)
		return
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.handlers.Go(func() {
		defer func() { <-s.slots }()
		s.serve(ctx, m)
	})
}

func (s *Subscription) serve(ctx context.Context, m *nats.Msg) {
	if ctx.Err() != nil {
		return
	}
	err := s.guarded(ctx, m)
	switch {
	case errors.Is(err, errInvalid):
		s.invalid.Add(1)
		s.log.Warn().Err(err).Str("topic", m.Subject).Int("bytes", len(m.Data)).Msg("dropped an event")
		return
	case err != nil:
		s.failed.Add(1)
		s.log.Error().Err(err).Str("topic", m.Subject).Msg("the handler of an event failed")
	}
	s.received.Add(1)
}

// guarded turns a panic of the handler into an error.
func (s *Subscription) guarded(ctx context.Context, m *nats.Msg) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			s.log.Error().Str("topic", m.Subject).Str("stack", string(debug.Stack())).Msgf("the handler of an event panicked: %v", p)
		}
	}()
	return s.handle(ctx, m)
}
