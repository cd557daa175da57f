package live

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// stall is how long a client may take nothing before it is cut off.
	stall = 30 * time.Second

	defaultStreams = 10_000
	defaultMessage = 1 << 20
	defaultFrom    = "go.micro.api"
)

// Config configures a Server. The zero value works.
type Config struct {
	// From names the gateway in errors that did not come from a call. "" means
	// "go.micro.api".
	From string
	// MaxStreams is the most conversations at once; one more is answered 503
	// with a Retry-After. 0 means 10,000.
	MaxStreams int
	// MaxMessage is the most bytes of a message that a client sends: a line of
	// an upload, a frame of a WebSocket, an event. 0 means 1 MiB.
	MaxMessage int
	// Logger gets what no client can be told. The zero value is silent.
	Logger zerolog.Logger
}

// A Server holds conversations between HTTP clients and the bus. Its methods
// that begin with Serve answer one request and return when its conversation is
// over; they may be called from any goroutine. Stop ends them all.
type Server struct {
	bus *gateway.Bus
	cfg Config

	told    context.Context // ended by Stop: say goodbye
	tell    context.CancelCauseFunc
	severed context.Context // ended by Stop when its time is over: be gone
	sever   context.CancelFunc

	mu       sync.Mutex
	stopping bool
	count    int
	talks    sync.WaitGroup // Add only while mu is held and stopping is false
}

// New returns a Server that speaks for b.
func New(b *gateway.Bus, cfg Config) *Server {
	if cfg.From == "" {
		cfg.From = defaultFrom
	}
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = defaultStreams
	}
	if cfg.MaxMessage <= 0 {
		cfg.MaxMessage = defaultMessage
	}
	s := &Server{bus: b, cfg: cfg}
	s.told, s.tell = context.WithCancelCause(context.Background())
	s.severed, s.sever = context.WithCancel(context.Background())
	return s
}

// Count returns the number of conversations at this moment.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Stop tells every client that the server goes, refuses new conversations with
// 503, and returns once all have ended. When ctx ends first the connections are
// cut, and the error says how many. Stopping twice is allowed.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.tell(goingAway())
	over := make(chan struct{})
	go func() {
		s.talks.Wait()
		close(over)
	}()
	select {
	case <-over:
		s.sever()
		return nil
	case <-ctx.Done():
	}
	left := s.Count()
	s.sever()
	<-over // nothing blocks a conversation that has been cut
	return fmt.Errorf("%d conversations cut off: %w", left, context.Cause(ctx))
}

func goingAway() *bus.Error {
	e := bus.Errorf(bus.Unavailable, "the gateway is stopping; connect again")
	e.End, e.Retry = bus.Refused, bus.RetryAfter(time.Second)
	return e
}
