// Command rest runs the greeter's API as an HTTP app until it is interrupted. It finds the
// broker by MBUS_URL and listens on MBUS_SERVER_ADDRESS, by default a free port
// of this machine; gateways find it in the registry.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/examples/greeter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	conn, err := bus.Connect(ctx, bus.Config{Name: "greeter-rest", Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	app := greeter.NewREST(conn, os.Getenv("MBUS_SERVER_ADDRESS"), log)
	log.Info().Msg("the greeter's rest is starting")
	return bus.Run(ctx, 10*time.Second, app)
}
