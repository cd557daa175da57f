package discovery_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
)

func addForeign(t *testing.T, conn *bus.Conn, name string) micro.Service {
	t.Helper()
	svc, err := micro.AddService(conn.NATS(), micro.Config{Name: name, Version: "0.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	err = svc.AddEndpoint("add", micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(nil) }), micro.WithEndpointSubject(name+".add"))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return svc
}

func TestQueryFindsEveryInstanceAndOnlyThose(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, asker := b.Conn(t), b.Conn(t)
		for range 3 {
			announce(t, conn, discovery.AnnouncerConfig{Name: "user.service", Version: "latest", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}}})
		}
		announce(t, conn, discovery.AnnouncerConfig{Name: "my_svc"})
		addForeign(t, b.Conn(t), "user_service") // answers to the same $SRV subjects as user.service
		addForeign(t, b.Conn(t), "my_svc")
		for service, want := range map[string]struct{ mbus, foreign int }{
			"user.service": {3, 0}, "user_service": {0, 1}, "my_svc": {1, 1}, "nobody": {0, 0}, "": {4, 2},
		} {
			found, err := discovery.Query(bustest.Context(t), asker, service)
			if err != nil {
				t.Errorf("Query(%q): %v", service, err)
			}
			var mbus, foreign int
			for _, i := range found {
				if i.Foreign {
					foreign++
					if subject, ok := i.CallSubject("add"); !ok || subject != i.Service+".add" {
						t.Errorf("%+v is called at %q", i, subject)
					}
				} else {
					mbus++
				}
				if i.Service == "user.service" && (i.Version != "latest" || len(i.Endpoints) != 1 || i.Rev == 0) {
					t.Errorf("%+v is not what was announced", i)
				}
			}
			if mbus != want.mbus || foreign != want.foreign {
				t.Errorf("Query(%q) found %d mbus and %d foreign instances, want %+v: %+v", service, mbus, foreign, want, found)
			}
		}
	})
}

func TestQueryDoesNotWait(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		asker := b.Conn(t)
		took := func(service string) time.Duration {
			t.Helper()
			began := time.Now()
			if _, err := discovery.Query(bustest.Context(t), asker, service); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if d := took("nobody"); d > 5*time.Millisecond {
			t.Errorf("with nobody there it took %v, want the broker's word at once", d)
		}
		for range 20 {
			announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "greeter"})
		}
		if d := took("greeter"); d > 80*time.Millisecond {
			t.Errorf("with 20 instances it took %v, want about 60 ms", d)
		}
	})
}

func TestQueryWaitsForSlowInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		link.Delay(bustest.FromBroker, 60*time.Millisecond)
		for range 5 {
			announce(t, b.Conn(t, link.Use), discovery.AnnouncerConfig{Name: "far"})
		}
		found, err := discovery.Query(bustest.Context(t), b.Conn(t), "far")
		if err != nil || len(found) != 5 {
			t.Errorf("found %d, %v, want 5", len(found), err)
		}
	})
}

func TestQueryIsTypedWhenItFails(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		if _, err := discovery.Query(t.Context(), conn, "not a name"); !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("a bad name: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := discovery.Query(ended, conn, "greeter"); !errors.Is(err, bus.Cancelled) {
			t.Errorf("an ended context: %v", err)
		}
		b.Stop()
		time.Sleep(100 * time.Millisecond)
		if _, err := discovery.Query(t.Context(), conn, "greeter"); !errors.Is(err, bus.Broker) {
			t.Errorf("without a broker: %v", err)
		}
	})
}

func TestQuerySurvivesHostileAnswers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		enemy := b.Conn(t).NATS()
		const ping = `{"type":"io.nats.micro.v1.ping_response",`
		for _, subject := range []string{"mbus.probe", "mbus.probe.greeter", "$SRV.PING", "$SRV.INFO", "$SRV.INFO.greeter"} {
			_, err := enemy.Subscribe(subject, func(m *nats.Msg) {
				for _, body := range []string{
					"", "{", "null", "\xdf\xff\xff\xff\xff", `{"v":1,"name":"greeter","id":"x","endpoints":[{}]}`, `{"v":1,"name":"../..","id":"x"}`,
					ping + `"name":"greeter","id":"a b"}`, ping + `"name":"greeter","id":">"}`, ping + `"name":"greeter","id":"y","metadata":{"mbus.v":"1","mbus.name":"bank"}}`,
					ping + `"name":"greeter","id":"z","description":"` + strings.Repeat("x", 70<<10) + `"}`,
				} {
					_ = m.Respond([]byte(body))
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := enemy.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, service := range []string{"greeter", ""} {
			found, err := discovery.Query(bustest.Context(t), conn, service)
			if err != nil || len(found) != 1 || found[0].Foreign {
				t.Errorf("Query(%q) = %+v, %v, want the honest instance alone", service, found, err)
			}
		}
	})
}
