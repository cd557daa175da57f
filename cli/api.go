package cli

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/gateway/mcp"
	"github.com/mbus-dev/mbus/gateway/spec"
)

type apiCommand struct {
	httpFlags     `embed:""`
	apiFlags      `embed:""`
	AddressesFile string `placeholder:"FILE" group:"Node" help:"Write the addresses to this file as JSON once it is ready."`
	Grace         span   `default:"10s" placeholder:"TIME" group:"Node" help:"How long a stop may take to finish what is running. Default ${default}."`
}

// apiFlags are those of the API gateway, in whatever process it runs.
type apiFlags struct {
	MaxUpload int64    `placeholder:"BYTES" group:"HTTP" help:"Largest body that is neither JSON nor a form. Default 67108864."`
	MCPAllow  []string `name:"mcp-allow" placeholder:"SERVICE[/METHOD]" group:"HTTP" help:"What language models may call at /mcp, a comma list or repeated; * stands for any letters. Default everything."`
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
	return &face{
		name: "api", service: "go.micro.api", flag: "--api-address",
		address: s.opts.APIAddress, usual: "127.0.0.1:8080",
		cors: s.opts.APICORS, corsFlag: "--api-cors",
		check: func() error {
			_, err := s.apiRoom(flags, &gateway.Bus{}, &httpSetup{}) // it calls nothing yet
			return err
		},
		room: func(b *gateway.Bus, set *httpSetup) (http.Handler, error) { return s.apiRoom(flags, b, set) },
	}
}

// An apiRoom is the API gateway with what it hands requests on to.
type apiRoom struct {
	http.Handler
	live  *live.Server
	tools *mcp.Server
}

func (s *session) apiRoom(flags *apiFlags, b *gateway.Bus, set *httpSetup) (*apiRoom, error) {
	version := s.process.build().Version
	r := &apiRoom{live: live.New(b, live.Config{Logger: s.logger()})}
	var err error
	if r.tools, err = mcp.New(b, mcp.Config{Allow: flags.MCPAllow, Version: version, Logger: s.logger()}); err != nil {
		return nil, err
	}
	r.Handler, err = api.New(b, api.Config{
		Namespace: s.opts.APINamespace, Handler: s.opts.APIHandler, MaxUpload: flags.MaxUpload, HideAuthorization: set.tokens != nil,
		Live: r.live, MCP: r.tools, Logger: s.logger(),
		Documents: spec.New(b, spec.Config{Namespace: s.opts.APINamespace, Version: version, Auth: set.tokens != nil}),
	})
	return r, err
}

// Start begins to offer tools.
func (r *apiRoom) Start(ctx context.Context) error { return r.tools.Start(ctx) }

// Stop ends the conversations.
func (r *apiRoom) Stop(ctx context.Context) error {
	return errors.Join(r.live.Stop(ctx), r.tools.Stop(ctx))
}
