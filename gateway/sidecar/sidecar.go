package sidecar

import (
	"context"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
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
	// HealthURL is asked whether the app is well: it is if the answer is exactly
	// 200. Optional; it leads to a loopback address too.
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
	bus *gateway.Bus
	cfg Config
}

var (
	_ http.Handler = (*Sidecar)(nil)
	_ bus.Runner   = (*Sidecar)(nil)
)

// New returns a sidecar that serves nothing before Start. The error is
// invalid_argument and says which field of cfg is wrong.
func New(b *gateway.Bus, cfg Config) (*Sidecar, error) {
	return &Sidecar{bus: b, cfg: cfg}, nil
}

// Start registers the app of the configuration, and begins to serve the apps of
// this host.
func (s *Sidecar) Start(context.Context) error { return nil }

// Stop deregisters the app and lets the calls at work finish.
func (s *Sidecar) Stop(context.Context) error { return nil }

// ServeHTTP serves Micro's endpoints.
func (s *Sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	gateway.WriteError(w, r, "go.micro.sidecar", bus.Errorf(bus.NotFound, "nothing is here"))
}
