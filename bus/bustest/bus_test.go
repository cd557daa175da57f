package bustest_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/bustest"
)

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
