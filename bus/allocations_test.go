package bus_test

import (
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// Allocations are those of the whole process: of both sides and the broker, for
// one message after another. So each budget is what mbus may allocate beyond
// plain nats.go doing the same in the same process.
func TestAllocationsOfTheConnectionStayWithinTheirBudget(t *testing.T) {
	bustest.NotUnderRace(t)
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx := bustest.Context(t)
		server, client, plain := b.Conn(t), b.Conn(t), b.Conn(t).NATS()
		respond := func(m *nats.Msg) { _ = m.Respond(m.Data) }
		if _, err := server.NATS().Subscribe("floor.request", respond); err != nil {
			t.Fatal(err)
		}
		var came sync.WaitGroup
		arrive := func(*nats.Msg) { came.Done() }
		if _, err := server.NATS().Subscribe("floor.event", arrive); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Subscribe(ctx, "event", "", bus.Limits{}, arrive); err != nil {
			t.Fatal(err)
		}
		l, err := server.Listen(bus.Calls, "listen", "", arrive)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Confirm(ctx, l); err != nil {
			t.Fatal(err)
		}
		body := []byte("body")
		event := func(send func() error) func() error {
			return func() error {
				came.Add(1)
				defer came.Wait()
				return send()
			}
		}
		for _, row := range []struct {
			name   string
			floor  func() error
			mbus   func() error
			budget float64
		}{
			{
				"Request",
				func() error { _, err := plain.RequestWithContext(ctx, "floor.request", body); return err },
				func() error { _, err := client.Request(ctx, "floor.request", nil, body); return err },
				-4,
			},
			{
				"Call", // a Request that is not made into a message of NATS
				func() error { _, err := plain.RequestWithContext(ctx, "floor.request", body); return err },
				func() error { _, err := client.Call(ctx, bus.Call{Subject: "floor.request", Data: body}); return err },
				-5,
			},
			{
				"Publish and Subscribe",
				event(func() error { return plain.Publish("floor.event", body) }),
				event(func() error { return client.Publish(ctx, "event", "", nil, body) }),
				0,
			},
			{
				"Publish and Listen",
				event(func() error { return plain.Publish("floor.event", body) }),
				event(func() error { return client.Publish(ctx, "listen", "", nil, body) }),
				-3,
			},
		} {
			floor, mbus := bustest.Allocations(t, row.floor), bustest.Allocations(t, row.mbus)
			t.Logf("%s: %v allocations, %v of nats.go alone", row.name, mbus, floor)
			if mbus-floor > row.budget {
				t.Errorf("%s: %v allocations beyond the %v of nats.go alone, %v are allowed", row.name, mbus-floor, floor, row.budget)
			}
		}
	})
}
