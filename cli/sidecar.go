package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/sidecar"
)

type sidecarCommand struct {
	httpFlags      `embed:""`
	sidecarFlags   `embed:""`
	HealthcheckURL string `name:"healthcheck-url" placeholder:"URL" group:"Sidecar" help:"Asked every 30 s whether the app of --server-name is well: it is if the answer is exactly 200."`
	AddressesFile  string `placeholder:"FILE" group:"Node" help:"Write the addresses to this file as JSON once it is ready."`
	Grace          span   `default:"10s" placeholder:"TIME" group:"Node" help:"How long a stop may take to finish what is running. Default ${default}."`
}

// sidecarFlags are those of the sidecar, in whatever process it runs.
type sidecarFlags struct {
	SidecarHandler   string `placeholder:"rpc|proxy" group:"Sidecar" help:"What POST /SERVICE/METHOD does: call the service, or pass the request to an app as it is. Default rpc."`
	SidecarNamespace string `placeholder:"PREFIX" group:"Sidecar" help:"Namespace of the services in such paths. Default go.micro.srv."`
}

// Help explains what the one-line summary cannot.
func (*sidecarCommand) Help() string {
	return `The sidecar alone, against the broker that --url names; it waits for one that is
not there yet. Programs that speak HTTP and no NATS register with it, are called
through it and call others through it. It is a registrar too.

--server-name and --server-address make it register an app itself, while that
accepts connections, and take it back when it stops:

    mbus sidecar --server-name ruby.micro.srv.greeter --server-address 127.0.0.1:9090`
}

// Run serves until it is told to stop.
func (c *sidecarCommand) Run(ctx context.Context, s *session) error {
	face := s.sidecarFace(&c.sidecarFlags, c.app(s))
	face.before = func(conn *bus.Conn) ([]bus.Runner, error) {
		r, err := registrar.New(conn, registrar.Config{Version: s.process.build().Version, Logger: s.logger()})
		return []bus.Runner{r}, err
	}
	return s.alone(ctx, &c.httpFlags, c.AddressesFile, time.Duration(c.Grace), face)
}

// app is the app of the command line. In the environment a server name alone is
// that of some service, and means nothing here.
func (c *sidecarCommand) app(s *session) sidecar.App {
	o := &s.opts
	typed := o.line.given("server-name") || o.line.given("server-address") || c.HealthcheckURL != ""
	if !typed && (o.ServerName == "" || o.ServerAddress == "") {
		return sidecar.App{}
	}
	app := sidecar.App{Name: o.ServerName, Address: o.ServerAddress, HealthURL: c.HealthcheckURL, TTL: time.Duration(o.RegisterTTL)}
	if o.line.given("server-version") {
		app.Version = o.ServerVersion
	}
	return app
}

// sidecarFace is the sidecar.
func (s *session) sidecarFace(flags *sidecarFlags, app sidecar.App) *face {
	cfg := sidecar.Config{Namespace: flags.SidecarNamespace, Handler: flags.SidecarHandler, App: app}
	return &face{
		name: "sidecar", service: sidecar.Service, flag: "--sidecar-address",
		address: s.opts.SidecarAddress, usual: "127.0.0.1:8081",
		cors: s.opts.SidecarCORS, corsFlag: "--sidecar-cors",
		check: cfg.Check,
		room: func(b *gateway.Bus, _ *httpSetup) (http.Handler, error) {
			cfg.Logger = s.logger() // whose level is known by now
			return sidecar.New(b, cfg)
		},
	}
}
