package registrar_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// system gives the broker a user of the system account beside the anonymous
// one.
func system() bustest.Option {
	return bustest.WithServer(func(o *server.Options) {
		account := server.NewAccount("$SYS")
		o.Accounts = []*server.Account{account}
		o.SystemAccount = "$SYS"
		o.NoAuthUser = "anyone"
		o.Users = []*server.User{
			{Username: "anyone", Password: "x"},
			{Username: "system", Password: "secret", Account: account},
		}
	})
}

// systemConn connects as the user of the system account.
func systemConn(t *testing.T, b *bustest.Bus) *bus.Conn {
	t.Helper()
	return b.Conn(t, func(c *bus.Config) { c.User, c.Password = "system", "secret" })
}

// start starts a registrar that the test stops.
func start(t *testing.T, conn *bus.Conn, cfg registrar.Config) *registrar.Registrar {
	t.Helper()
	r := newRegistrar(t, conn, cfg)
	if err := r.Start(bustest.Context(t)); err != nil {
		t.Fatalf("start the registrar: %v", err)
	}
	t.Cleanup(func() { stop(t, r) })
	return r
}

func newRegistrar(t *testing.T, conn *bus.Conn, cfg registrar.Config) *registrar.Registrar {
	t.Helper()
	cfg.Logger = conn.Logger()
	r, err := registrar.New(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func stop(t *testing.T, r bus.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// announce starts an instance that the test stops.
func announce(t *testing.T, conn *bus.Conn, cfg discovery.AnnouncerConfig) *discovery.Announcer {
	t.Helper()
	a, err := discovery.NewAnnouncer(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, a) })
	return a
}

// stuckRegistrar announces a registrar that answers nobody, until end is called.
func stuckRegistrar(t *testing.T, conn *bus.Conn) (end func()) {
	t.Helper()
	l, err := conn.Listen(bus.Control, "mbus.node.mbus.stuck.sync", "", func(*nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	announce(t, conn, discovery.AnnouncerConfig{Name: registrar.Service, ID: "stuck", Metadata: map[string]string{"role": registrar.Role}})
	time.Sleep(time.Second) // the others know it
	return func() {
		if err := l.Drain(bustest.Context(t)); err != nil {
			t.Error(err)
		}
	}
}
