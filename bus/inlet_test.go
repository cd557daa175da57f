package bus_test

import (
	"runtime"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestOneProcessorLosesNothingOfAFlood(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		sender, receiver := b.Conn(t), b.Conn(t)
		const sent = 100_000
		got, all := 0, make(chan struct{})
		l, err := receiver.Listen(bus.Streams, "flood", "", func(*nats.Msg) {
			if got++; got == sent {
				close(all)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Confirm(bustest.Context(t), l); err != nil {
			t.Fatal(err)
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		for range sent {
			if err := sender.Publish(t.Context(), "flood", "", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-all:
		case <-bustest.Context(t).Done():
			t.Errorf("%d of %d came, %d were dropped", got, sent, receiver.Dropped())
		}
	})
}
