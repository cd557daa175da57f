package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/rpc"
)

func TestARegistrarTellsCallersWhatTheyCannotKnow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		r, err := registrar.New(conn, registrar.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Stop(bustest.Context(t)) })
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		if err := s.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		stays := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "go.micro.srv.geo"})
		rpc.Handle(stays, "Say.Hello", hello)
		serve(t, stays)
		time.Sleep(10 * time.Second)
		stop(t, s)

		// Someone who has never called it learns that it was here.
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		e := wantError(t, sayHello(bustest.Context(t), client), bus.Unavailable, bus.Nobody)
		if !strings.Contains(e.Message, "was here") || e.Retry == bus.RetryNever {
			t.Errorf("got %v, retry %v", e, e.Retry)
		}
		_, err = rpc.Call[HelloResponse](bustest.Context(t), client, "go.micro.srv.goe", "Say.Hello", nil)
		if e := wantError(t, err, bus.NotFound, bus.Nobody); !strings.Contains(e.Message, "did you mean go.micro.srv.geo?") {
			t.Errorf("got %v", e)
		}

		app := discovery.Service{Name: "app", Version: "1", Nodes: []discovery.Node{{ID: "app-1", Address: "10.0.0.7", Port: 8000}}}
		if err := discovery.Register(bustest.Context(t), conn, app, time.Minute); err != nil {
			t.Fatal(err)
		}
		_, err = rpc.Call[HelloResponse](bustest.Context(t), client, "app", "Say.Hello", nil)
		if e := wantError(t, err, bus.Unavailable, bus.Nobody); !strings.Contains(e.Message, "10.0.0.7 and is not on the bus, and no sidecar serves it") {
			t.Errorf("got %v", e)
		}
		time.Sleep(11 * time.Minute)
		wantError(t, sayHello(bustest.Context(t), client), bus.NotFound, bus.Nobody)
	})
}
