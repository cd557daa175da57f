package cli

import (
	"context"
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/mcp"
)

type mcpCommand struct {
	Allow []string `placeholder:"SERVICE[/METHOD]" help:"What may be called, a comma list or repeated; * stands for any letters. Default everything."`
}

// Help explains what the one-line summary cannot.
func (*mcpCommand) Help() string {
	return `Every method is a tool, with the schema of its request. A client of the Model
Context Protocol starts this command and speaks to its standard input and output;
its configuration is the command line:

    mbus mcp --allow 'go.micro.srv.*/Say.*'

The API gateway has the same tools over HTTP, at /mcp.`
}

// mcpEnd is how long the end of a session may take.
const mcpEnd = 5 * time.Second

// Run serves one client until it leaves.
func (c *mcpCommand) Run(ctx context.Context, s *session) error {
	s.defaultLevel = zerolog.WarnLevel
	conn, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	gate := gateway.NewBus(conn, gateway.BusConfig{From: mcp.Name, Logger: s.logger()})
	tools, err := mcp.New(gate, mcp.Config{Allow: c.Allow, Version: s.process.build().Version, Logger: s.logger()})
	if err != nil {
		return usagef("--allow: %s", bus.AsError(err).Message)
	}
	for _, r := range []bus.Runner{gate, tools} {
		if err := r.Start(ctx); err != nil {
			return err
		}
		defer func() {
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), mcpEnd)
			defer cancel()
			_ = r.Stop(ending) // the client has left
		}()
	}
	return tools.ServeStdio(ctx, io.NopCloser(s.stdin), stdout{s.process.Stdout})
}

// stdout is the standard output as the library wants it; who closes it is the
// process.
type stdout struct{ io.Writer }

func (stdout) Close() error { return nil }
