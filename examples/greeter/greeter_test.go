package greeter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

func TestTheGreeterSaysWhoItIs(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx := bustest.Context(t)
		srv := greeter.NewServer(b.Conn(t), rpc.ServerConfig{})
		if err := srv.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := srv.Stop(ctx); err != nil {
				t.Error(err)
			}
		}()
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		res, err := greeter.Hello.Call(ctx, client, &greeter.HelloRequest{Name: "John"})
		if err != nil {
			t.Fatal(err)
		}
		if want := greeter.Service + "-" + srv.ID() + ": Hello John"; res.Msg != want {
			t.Errorf("got %q, want %q", res.Msg, want)
		}

		_, err = rpc.Call[greeter.HelloResponse](ctx, client, greeter.Service, "Say.Hello", map[string]string{"nmae": "John"})
		if !errors.Is(err, bus.InvalidArgument) || !strings.Contains(err.Error(), `"nmae"`) {
			t.Errorf("a field that is not known: got %v, want it named", err)
		}
	})
}
