// Command subscriber prints the users that are created, one line each, until
// it is interrupted. Those that run at the same time share the work.
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
	"github.com/mbus-dev/mbus/pubsub"
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
	conn, err := bus.Connect(ctx, bus.Config{Name: "subscriber", Logger: zerolog.New(os.Stderr)})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	return bus.Run(ctx, 10*time.Second, greeter.UserCreated.Subscribe(conn,
		func(_ context.Context, e *pubsub.Event[greeter.User]) error {
			fmt.Println(e.Topic, e.Value.ID, e.Value.Name)
			return nil
		}, pubsub.WithGroup("subscriber")))
}
