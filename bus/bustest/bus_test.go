package bustest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestMain(m *testing.M) { bustest.Main(m) }

func TestASlowHandlerTakesExactlyItsVirtualTime(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx := bustest.Context(t)
		server, client := b.Conn(t), b.Conn(t)
		if _, err := server.NATS().Subscribe("slow", func(m *nats.Msg) {
			time.Sleep(3 * time.Second)
			_ = m.Respond(m.Data)
		}); err != nil {
			t.Fatal(err)
		}
		if err := server.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		reply, err := client.Request(ctx, "slow", nil, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); string(reply.Data) != "hello" || took != 3*time.Second {
			t.Errorf("got %q after %v, want %q after 3s", reply.Data, took, "hello")
		}
	})
}

func TestConnectionsFindTheRestartedBroker(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		direct, linked := b.Conn(t), b.Conn(t, b.Link().Use)
		first := b.Server().ID()
		b.Stop()
		bustest.Eventually(t, time.Second, "both disconnected", func() bool {
			return !direct.Connected() && !linked.Connected()
		})
		time.Sleep(time.Minute)
		b.Start()
		b.Await(t, direct, linked)
		if id, _ := linked.Identity(); id == first || id != b.Server().ID() {
			t.Errorf("connected to %s, want the new broker %s", id, b.Server().ID())
		}
	})
}

func TestEveryConnIsAConnectionOfItsOwn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, first := b.Conn(t).Identity()
		_, second := b.Conn(t).Identity()
		if first == second || b.Server().NumClients() != 2 {
			t.Errorf("got clients %d and %d, the broker has %d; want two", first, second, b.Server().NumClients())
		}
	})
}

func TestAStoppedBrokerRefuses(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		b.Stop()
		b.Stop()
		if b.Server() != nil {
			t.Error("Server is not nil after Stop")
		}
		cfg := b.Config()
		cfg.FailFast = true
		if _, err := bus.Connect(bustest.Context(t), cfg); !errors.Is(err, bus.Broker) {
			t.Errorf("got %v, want End broker", err)
		}
		b.Start()
		b.Conn(t)
	})
}

func TestSubscriptionsAreThoseTheBrokerKnows(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		before := b.Subscriptions(t, conn)
		sub, err := conn.Subscribe(t.Context(), "orders.*", "q", bus.Limits{}, func(*nats.Msg) {})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Subscriptions(t, conn); !slices.Contains(got, "orders.* q") || len(got) != len(before)+1 {
			t.Errorf("got %q, want %q and \"orders.* q\"", got, before)
		}
		if err := sub.Drain(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if got := b.Subscriptions(t, conn); !slices.Equal(got, before) {
			t.Errorf("after Drain: got %q, want %q", got, before)
		}
		b.Stop()
		if got := b.Subscriptions(t, conn); got != nil {
			t.Errorf("without a broker: got %q, want none", got)
		}
	})
}

func TestAUserHasOnlyItsRights(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		everyone := b.Conn(t)
		guest := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "secret" })
		answer(t, everyone, "public")
		answer(t, everyone, "private")
		if _, err := ask(t, guest, "public", 0); err != nil {
			t.Errorf("public: %v", err)
		}
		if _, err := ask(t, guest, "private", 0); !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("private: got %v, want permission_denied", err)
		}
		if _, err := ask(t, everyone, "private", 0); err != nil {
			t.Errorf("private for everyone else: %v", err)
		}
		cfg := b.Config()
		cfg.User, cfg.Password = "guest", "guess"
		if _, err := bus.Connect(bustest.Context(t), cfg); !errors.Is(err, bus.Unauthenticated) {
			t.Errorf("wrong password: got %v, want unauthenticated", err)
		}
	}, bustest.WithUser("guest", "secret", &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{"public"}},
	}))
}

func TestWithServerHoldsAfterARestart(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for range 2 {
			if got := b.Conn(t).MaxPayload(); got != 4096 {
				t.Errorf("got a limit of %d bytes, want 4096", got)
			}
			b.Restart()
		}
	}, bustest.WithServer(func(o *server.Options) { o.MaxPayload = 4096 }))
}

func TestJetStreamKeepsItsMessagesOverARestart(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx := bustest.Context(t)
		conn := b.Conn(t)
		js, err := conn.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}, MaxAge: time.Hour / 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(ctx, "orders", []byte("one")); err != nil {
			t.Fatal(err)
		}
		b.Restart()
		b.Await(t, conn)
		if m, err := stream.GetMsg(ctx, 1); err != nil || string(m.Data) != "one" {
			t.Errorf("got %v, %v; want the message", m, err)
		}
		time.Sleep(time.Hour/2 + time.Minute)
		ctx = bustest.Context(t)
		if _, err := stream.GetMsg(ctx, 1); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("after its age: got %v, want not found", err)
		}
	}, bustest.WithJetStream())
}

func TestWithoutJetStreamThereIsNone(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		js, err := b.Conn(t).JetStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.AccountInfo(bustest.Context(t)); !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
			t.Errorf("got %v, want not enabled", err)
		}
	})
}

func TestStartWorksInRealTime(t *testing.T) {
	b := bustest.Start(t, bustest.WithJetStream())
	link := b.Link()
	conn := b.Conn(t, link.Use)
	answer(t, b.Conn(t), "echo")
	link.Delay(bustest.FromBroker, 30*time.Millisecond)
	if took, err := ask(t, conn, "echo", 0); err != nil || took < 30*time.Millisecond {
		t.Errorf("got %v after %v, want an answer after at least 30ms", err, took)
	}
	link.Heal()
	b.Restart()
	b.Await(t, conn)
}

func TestStartWorksInABubbleOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bustest.Start(t, bustest.WithJetStream())
		conn := b.Conn(t)
		answer(t, conn, "echo")
		b.Restart()
		b.Await(t, conn)
		if _, err := ask(t, conn, "echo", 0); err != nil {
			t.Error(err)
		}
	})
}

// nats.go's pool of timers is what would break the second bubble.
func TestBubblesAndRealTimeTakeTurns(t *testing.T) {
	flush := func(t *testing.T, b *bustest.Bus) {
		nc := b.Conn(t).NATS()
		if _, err := nc.SubscribeSync("x"); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := nc.FlushTimeout(time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		bustest.Run(t, flush)
		flush(t, bustest.Start(t))
	}
}

func TestTheEnvironmentDoesNotReachTheBubble(t *testing.T) {
	t.Setenv("MBUS_URL", "tls://elsewhere.invalid:1")
	t.Setenv("NATS_URL", "tls://elsewhere.invalid:1")
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		if got := b.Conn(t).NATS().ConnectedUrl(); strings.Contains(got, "elsewhere") {
			t.Errorf("got %s from the environment", got)
		}
	})
}

func TestAFloodIsNotMistakenForABrokerThatDoesNotRead(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for range 600 {
			if err := conn.Publish(t.Context(), "flood", "", nil, make([]byte, 100<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if got := conn.Epoch(); got != 1 {
			t.Errorf("got epoch %d, want 1: no reconnect", got)
		}
	})
}
