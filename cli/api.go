package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

type apiCommand struct {
	httpFlags     `embed:""`
	AddressesFile string `placeholder:"FILE" group:"Node" help:"Write the addresses to this file as JSON once it is ready."`
	Grace         span   `default:"10s" placeholder:"TIME" group:"Node" help:"How long a stop may take to finish what is running. Default ${default}."`
}

// Help explains what the one-line summary cannot.
func (*apiCommand) Help() string {
	return `The API gateway alone, against the broker that --url names; it waits for one
that is not there yet. GET and POST /greeter/say/hello call the method Say.Hello
of go.micro.api.greeter, and /go.micro.srv.greeter/Say.Hello names both in full.`
}

// Run serves until it is told to stop.
func (c *apiCommand) Run(ctx context.Context, s *session) error {
	return s.alone(ctx, &c.httpFlags, c.AddressesFile, time.Duration(c.Grace), s.apiFace())
}

// apiFace is the API gateway.
func (s *session) apiFace() *face {
	return &face{
		name: "api", service: "go.micro.api", flag: "--api-address",
		address: s.opts.APIAddress, usual: "127.0.0.1:8080", cors: s.opts.APICORS,
		room: func(b *gateway.Bus) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				gateway.WriteError(w, r, "go.micro.api", bus.Errorf(bus.NotFound, "no service at this path"))
			}), nil
		},
	}
}
