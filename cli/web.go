package cli

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/web"
)

type webCommand struct {
	httpFlags     `embed:""`
	webFlags      `embed:""`
	SysCreds      string `placeholder:"FILE" group:"Dashboard" help:"NATS credentials file of a user in the broker's system account, so that the page about the bus shows servers and connections."`
	AddressesFile string `placeholder:"FILE" group:"Node" help:"Write the addresses to this file as JSON once it is ready."`
	Grace         span   `default:"10s" placeholder:"TIME" group:"Node" help:"How long a stop may take to finish what is running. Default ${default}."`
}

// webFlags are those of the dashboard, in whatever process it runs.
type webFlags struct {
	WebDir string `name:"web-dir" placeholder:"DIR" group:"Dashboard" help:"Serve the files of the dashboard from this directory, for those who change them."`
}

// Help explains what the one-line summary cannot.
func (*webCommand) Help() string {
	return `The dashboard alone, against the broker that --url names; it waits for one that is
not there yet. Every page is JSON or text too:

    curl http://127.0.0.1:8082/services
    curl -H 'Accept: application/json' http://127.0.0.1:8082/services

Web apps, which are services go.micro.web.NAME with an address, are shown at
http://NAME.localhost:8082/ and below /NAME/.`
}

// Run serves until it is told to stop.
func (c *webCommand) Run(ctx context.Context, s *session) error {
	var system *bus.Conn
	face := s.webFace(&c.webFlags, dashboard{
		system: func() *bus.Conn { return system },
		links:  func() web.Links { return web.Links{Bus: s.opts.busURL} },
	})
	if c.SysCreds != "" {
		face.before = func(*bus.Conn) ([]bus.Runner, error) {
			cfg := s.busConfig()
			cfg.Creds, cfg.User, cfg.Password, cfg.Token = c.SysCreds, "", "", ""
			var err error
			system, err = bus.Connect(ctx, cfg)
			return nil, err
		}
		defer func() {
			if system != nil {
				s.disconnect(ctx, system)
			}
		}()
	}
	return s.alone(ctx, &c.httpFlags, c.AddressesFile, time.Duration(c.Grace), face)
}

// A dashboard is what the process gives its dashboard, once it is there.
type dashboard struct {
	system func() *bus.Conn
	links  func() web.Links
}

// webFace is the dashboard.
func (s *session) webFace(flags *webFlags, d dashboard) *face {
	return &face{
		name: "web", service: web.Service, flag: "--web-address",
		address: s.opts.WebAddress, usual: "127.0.0.1:8082",
		cors: s.opts.WebCORS, corsFlag: "--web-cors",
		pages: web.Page, public: web.Public, hosts: web.Hosts(), ownStats: true,
		check: func() error {
			if flags.WebDir == "" {
				return nil
			}
			if info, err := os.Stat(flags.WebDir); err != nil || !info.IsDir() {
				return usagef("--web-dir %q is no directory", flags.WebDir)
			}
			return nil
		},
		room: func(b *gateway.Bus, set *httpSetup) (http.Handler, error) {
			return web.New(b, web.Config{
				Namespace: s.opts.WebNamespace, Version: s.process.build().Version, System: d.system(), Links: d.links,
				HideAuthorization: set.tokens != nil, Dir: flags.WebDir, Logger: s.logger(),
			})
		},
	}
}
