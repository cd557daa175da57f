package pubsub_test

import (
	"context"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/pubsub"
)

// BenchmarkEvents delivers events through plain nats.go, the floor, and through
// the typed layer, in the same run.
func BenchmarkEvents(b *testing.B) {
	broker := bustest.Start(b)
	b.Run("floor", func(b *testing.B) {
		conn, sender := broker.Conn(b), broker.Conn(b)
		var left sync.WaitGroup
		left.Add(b.N)
		sub, err := conn.NATS().Subscribe("floor", func(*nats.Msg) { left.Done() })
		if err != nil {
			b.Fatal(err)
		}
		defer sub.Unsubscribe()
		_ = sub.SetPendingLimits(-1, -1)
		_ = conn.Flush(b.Context())
		body := []byte(`{"id":"1","name":"John"}`)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if err := sender.NATS().Publish("floor", body); err != nil {
				b.Fatal(err)
			}
		}
		left.Wait()
	})
	b.Run("mbus", func(b *testing.B) {
		conn, sender := broker.Conn(b), broker.Conn(b)
		var left sync.WaitGroup
		left.Add(b.N)
		sub := pubsub.Subscribe(conn, "typed", func(context.Context, *pubsub.Event[User]) error {
			left.Done()
			return nil
		}, pubsub.WithBuffer(b.N+1, 1<<40))
		if err := sub.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		defer sub.Stop(context.Background())
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if err := pubsub.Publish(b.Context(), sender, "typed", User{ID: "1", Name: "John"}); err != nil {
				b.Fatal(err)
			}
		}
		left.Wait()
	})
}
