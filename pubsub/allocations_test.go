package pubsub_test

import (
	"context"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/tinylib/msgp/msgp"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/pubsub"
)

// An Account has the methods that github.com/tinylib/msgp generates.
type Account struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// MarshalMsg has the receiver that msgp gives to small structs.
func (a Account) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.Require(b, 9+len(a.ID)+len(a.Name)+2*msgp.StringPrefixSize)
	b = msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(b, 2), "id"), a.ID)
	return msgp.AppendString(msgp.AppendString(b, "name"), a.Name), nil
}

func (a *Account) UnmarshalMsg(b []byte) (rest []byte, err error) {
	fields, b, err := msgp.ReadMapHeaderBytes(b)
	for ; err == nil && fields > 0; fields-- {
		var key []byte
		if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
			break
		}
		switch string(key) {
		case "id":
			a.ID, b, err = msgp.ReadStringBytes(b)
		case "name":
			a.Name, b, err = msgp.ReadStringBytes(b)
		default:
			b, err = msgp.Skip(b)
		}
	}
	return b, err
}

// Allocations are those of the whole process: of publisher, subscriber and
// broker, for one event after another. So each budget is what mbus may allocate
// beyond plain nats.go publishing and delivering bytes in the same process.
func TestAllocationsOfAnEventStayWithinTheirBudget(t *testing.T) {
	bustest.NotUnderRace(t)
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var came sync.WaitGroup
		event := func(publish func() error) func() error {
			return func() error {
				came.Add(1)
				defer came.Wait()
				return publish()
			}
		}
		plain, reader := b.Conn(t).NATS(), b.Conn(t).NATS()
		if _, err := reader.Subscribe("floor", func(*nats.Msg) { came.Done() }); err != nil {
			t.Fatal(err)
		}
		if err := reader.FlushWithContext(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		floor := bustest.Allocations(t, event(func() error { return plain.Publish("floor", []byte("body")) }))
		for _, row := range []struct {
			name   string
			event  func() error
			budget float64
		}{
			{"bytes", event(typed(t, b, &came, "bytes", []byte("body"))), 2},
			{"json", event(typed(t, b, &came, "json", User{ID: "1", Name: "John"})), 8},
			{"msgpack", event(typed(t, b, &came, "msgpack", User{ID: "1", Name: "John"}, pubsub.WithCodec(codec.Msgpack))), 4},
			{"generated msgpack", event(typed(t, b, &came, "generated", Account{ID: "1", Name: "John"}, pubsub.WithCodec(codec.Msgpack))), 5},
		} {
			got := bustest.Allocations(t, row.event)
			t.Logf("%s: %v allocations, %v beyond the floor", row.name, got, got-floor)
			if got-floor > row.budget {
				t.Errorf("%s: %v allocations beyond the %v of nats.go alone, %v are allowed", row.name, got-floor, floor, row.budget)
			}
		}
	})
}

// typed subscribes to a topic of its own and returns what publishes value there.
func typed[T any](t *testing.T, b *bustest.Bus, came *sync.WaitGroup, name string, value T, opts ...pubsub.PublishOption) func() error {
	topic := pubsub.Topic[T]{Name: "typed." + name}
	sub := topic.Subscribe(b.Conn(t), func(context.Context, *pubsub.Event[T]) error {
		came.Done()
		return nil
	})
	if err := sub.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sub.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ctx, conn := bustest.Context(t), b.Conn(t)
	return func() error { return topic.Publish(ctx, conn, value, opts...) }
}
