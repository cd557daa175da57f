package registrar_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// listed reports whether the registry shows a service.
func listed(t *testing.T, conn *bus.Conn, service string) bool {
	t.Helper()
	names, err := discovery.List(bustest.Context(t), conn)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(names, service)
}

func startRegistration(t *testing.T, conn *bus.Conn, ttl time.Duration) *discovery.Registration {
	t.Helper()
	r := discovery.NewRegistration(conn, discovery.RegistrationConfig{Service: app("app", "1"), TTL: ttl, Logger: conn.Logger()})
	if err := r.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARegistrationOutlivesItsTTLAndEndsWithItsStop(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		r := startRegistration(t, conn, 6*time.Second)
		for range 5 {
			if !listed(t, conn, "app") {
				t.Fatal("the app is not in the registry")
			}
			time.Sleep(5 * time.Second)
		}
		stop(t, r)
		if listed(t, conn, "app") {
			t.Error("the app is still in the registry after the stop")
		}
		if err := r.Start(bustest.Context(t)); !errors.Is(err, bus.Conflict) {
			t.Errorf("a second start: got %v, want a conflict", err)
		}
		stop(t, r)
	})
}

func TestARegistrationEndsWithItsTTLWhenTheAppDies(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		link := b.Link()
		r := startRegistration(t, b.Conn(t, link.Use), 6*time.Second)
		defer stop(t, r)
		link.Down()
		time.Sleep(7 * time.Second)
		if listed(t, b.Conn(t), "app") {
			t.Error("the app is still in the registry")
		}
	})
}

func TestARegistrationComesWithTheFirstRegistrarAndWithEachNewOne(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		r := startRegistration(t, conn, 6*time.Second)
		defer stop(t, r)
		for range 2 {
			registry := newRegistrar(t, b.Conn(t), registrar.Config{})
			if err := registry.Start(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if !listed(t, conn, "app") {
				t.Error("the app is not in the registry")
			}
			stop(t, registry)
		}
	})
}

func TestARegistrationThatCannotBeIsAnError(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		for name, cfg := range map[string]discovery.RegistrationConfig{
			"no node":        {Service: discovery.Service{Name: "app"}},
			"a negative ttl": {Service: app("app", "1"), TTL: -1},
		} {
			r := discovery.NewRegistration(conn, cfg)
			if err := r.Start(bustest.Context(t)); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%s: got %v, want invalid_argument", name, err)
			}
			if err := r.Stop(context.Background()); err != nil {
				t.Errorf("%s: stop: %v", name, err)
			}
		}
	})
}
