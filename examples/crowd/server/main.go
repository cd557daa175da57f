// Command server runs a crowd of services in one process until it is
// interrupted, for looking at what a big bus is like:
//
//	go run ./examples/crowd/server -services 2000 -seed 1 -rate 200
//
// It finds the broker by MBUS_URL, and prints one line once all are announced.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/examples/crowd"
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
	var cfg crowd.Config
	flag.IntVar(&cfg.Services, "services", 100, "number of services")
	flag.Uint64Var(&cfg.Seed, "seed", 1, "the same seed makes the same services")
	flag.Float64Var(&cfg.Rate, "rate", 100, "calls a second that they make among themselves; negative: none")
	flag.Parse()
	cfg.Logger = zerolog.New(os.Stderr).With().Timestamp().Logger()

	conn, err := bus.Connect(ctx, bus.Config{Name: "crowd", Logger: cfg.Logger})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	c := crowd.New(conn, cfg)
	return bus.Run(ctx, 10*time.Second, c, ready{cfg.Services, c.Instances()})
}

// ready runs last, and says that the others do.
type ready struct{ services, instances int }

// Start prints the line.
func (r ready) Start(context.Context) error {
	_, err := fmt.Printf("{\"ready\":true,\"services\":%d,\"instances\":%d}\n", r.services, r.instances)
	return err
}

// Stop does nothing.
func (ready) Stop(context.Context) error { return nil }
