package sidecar

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

// Service is the name by which a sidecar goes.
const Service = "go.micro.sidecar"

const (
	defaultNamespace   = "go.micro.srv"
	defaultConcurrency = 64
	defaultQueue       = 256
	defaultMaxBody     = 64 << 20
)

// The handlers of paths.
const (
	handlerRPC   = "rpc"
	handlerProxy = "proxy"
	handlerHTTP  = "http" // another word for proxy
)

// Config configures a Sidecar. The zero value works: a sidecar for apps that
// register themselves.
type Config struct {
	// Namespace is what POST /{service}/{method} puts before the service of a
	// path. "" means "go.micro.srv".
	Namespace string
	// Handler says what such a path does: "rpc" calls the service, "proxy"
	// passes the request to a registered app as it is. "" means "rpc".
	Handler string
	// App is an app that the sidecar registers, keeps an eye on and deregisters
	// when it stops. The zero value is none.
	App App
	// Host names this host among those of the bus: a sidecar serves the apps
	// that are registered with its own. "" means [HostID].
	Host string
	// Concurrency is how many calls may be at work in one app at once. 0 means 64.
	Concurrency int
	// Queue is how many more wait for their turn; those beyond are refused with
	// resource_exhausted and may safely be tried elsewhere. 0 means 256, negative
	// none.
	Queue int
	// MaxBody is the most bytes of a request to an app, and of its answer. 0
	// means 64 MiB.
	MaxBody int
	// Dial opens the connections to apps, which are all to addresses of this
	// host. Nil means TCP; tests have other ways.
	Dial dial
	// Logger gets what no caller can be told. The zero value is silent.
	Logger zerolog.Logger
}

// An App is a program that speaks HTTP and no NATS.
type App struct {
	// Name of the service, such as "ruby.micro.srv.greeter".
	Name string
	// Address is where it listens: a loopback address and a port, such as
	// 127.0.0.1:9090.
	Address string
	// HealthURL is asked every 30 s whether the app is well: it is if the answer
	// is exactly 200. Optional; it leads to a loopback address too. Whether the
	// app accepts connections is looked at every 2 s in any case.
	HealthURL string
	// Version and Metadata are what the registry shows of it. Optional.
	Version  string
	Metadata map[string]string
	// TTL is how long the registration outlives a sidecar that is killed. 0
	// means 30 s.
	TTL time.Duration
}

// A Sidecar is the room of the gateway for apps that speak no NATS. It is an
// http.Handler, for Micro's endpoints, and a [bus.Runner] that serves the apps
// of this host on the bus. It needs its Bus to have started.
type Sidecar struct {
	bus       *gateway.Bus
	cfg       Config
	transport *http.Transport
	rpc       http.Handler
	live      *live.Server
	own       *own // or nil

	turn    atomic.Uint64 // of the proxy
	writing sync.Mutex    // of changes of the registry, which follow one another
	life    context.CancelFunc
	leaving context.Context // ends when Stop begins
	leave   context.CancelFunc
	hard    context.Context // ends when Stop runs out of time
	cut     context.CancelFunc
	running sync.WaitGroup // what Stop waits for

	mu    sync.Mutex
	state state
	apps  map[key]*app
	news  chan struct{} // closed at the next change of what is served
}

type state int

const (
	idle state = iota
	running
	over
)

var (
	_ http.Handler = (*Sidecar)(nil)
	_ bus.Runner   = (*Sidecar)(nil)
)

// filled puts in what a zero field means.
func (c Config) filled() Config {
	c.Namespace = cmp.Or(c.Namespace, defaultNamespace)
	c.Handler = cmp.Or(c.Handler, handlerRPC)
	c.Host = cmp.Or(c.Host, HostID())
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Queue = cmp.Or(c.Queue, defaultQueue)
	c.MaxBody = cmp.Or(c.MaxBody, defaultMaxBody)
	return c
}

// Check returns nil if a sidecar can be configured so. The error is
// invalid_argument and says which field is wrong, of an app in Micro's words.
func (c Config) Check() error {
	cfg := c.filled()
	switch {
	case cfg.Handler != handlerRPC && cfg.Handler != handlerProxy && cfg.Handler != handlerHTTP:
		return bus.Errorf(bus.InvalidArgument, "no handler %.40q: there are rpc and proxy", cfg.Handler)
	case wire.CheckService(cfg.Namespace) != nil:
		return bus.Errorf(bus.InvalidArgument, "the namespace %.140q is no name: it is tokens of A-Z a-z 0-9 _ - joined by dots", cfg.Namespace)
	case strings.ContainsAny(cfg.Host, "\r\n\x00") || len(cfg.Host) > 256:
		return bus.Errorf(bus.InvalidArgument, "the host %.80q: at most 256 printable bytes", cfg.Host)
	case cfg.Concurrency < 0:
		return bus.Errorf(bus.InvalidArgument, "concurrency %d: want a number of calls, or 0 for %d", cfg.Concurrency, defaultConcurrency)
	case cfg.MaxBody < 0:
		return bus.Errorf(bus.InvalidArgument, "max body %d: want a number of bytes, or 0 for %d", cfg.MaxBody, defaultMaxBody)
	}
	return cfg.App.Check()
}

// New returns a sidecar that serves nothing before Start. The error is that of
// cfg.Check.
func New(b *gateway.Bus, cfg Config) (*Sidecar, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.filled()
	s := &Sidecar{
		bus: b, cfg: cfg, transport: newTransport(cfg.Dial), rpc: gateway.RPC(b),
		live: live.New(b, live.Config{From: Service, Logger: cfg.Logger}),
		apps: make(map[key]*app), news: make(chan struct{}),
	}
	s.leaving, s.leave = context.WithCancel(context.Background())
	s.hard, s.cut = context.WithCancel(context.Background())
	var err error
	s.own, err = s.newOwn(cfg.App)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Start begins to serve the apps of this host, those that come later too, and
// registers the app of the configuration once it answers.
func (s *Sidecar) Start(ctx context.Context) error {
	view := s.bus.View()
	if view == nil {
		return bus.Errorf(bus.Unavailable, "a sidecar needs its Bus to be started before it")
	}
	s.mu.Lock()
	if s.state != idle {
		s.mu.Unlock()
		return bus.Errorf(bus.Conflict, "the sidecar has been started before; make a new one")
	}
	s.state = running
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.life = cancel
	s.running.Go(func() { s.keep(life, view) })
	s.mu.Unlock()
	if s.own != nil {
		s.own.look(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state == running {
			s.running.Go(func() { s.own.keep(life) })
		}
	}
	return nil
}

// Stop deregisters the app of the configuration, ends the conversations, and
// lets the calls and the events at work finish. Apps that have registered
// themselves stay in the registry: another sidecar of this host goes on with
// them.
func (s *Sidecar) Stop(ctx context.Context) error {
	s.mu.Lock()
	was := s.state
	s.state = over
	s.mu.Unlock()
	if was != running {
		return nil
	}
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	s.leave()
	if s.own != nil {
		s.own.stop(ctx)
	}
	err := s.live.Stop(ctx)
	s.life()
	s.running.Wait()
	s.cut()
	s.transport.CloseIdleConnections()
	return err
}

// Host is the host whose apps the sidecar serves.
func (s *Sidecar) Host() string { return s.cfg.Host }
