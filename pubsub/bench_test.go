package pubsub_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/pubsub"
)

// BenchmarkEvents delivers events of about the same size from one publisher to
// one subscriber, over TCP on this machine, through plain nats.go, the floor,
// and through the typed layer. The numbers to read are the ratios to the floor of
// the same run.
func BenchmarkEvents(b *testing.B) {
	broker := bustest.Start(b, bustest.WithServer(func(o *server.Options) {
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
	}))
	url := broker.Server().ClientURL()
	body := []byte(`{"id":"1","name":"John"}`)
	b.Run("floor", func(b *testing.B) {
		receiver, sender := plain(b, url), plain(b, url)
		deliver(b, floor(receiver), func() error { return sender.Publish("floor", body) })
	})
	b.Run("floor with a header", func(b *testing.B) {
		receiver, sender := plain(b, url), plain(b, url)
		deliver(b, floor(receiver), func() error {
			m := nats.Msg{Subject: "floor", Header: nats.Header{"Content-Type": {"text/plain"}}, Data: body}
			return sender.PublishMsg(&m)
		})
	})
	b.Run("bytes", func(b *testing.B) { deliverTyped(b, url, body) })
	b.Run("json", func(b *testing.B) { deliverTyped(b, url, User{ID: "1", Name: "John"}) })
	b.Run("msgpack", func(b *testing.B) {
		deliverTyped(b, url, User{ID: "1", Name: "John"}, pubsub.WithCodec(codec.Msgpack))
	})
	b.Run("generated", func(b *testing.B) {
		deliverTyped(b, url, Account{ID: "1", Name: "John"}, pubsub.WithCodec(codec.Msgpack))
	})
}

// floor subscribes as nats.go alone does.
func floor(nc *nats.Conn) func(came func()) error {
	return func(came func()) error {
		sub, err := nc.Subscribe("floor", func(*nats.Msg) { came() })
		if err != nil {
			return err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
		return nc.Flush()
	}
}

// deliver publishes b.N events and waits until all have come.
func deliver(b *testing.B, subscribe func(came func()) error, publish func() error) {
	b.Helper()
	var left sync.WaitGroup
	left.Add(b.N)
	if err := subscribe(left.Done); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := publish(); err != nil {
			b.Fatal(err)
		}
	}
	left.Wait()
}

func deliverTyped[T any](b *testing.B, url string, value T, opts ...pubsub.PublishOption) {
	b.Helper()
	receiver, sender := dial(b, url), dial(b, url)
	deliver(b, func(came func()) error {
		sub := pubsub.Subscribe(receiver, "typed", func(context.Context, *pubsub.Event[T]) error {
			came()
			return nil
		}, pubsub.WithBuffer(b.N+1, 1<<40))
		b.Cleanup(func() { _ = sub.Stop(context.Background()) })
		return sub.Start(b.Context())
	}, func() error { return pubsub.Publish(b.Context(), sender, "typed", value, opts...) })
}

func plain(b *testing.B, url string) *nats.Conn {
	b.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}

func dial(b *testing.B, url string) *bus.Conn {
	b.Helper()
	conn, err := bus.Connect(b.Context(), bus.Config{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	return conn
}
