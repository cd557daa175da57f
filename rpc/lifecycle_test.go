package rpc_test

import (
	"context"
	"testing"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestServerKeepsThePromisesOfARunner(t *testing.T) {
	call := func(ctx context.Context, conn *bus.Conn) error {
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		_, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Hello", &HelloRequest{Name: "John"})
		if closing := client.Close(context.WithoutCancel(ctx)); err == nil {
			err = closing
		}
		return err
	}
	bustest.Lifecycle(t, func(_ *bustest.Bus, conn *bus.Conn) bus.Runner {
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", hello)
		return s
	}, bustest.WithProbe(call), bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) { _ = call(ctx, conn) }))
}
