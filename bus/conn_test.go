package bus_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// closedPort returns an address of this machine on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestConnectFailsFastWithoutABroker(t *testing.T) {
	start := time.Now()
	_, err := bus.Connect(t.Context(), bus.Config{URL: "nats://user:secret@" + closedPort(t), FailFast: true})
	e, ok := errors.AsType[*bus.Error](err)
	if !ok || e.Code != bus.Unavailable || e.End != bus.Broker {
		t.Fatalf("got %v, want unavailable with End Broker", err)
	}
	if !strings.Contains(err.Error(), "mbus node") || strings.Contains(err.Error(), "secret") {
		t.Errorf("the text must say what to do and keep the password: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v, want within a second", took)
	}
}

// A fleeting broker cuts its first connection when it is asked for something.
type fleeting struct {
	*bustest.Bus
	cuts atomic.Int64
}

func (f *fleeting) InProcessConn() (net.Conn, error) {
	conn, err := f.Bus.InProcessConn()
	return &fleetingConn{conn, f}, err
}

type fleetingConn struct {
	net.Conn
	of *fleeting
}

func (c *fleetingConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("SUB ")) && c.of.cuts.CompareAndSwap(0, 1) {
		_ = c.Close()
	}
	return c.Conn.Write(b)
}

func TestConnectWaitsForABrokerThatItLosesMeanwhile(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		broker := &fleeting{Bus: b}
		cfg := b.Config()
		cfg.InProcess = broker
		conn, err := bus.Connect(bustest.Context(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if broker.cuts.Load() != 1 || conn.Epoch() != 2 {
			t.Errorf("%d cuts, epoch %d, want 1 and 2", broker.cuts.Load(), conn.Epoch())
		}
		if err := conn.Flush(bustest.Context(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestConnectWaitsForABroker(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		b.Stop()
		var log strings.Builder
		cfg := b.Config()
		cfg.Logger = zerolog.New(&log)
		time.AfterFunc(12*time.Second, b.Start)
		start := time.Now()
		conn, err := bus.Connect(bustest.Context(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if took := time.Since(start); took < 12*time.Second || took > 12500*time.Millisecond {
			t.Errorf("connected after %v, want soon after 12s", took)
		}
		if lines := strings.Count(log.String(), "no broker yet"); lines != 3 {
			t.Errorf("%d lines in 12s, want one per 5s:\n%s", lines, log.String())
		}
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		b.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := bus.Connect(ctx, b.Config())
		if !errors.Is(err, bus.Broker) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want End Broker and the deadline", err)
		}
	})
}

func TestConnectIsToldWhatIsWrong(t *testing.T) {
	notThere := filepath.Join(t.TempDir(), "none")
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]bus.Config{
		"a prefix without _":       {InboxPrefix: "inbox"},
		"a creds file not there":   {Creds: notThere},
		"an authority not there":   {TLSCAFile: notThere},
		"an authority that is bad": {TLSCAFile: junk},
		"a certificate not there":  {TLSCertFile: notThere, TLSKeyFile: notThere},
		"an illegal address":       {URL: "nats://%zz"},
	}
	for name, cfg := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if cfg.URL == "" {
			cfg.URL = "nats://" + closedPort(t)
		}
		_, err := bus.Connect(ctx, cfg)
		cancel()
		if !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("%s: got %v, want invalid_argument at once", name, err)
		}
	}
}

func TestConnectWithWrongCredentialsIsRefusedAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		cfg := b.Config()
		cfg.User, cfg.Password = "guest", "wrong"
		_, err := bus.Connect(bustest.Context(t), cfg)
		if !errors.Is(err, bus.Unauthenticated) || !errors.Is(err, bus.Refused) {
			t.Errorf("got %v, want unauthenticated", err)
		}
	}, bustest.WithUser("guest", "pw", nil))
}

func TestChangedTellsOfLossAndReturn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		server, client := conn.Identity()
		if server == "" || client == 0 {
			t.Errorf("identity %q %d", server, client)
		}
		changed := conn.Changed()
		b.Stop()
		<-changed
		if conn.Connected() {
			t.Error("still connected after the broker stopped")
		}
		b.Start()
		b.Await(t, conn)
		if again, _ := conn.Identity(); again == server {
			t.Errorf("identity %q is that of the broker before", again)
		}
		if err := conn.Close(bustest.Context(t)); err != nil {
			t.Error(err)
		}
		<-conn.Closed()
	})
}

// A context that ends once Connect has returned, as one with a time limit does, is
// for Connect alone.
func TestAConnectionComesBackWhenTheContextOfConnectHasEnded(t *testing.T) {
	b := bustest.Start(t, bustest.WithServer(func(o *server.Options) { o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT }))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	conn, err := bus.Connect(ctx, bus.Config{URL: b.Server().ClientURL()})
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(bustest.Context(t)) }()
	if err := conn.NATS().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, 5*time.Second, "the connection is back", func() bool { return conn.Connected() && conn.NATS().Stats().Reconnects > 0 })
}
