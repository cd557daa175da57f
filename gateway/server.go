package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded/bind"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	readHeaderLimit = 5 * time.Second
	idleLimit       = 60 * time.Second
	cutLimit        = time.Second // for handlers whose requests were cut
	maxHeaderBytes  = 32 << 10

	defaultFlag           = "--api-address"
	defaultConns          = 16384
	defaultConnsPerClient = 256

	maxStreams       = 100 // of a connection of HTTP/2
	streamWindow     = 64 << 10
	connectionWindow = 1 << 20
)

// ServerConfig configures a Server. Address and Handler are required.
type ServerConfig struct {
	// Service is the name that the server announces itself by, such as
	// "go.micro.api". "" means that it stays unannounced.
	Service string
	// Version is announced with it. "" means "0.0.0".
	Version string
	// Address is the HOST:PORT to listen on; port 0 is any free port. A host that
	// other machines can reach (an empty one, as in ":8080", means all addresses)
	// needs TLS and Authenticated, or InsecureAllowRemote.
	Address string
	// Flag is the flag of the mbus command that sets Address, for messages. ""
	// means "--api-address".
	Flag string
	// Handler answers the requests: a room behind an [Edge].
	Handler http.Handler
	// TLS proves who the listener is.
	TLS TLS
	// MaxConns is how many connections may be open at once; more are closed as
	// they come. 0 means 16,384, or a quarter of the files that the process may
	// have open if that is less, so that a flood leaves some for the rest of it.
	MaxConns int
	// MaxConnsPerClient is how many one address may have of them, except those of
	// this machine and of Proxies. 0 means 256.
	MaxConnsPerClient int
	// Proxies are those of [EdgeConfig].
	Proxies []netip.Prefix
	// Authenticated says that the handler asks everybody for credentials.
	Authenticated bool
	// InsecureAllowRemote permits an Address that other machines can reach
	// without TLS and authentication. The log warns.
	InsecureAllowRemote bool
	// Logger gets what no client can be told. The zero value is silent.
	Logger zerolog.Logger
}

// A Server is an HTTP listener of a gateway. It is a bus.Runner: Start returns
// once it serves and is announced. Stop answers /readyz with 503, takes no new
// connections, tells the streams, and lets requests finish until its context
// ends; what is left then is cut.
type Server struct {
	bus *Bus
	cfg ServerConfig
	log zerolog.Logger

	http      *http.Server
	announced *rpc.Server
	serving   sync.WaitGroup // the goroutine of http.Server
	requests  requests
	shortcuts shortcuts
	cut       context.CancelFunc // ends the contexts of all requests

	mu      sync.Mutex
	state   serverState
	address string
}

type serverState int

const (
	serverIdle serverState = iota
	serverRunning
	serverStopped
)

var _ bus.Runner = (*Server)(nil)

// NewServer returns a server that does not listen yet. b is the bus whose
// connection decides /readyz.
func NewServer(b *Bus, cfg ServerConfig) *Server {
	cfg.Flag = cmp.Or(cfg.Flag, defaultFlag)
	cfg.MaxConns = cmp.Or(cfg.MaxConns, usualConns())
	cfg.MaxConnsPerClient = cmp.Or(cfg.MaxConnsPerClient, defaultConnsPerClient)
	return &Server{bus: b, cfg: cfg, log: cfg.Logger.With().Str("listener", cmp.Or(cfg.Service, cfg.Flag)).Logger(), requests: newRequests()}
}

// usualConns is MaxConns where nobody says a number.
func usualConns() int {
	if files, ok := openFiles(); ok {
		return int(min(defaultConns, max(files/4, 1)))
	}
	return defaultConns
}

// Start opens the listener and announces the server. The error is a
// *bind.ConfigError if the configuration cannot be obeyed, and a
// *bind.InUseError if somebody else has the address.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverIdle {
		return errors.New("gateway: a server runs once")
	}
	address, err := s.cfg.resolve(ctx)
	if err != nil {
		return err
	}
	config, err := s.cfg.TLS.config(s.log)
	if err != nil {
		return err
	}
	if missing := s.cfg.missing(address); len(missing) > 0 {
		s.log.Warn().Str("address", address.Text).Msg("other machines can use this listener without " + strings.Join(missing, " or ") + ", as --insecure-allow-remote allows")
	}
	listener, err := address.Listen(ctx)
	if err != nil {
		return err
	}
	s.state = serverRunning
	port := uint16(0)
	if addr, err := netip.ParseAddrPort(listener.Addr().String()); err == nil {
		port = addr.Port()
	}
	s.address = address.Reachable(port)
	s.serve(ctx, newIntake(listener, config, &s.cfg, s.log))
	if err := s.announce(ctx); err != nil {
		err = errors.Join(err, s.http.Close())
		s.cut()
		s.shortcuts.cut()
		s.serving.Wait()
		return err
	}
	return nil
}

// Check finds what is wrong with c without keeping anything open: the errors are
// those of Start. It needs no Handler.
func (c ServerConfig) Check(ctx context.Context) error {
	c.Flag = cmp.Or(c.Flag, defaultFlag)
	address, err := c.resolve(ctx)
	if err != nil {
		return err
	}
	if _, err := c.TLS.config(zerolog.Nop()); err != nil {
		return err
	}
	return address.CheckFree(ctx)
}

// resolve looks the address up and refuses one that is not safe.
func (c ServerConfig) resolve(ctx context.Context) (bind.Address, error) {
	a, err := bind.Resolve(ctx, c.Flag, c.Address)
	if err != nil {
		return a, err
	}
	if missing := c.missing(a); len(missing) > 0 && !c.InsecureAllowRemote {
		return a, bind.Errorf("%s %s can be reached from other machines and lacks %s; add --enable-tls --tls-cert-file --tls-key-file and --tls-client-ca-file or --jwt-keys, or choose 127.0.0.1, or accept the risk with --insecure-allow-remote",
			a.Flag, a.Text, strings.Join(missing, " and "))
	}
	return a, nil
}

// missing is what an address that other machines can reach lacks.
func (c ServerConfig) missing(a bind.Address) []string {
	if a.Loopback() {
		return nil
	}
	var missing []string
	if !c.TLS.on() {
		missing = append(missing, "TLS")
	}
	if !c.Authenticated && c.TLS.ClientCAFile == "" {
		missing = append(missing, "authentication")
	}
	return missing
}

func (s *Server) serve(ctx context.Context, listener net.Listener) {
	base, cut := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), lifetimeKey{}, s.requests.lifetime))
	s.cut = cut
	s.shortcuts.handler, s.shortcuts.requests, s.shortcuts.conns = http.HandlerFunc(s.handle), &s.requests, make(map[*shortcut]struct{})
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: readHeaderLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow, SendPingTimeout: idleLimit / 2, WriteByteTimeout: writeLimit,
		},
		BaseContext: func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(interface {
				shorten(context.Context, *shortcuts)
			}); ok {
				c.shorten(ctx, &s.shortcuts)
			}
			return ctx
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(interface{ rested() }); ok && state == http.StateIdle {
				c.rested()
			}
		},
		ErrorLog: log.New(errorLog{s.log}, "", 0),
	}
	s.serving.Go(func() {
		if err := s.http.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error().Err(err).Msg("the listener has ended")
		}
	})
}

// announce makes the server visible in discovery, with its own methods only.
func (s *Server) announce(ctx context.Context) error {
	if s.cfg.Service == "" {
		return nil
	}
	s.announced = rpc.NewServer(s.bus.Conn, rpc.ServerConfig{
		Name: s.cfg.Service, Version: s.cfg.Version, Advertise: s.address, Logger: s.cfg.Logger,
	})
	return s.announced.Start(ctx)
}

// Address is where a client on this machine connects, as HOST:PORT; "" before
// Start.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// URL is Address as a URL.
func (s *Server) URL() string {
	a := s.Address()
	switch {
	case a == "":
		return ""
	case s.cfg.TLS.on():
		return "https://" + a
	}
	return "http://" + a
}

// Stop drains the server.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	running := s.state == serverRunning
	s.state = serverStopped
	s.mu.Unlock()
	if !running {
		return nil
	}
	s.requests.drain() // from here on /readyz says so
	s.shortcuts.drain()
	var left error
	if s.announced != nil {
		left = s.announced.Stop(ctx)
	}
	// Shutdown does not know requests that became WebSockets, nor those that took a
	// shortcut; requests does.
	err := s.http.Shutdown(ctx)
	if err == nil {
		err = s.requests.wait(ctx)
	}
	if err != nil {
		left = errors.Join(left, fmt.Errorf("%s: %d requests were cut", s.cfg.Flag, s.requests.count.Load()), s.http.Close())
	}
	s.cut()
	s.shortcuts.cut()
	s.serving.Wait()
	if err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutLimit)
		defer cancel()
		_ = s.requests.wait(last) // a handler that heeds nothing is left behind
	}
	return left
}

// handle answers what the server itself is asked, and counts what is underway.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		answerState(w, true)
		return
	case "/readyz":
		answerState(w, s.ready())
		return
	}
	if _, counted := w.(*reply); !counted {
		s.requests.begin()
		defer s.requests.end()
	}
	s.cfg.Handler.ServeHTTP(w, r)
}

// ready reports whether new requests are welcome.
func (s *Server) ready() bool { return !s.requests.draining() && s.bus.Conn.Connected() }

func answerState(w http.ResponseWriter, ok bool) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("unavailable\n")) // the client has gone
		return
	}
	_, _ = w.Write([]byte("ok\n")) // likewise
}

// errorLog takes what net/http has to say, which is about single connections.
type errorLog struct{ log zerolog.Logger }

func (l errorLog) Write(p []byte) (int, error) {
	l.log.Debug().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
