package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	defaultConcurrency = 1024
	defaultCap         = 30 * time.Second
	defaultGrace       = 10 * time.Second
	// spareForDebug calls of the server's own endpoints may be at work beyond
	// Concurrency, so that an overloaded instance can still be asked how it is.
	spareForDebug = 16
	// abandonLimit is how long a Start that has failed tidies up.
	abandonLimit = 50 * time.Millisecond
)

// ServerConfig configures a Server. Only Name is required.
type ServerConfig struct {
	// Name of the service, such as "go.micro.srv.greeter": tokens of
	// [A-Za-z0-9_-] joined by dots, none starting or ending with "_", at most 16
	// tokens and 128 bytes.
	Name string
	// Version, free text. "" means "0.0.0".
	Version string
	// ID of this instance: 1 to 128 printable ASCII bytes, unique among the
	// instances of the service. "" means a new one.
	ID string
	// Metadata is shown in discovery and fixed for the instance's life. Names
	// that begin with "mbus." are the protocol's own.
	Metadata map[string]string
	// Advertise is an address, host:port, shown in discovery as the metadata
	// "address". Calls do not need it: they come through the bus. "" means none.
	Advertise string
	// Concurrency is how many calls may be at work at once; more are refused
	// with resource_exhausted and may safely be tried elsewhere. 0 means 1024.
	Concurrency int
	// Streams is how many streams may be open at once, beside the calls; more
	// are refused like those. 0 means 10,000.
	Streams int
	// ChunkAbove is the size in bytes above which an answer goes in parts, to
	// callers who take that, so that it holds up nobody else on the connection.
	// 0 means 256 KiB; it is never more than the broker takes in one message.
	ChunkAbove int
	// MaxBody is the most bytes of a message of a stream, and of a request or
	// answer that travels in parts. 0 means 64 MiB.
	MaxBody int
	// Timeout is the most time that one call gets, whatever its caller asks
	// for. 0 means 30 s. Streams have no such limit. [TimeLimit] sets another
	// for one endpoint.
	Timeout time.Duration
	// Validate checks the requests of all typed methods, as [Validate] does those
	// of one.
	Validate bool
	// Middleware wraps every handler; the first is the outermost.
	Middleware []Middleware
	// BeatInterval is the time between the heartbeats in discovery. 0 means the
	// pace that the registrar sets, 2 s without one.
	BeatInterval time.Duration
	// Unannounced serves without showing in discovery, nor to tools of NATS'
	// services API: for what stands in for an app that a registrar announces. ID
	// is then that of the app's node, and required.
	Unannounced bool
	// Grace is how long Run lets calls finish after its context has ended. 0
	// means 10 s.
	Grace time.Duration
	// Logger gets what no caller can be told. The zero value is silent.
	Logger zerolog.Logger
}

type state int

const (
	idle state = iota
	starting
	running
	stopped
)

// A Server is one instance of a service: a set of methods that it answers for
// on the bus and in discovery. It is a [bus.Runner]; it runs once.
type Server struct {
	conn *bus.Conn
	cfg  ServerConfig
	id   string
	log  zerolog.Logger
	plan *codec.Plan

	mu        sync.Mutex
	state     state
	endpoints map[string]*endpoint // not changed after Start
	order     []*endpoint
	any       *anyMethod // of HandleAny, or nil

	base       context.Context // of every call; ends when Stop runs out of time
	cut        context.CancelCauseFunc
	life       context.Context // the same values, never ends
	began      time.Time
	rotation   rotation
	node       *bus.Listener        // of calls that go to this instance alone
	announcer  *discovery.Announcer // nil when unannounced
	ready      chan struct{}        // closed when Start returns
	workers    workers
	quick      quickCalls
	cancels    *cancels
	claims     *bus.Listener
	progress   inProgress
	uplink     *bus.Listener
	uplinks    uplinks
	assembling atomic.Int64 // bytes of requests in parts
	buffers    buffers
	inbounds   inbounds
	locals     locals

	begun    atomic.Bool
	atWork   atomic.Int64 // calls
	lasting  atomic.Int64 // streams open
	serving  atomic.Bool  // calls of this process may come here
	draining atomic.Bool  // Stop has begun, and they go elsewhere
	closed   atomic.Bool  // nothing is taken any more
	empty    chan struct{}
	dropped  atomic.Uint64
}

var _ bus.Runner = (*Server)(nil)

// NewServer returns a server that is not serving yet: register methods, then
// Start or Run it. A cfg that breaks the rules of its fields is a mistake in
// the program, and panics; see [ConfigFromEnv] for what comes from outside.
func NewServer(conn *bus.Conn, cfg ServerConfig) *Server {
	if conn == nil {
		panic("rpc: NewServer without a connection")
	}
	if err := cfg.check(); err != nil {
		panic("rpc: NewServer: " + err.Error())
	}
	if cfg.Version == "" {
		cfg.Version = wire.NoVersion
	}
	if cfg.ID == "" {
		cfg.ID = nuid.Next()
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = defaultConcurrency
	}
	if cfg.Streams == 0 {
		cfg.Streams = defaultStreams
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultCap
	}
	s := &Server{
		conn: conn, cfg: cfg, id: cfg.ID, plan: codec.PlanOf(conn),
		log:       cfg.Logger.With().Str("service", cfg.Name).Str("instance", cfg.ID).Logger(),
		endpoints: make(map[string]*endpoint),
		ready:     make(chan struct{}), empty: make(chan struct{}, 1),
	}
	s.quick.workers = &s.workers
	s.rotation.turn = make(chan struct{}, 1)
	return s
}

// check says what is wrong with a configuration.
func (c ServerConfig) check() error {
	if err := wire.CheckService(c.Name); err != nil {
		return err
	}
	if c.ID != "" {
		if err := wire.CheckID(c.ID); err != nil {
			return err
		}
	}
	switch {
	case c.Concurrency < 0:
		return fmt.Errorf("concurrency %d: want a number of calls, or 0 for %d", c.Concurrency, defaultConcurrency)
	case c.Streams < 0:
		return fmt.Errorf("streams %d: want a number, or 0 for %d", c.Streams, defaultStreams)
	case c.ChunkAbove < 0:
		return fmt.Errorf("chunk above %d: want a number of bytes, or 0 for %d", c.ChunkAbove, defaultChunkAbove)
	case c.MaxBody < 0:
		return fmt.Errorf("max body %d: want a number of bytes, or 0 for %d", c.MaxBody, defaultMaxBody)
	case c.Timeout < 0:
		return fmt.Errorf("timeout %v: want a duration, or 0 for %v", c.Timeout, defaultCap)
	case c.Unannounced && c.ID == "":
		return errors.New("unannounced without an id: nobody could tell what is served")
	case c.BeatInterval < 0:
		return fmt.Errorf("beat interval %v: want a duration, or 0 for the registrar's pace", c.BeatInterval)
	}
	return checkNotes(c.Metadata)
}

// checkNotes refuses names that discovery uses itself.
func checkNotes(notes map[string]string) error {
	for name := range notes {
		if name == "" || strings.HasPrefix(name, "mbus.") {
			return fmt.Errorf("metadata %q: the name must not be empty nor begin with \"mbus.\"", name)
		}
	}
	return nil
}

// ID returns the id of this instance.
func (s *Server) ID() string { return s.id }

// Name returns the name of the service.
func (s *Server) Name() string { return s.cfg.Name }

// Run starts the server, serves until ctx ends, and stops it within the
// configured grace. It returns nil after a clean stop.
func (s *Server) Run(ctx context.Context) error {
	grace := s.cfg.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	return bus.Run(ctx, grace, s)
}

// Start begins to serve and returns once the instance is announced. It waits
// for a broker that is away until ctx ends. The values of ctx reach the
// handlers, its end after the return does not.
//
// The error is permission_denied when the broker refuses one of the
// subscriptions.
func (s *Server) Start(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer close(s.ready)
	s.life = context.WithoutCancel(ctx)
	s.base, s.cut = context.WithCancelCause(s.life)
	s.cancels = newCancels(s.conn)
	s.began = time.Now()
	err := s.open(ctx)
	if err != nil {
		s.abandon()
		err = fmt.Errorf("serve %s: %w", s.cfg.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state = running; err != nil {
		s.state = stopped
	}
	s.serving.Store(err == nil)
	return err
}

// begin closes the registration of methods.
func (s *Server) begin() error {
	if !s.begun.CompareAndSwap(false, true) {
		return bus.Errorf(bus.Conflict, "serve %s: the server has been started before; make a new one", s.cfg.Name)
	}
	s.addDebug()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != idle {
		return bus.Errorf(bus.Conflict, "serve %s: the server has been stopped; make a new one", s.cfg.Name)
	}
	s.state = starting
	return nil
}

// open subscribes and announces.
func (s *Server) open(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return bus.AsError(err)
	}
	var announcer *discovery.Announcer
	if !s.cfg.Unannounced {
		var err error
		if announcer, err = s.newAnnouncer(); err != nil {
			return err
		}
	}
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	for {
		if err := awaitBroker(ctx, s.conn); err != nil {
			return err
		}
		err := s.conn.Confirm(ctx, listeners...)
		if err == nil {
			break
		}
		if !errors.Is(err, bus.Broker) || ctx.Err() != nil {
			return err
		}
	}
	if announcer == nil {
		return nil
	}
	if err := announcer.Start(ctx); err != nil {
		return err
	}
	s.announcer = announcer
	return nil
}

// listen subscribes to every method for all instances, and to everything for
// this one. It returns all its listeners.
func (s *Server) listen() ([]*bus.Listener, error) {
	all, err := s.listenForAll()
	s.rotation.swap(all)
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimSuffix(wire.NodeWildcard(s.cfg.Name, s.id), ">")
	s.node, err = s.conn.Listen(bus.Calls, prefix+">", "", s.receiveAny(prefix))
	if err != nil {
		return nil, err
	}
	// Calls are at work, and streams open, after the last has come: these end
	// after the others. The lane is that of calls, since the answer must know of
	// every call before it.
	s.claims, err = s.conn.Listen(bus.Calls, wire.ClaimSubject(s.cfg.Name), "", s.claim)
	if err != nil {
		return nil, err
	}
	s.uplink, err = s.conn.Listen(bus.Streams, wire.StreamWildcard(s.cfg.Name, s.id), "", s.receiveUplink)
	return slices.Concat(all, []*bus.Listener{s.node, s.claims, s.uplink}), err
}

// listenForAll subscribes to the calls that go to any instance. With an error it
// returns what there is to be drained. NATS groups by queue name across
// overlapping subjects, so with HandleAny one subscription takes the methods that
// have a handler of their own too.
func (s *Server) listenForAll() (all []*bus.Listener, err error) {
	listen := func(method string, f func(*nats.Msg)) error {
		l, err := s.conn.Listen(bus.Calls, wire.CallSubject(s.cfg.Name, method), wire.Queue, f)
		if err == nil {
			all = append(all, l)
		}
		return err
	}
	if s.any != nil {
		err = listen(">", s.receiveAny(wire.CallSubject(s.cfg.Name, "")))
		return all, err
	}
	for _, e := range s.order {
		if err := listen(e.method, e.receive); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (s *Server) maxBody() int {
	if s.cfg.MaxBody > 0 {
		return s.cfg.MaxBody
	}
	return defaultMaxBody
}

// abandon undoes what a failed Start has done.
func (s *Server) abandon() {
	s.closed.Store(true)
	ctx, cancel := context.WithTimeout(s.life, abandonLimit)
	defer cancel()
	_ = s.drain(ctx, s.rotation.end(ctx)) // the start's own error is the one to report
	_ = s.drainRest(ctx)
	s.cut(errStopped)
	s.workers.stop(s.busy() == 0)
	s.cancels.stop(ctx)
}
