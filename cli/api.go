package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/gateway/live"
)

type apiCommand struct {
	httpFlags     `embed:""`
	apiFlags      `embed:""`
	AddressesFile string `placeholder:"FILE" group:"Node" help:"Write the addresses to this file as JSON once it is ready."`
	Grace         span   `default:"10s" placeholder:"TIME" group:"Node" help:"How long a stop may take to finish what is running. Default ${default}."`
}

// apiFlags are those of the API gateway, in whatever process it runs.
type apiFlags struct {
	MaxUpload int64 `placeholder:"BYTES" group:"HTTP" help:"Largest body that is neither JSON nor a form. Default 67108864."`
}

// Help explains what the one-line summary cannot.
func (*apiCommand) Help() string {
	return `The API gateway alone, against the broker that --url names; it waits for one
that is not there yet. GET and POST /greeter/say/hello call the method Say.Hello
of go.micro.api.greeter, and /go.micro.srv.greeter/Say.Hello names both in full.`
}

// Run serves until it is told to stop.
func (c *apiCommand) Run(ctx context.Context, s *session) error {
	return s.alone(ctx, &c.httpFlags, c.AddressesFile, time.Duration(c.Grace), s.apiFace(&c.apiFlags))
}

// apiFace is the API gateway.
func (s *session) apiFace(flags *apiFlags) *face {
	cfg := api.Config{Namespace: s.opts.APINamespace, Handler: s.opts.APIHandler, MaxUpload: flags.MaxUpload}
	return &face{
		name: "api", service: "go.micro.api", flag: "--api-address",
		address: s.opts.APIAddress, usual: "127.0.0.1:8080",
		cors: s.opts.APICORS, corsFlag: "--api-cors",
		check: func() error {
			_, err := api.New(&gateway.Bus{}, cfg) // it calls nothing yet
			return err
		},
		room: func(b *gateway.Bus, set *httpSetup) (http.Handler, error) {
			cfg.HideAuthorization, cfg.Logger = set.tokens != nil, s.logger()
			cfg.Live = live.New(b, live.Config{From: "go.micro.api", Logger: s.logger()})
			room, err := api.New(b, cfg)
			return apiRoom{room, cfg.Live}, err
		},
	}
}

// An apiRoom is the API gateway with the conversations that it holds.
type apiRoom struct {
	*api.API
	talks *live.Server
}

// Start does nothing: both serve at once.
func (apiRoom) Start(context.Context) error { return nil }

// Stop ends the conversations.
func (r apiRoom) Stop(ctx context.Context) error { return r.talks.Stop(ctx) }
