package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

// The time that an App gives a client.
const (
	appHeaderTime = 5 * time.Second
	appIdleTime   = time.Minute
)

// AppConfig configures an App. Name and Handler are required.
type AppConfig struct {
	// Name is the service's: "go.micro.web.NAME" appears in the dashboard,
	// "go.micro.api.NAME" behind the API gateway.
	Name string
	// Version is free text. "" means "1.0.0".
	Version string
	// Address is the HOST:PORT to listen on; the host must be an IP address that
	// gateways can reach. "" means a free port of 127.0.0.1.
	Address string
	// Handler serves.
	Handler http.Handler
	// Metadata is that of the node in the registry.
	Metadata map[string]string
	// Endpoints describes the app for the registry, if it has any that can be
	// called.
	Endpoints []discovery.ServiceEndpoint
	// TTL is how long the entry outlives an app that died. 0 means 30 seconds.
	TTL time.Duration
	// Logger gets what the HTTP server has to say. The zero value is silent.
	Logger zerolog.Logger
}

// An App is a web server that gateways find: it listens, and keeps itself in the
// registry for as long as it serves. It is a bus.Runner and runs once.
type App struct {
	conn *bus.Conn
	cfg  AppConfig

	mu           sync.Mutex
	started      bool
	addr         netip.AddrPort
	server       *http.Server
	served       chan struct{}
	registration *discovery.Registration
}

// NewApp returns an App that listens from Start on.
func NewApp(conn *bus.Conn, cfg AppConfig) *App {
	if cfg.Version == "" {
		cfg.Version = "1.0.0"
	}
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	return &App{conn: conn, cfg: cfg}
}

// Addr is where the App listens; the zero value before Start.
func (a *App) Addr() netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addr
}

// Start listens and registers. The errors are those of listening and of
// discovery.Registration.
func (a *App) Start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.started {
		return bus.Errorf(bus.Conflict, "the app %s was started before; it runs once", a.cfg.Name)
	}
	a.started = true
	address, err := netip.ParseAddrPort(a.cfg.Address)
	if err != nil || address.Addr().IsUnspecified() {
		return bus.Errorf(bus.InvalidArgument, "the app %s cannot be at %q: gateways need an IP address and a port, such as 127.0.0.1:0", a.cfg.Name, a.cfg.Address)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.cfg.Address)
	if err != nil {
		return err
	}
	a.addr = listener.Addr().(*net.TCPAddr).AddrPort()
	a.server = &http.Server{Handler: a.cfg.Handler, ReadHeaderTimeout: appHeaderTime, IdleTimeout: appIdleTime}
	a.served = make(chan struct{})
	go func() {
		defer close(a.served)
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.cfg.Logger.Error().Err(err).Str("service", a.cfg.Name).Msg("the app has stopped serving")
		}
	}()
	a.registration = discovery.NewRegistration(a.conn, discovery.RegistrationConfig{
		TTL: a.cfg.TTL, Logger: a.cfg.Logger, Service: discovery.Service{
			Name: a.cfg.Name, Version: a.cfg.Version, Endpoints: a.cfg.Endpoints,
			Nodes: []discovery.Node{{
				ID: a.cfg.Name + "-" + nuid.Next(), Address: a.addr.Addr().String(), Port: int(a.addr.Port()), Metadata: a.cfg.Metadata,
			}},
		},
	})
	if err := a.registration.Start(ctx); err != nil {
		err = errors.Join(err, a.server.Close())
		<-a.served
		a.server = nil
		return err
	}
	return nil
}

// Stop leaves the registry, finishes the requests that have begun, and cuts those
// that are left when ctx ends.
func (a *App) Stop(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == nil {
		return nil
	}
	err := a.registration.Stop(ctx)
	if shutdown := a.server.Shutdown(ctx); shutdown != nil {
		err = errors.Join(err, shutdown, a.server.Close())
	}
	<-a.served
	a.server = nil
	return err
}
