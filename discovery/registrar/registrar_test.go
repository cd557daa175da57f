package registrar_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

func TestLifecycle(t *testing.T) {
	bustest.Lifecycle(t, func(_ *bustest.Bus, conn *bus.Conn) bus.Runner {
		return newRegistrar(t, conn, registrar.Config{})
	}, bustest.WithProbe(func(ctx context.Context, conn *bus.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := conn.Request(ctx, "mbus.registry.get", nil, []byte(`{"service":"mbus"}`))
		return err
	}), bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) {
		time.Sleep(20 * time.Millisecond)
		_ = discovery.Register(ctx, conn, app("ruby.app", fmt.Sprint(rand.N(7))), time.Minute)
		_, _ = discovery.List(ctx, conn)
	}))
}

func TestARegistrarListsItselfAndWhatIsThere(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "go.micro.srv.greeter", Version: "1.0.0", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}}})
		start(t, b.Conn(t), registrar.Config{ID: "reg1"})
		client := b.Conn(t)
		names, err := discovery.List(bustest.Context(t), client)
		if err != nil || fmt.Sprint(names) != "[go.micro.srv.greeter mbus]" {
			t.Errorf("List = %v, %v", names, err)
		}
		if err := discovery.Register(bustest.Context(t), client, app("ruby.app", "host 1"), time.Minute); err != nil {
			t.Fatalf("Register: %v", err)
		}
		services, err := discovery.Get(bustest.Context(t), client, "ruby.app")
		if err != nil || len(services) != 1 || services[0].Nodes[0].ID != "host 1" {
			t.Errorf("Get = %+v, %v", services, err)
		}
		if err := discovery.Deregister(bustest.Context(t), client, app("ruby.app", "host 1")); err != nil {
			t.Fatalf("Deregister: %v", err)
		}
		_, err = discovery.Get(bustest.Context(t), client, "ruby.app")
		if !errors.Is(err, bus.NotFound) {
			t.Errorf("Get after Deregister: %v", err)
		}
		t.Log(err, string(bus.AsError(err).Detail))
	})
}
