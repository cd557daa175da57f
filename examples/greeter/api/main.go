// Command api runs the greeter's API, for the API gateway, until it is
// interrupted. It finds the broker by MBUS_URL; MBUS_SERVER_NAME,
// MBUS_SERVER_VERSION and the rest of rpc.ConfigFromEnv change what it is called.
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
	"github.com/mbus-dev/mbus/rpc"
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
	cfg, err := rpc.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.Logger = log
	conn, err := bus.Connect(ctx, bus.Config{Name: "greeter-api", Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	srv := greeter.NewAPI(conn, cfg)
	log.Info().Str("node", srv.Name()+"-"+srv.ID()).Msg("the greeter's API is starting")
	return bus.Run(ctx, 10*time.Second, srv)
}
