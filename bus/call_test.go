package bus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestAbortEndsTheCallsItNames(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, client := b.Conn(t), b.Conn(t)
		l, err := server.Listen(bus.Calls, "ask.>", "", func(*nats.Msg) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Confirm(bustest.Context(t), l); err != nil {
			t.Fatal(err)
		}
		ends := make(map[uint64]error)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for seq, subject := range map[uint64]string{1: "ask.a", 2: "ask.a", 3: "ask.b", 0: "ask.a"} {
			wg.Go(func() {
				_, err := client.Call(within(t, time.Second), bus.Call{Subject: subject, Seq: seq})
				mu.Lock()
				defer mu.Unlock()
				ends[seq] = err
			})
		}
		time.Sleep(100 * time.Millisecond)
		waiting := client.Waiting("ask.")
		slices.Sort(waiting)
		if want := []uint64{1, 2, 3}; !slices.Equal(waiting, want) {
			t.Errorf("waiting are %v, want %v", waiting, want)
		}
		client.Abort("ask.a", map[uint64]bool{1: true, 3: true}, bus.Errorf(bus.DataLoss, "gone"))
		client.Abort("ask.b", nil, bus.Errorf(bus.Conflict, "gone too"))
		wg.Wait()
		for seq, want := range map[uint64]error{0: bus.DeadlineExceeded, 1: bus.DataLoss, 2: bus.DeadlineExceeded, 3: bus.Conflict} {
			if !errors.Is(ends[seq], want) {
				t.Errorf("call %d ended with %v, want %v", seq, ends[seq], want)
			}
		}
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(bustest.Context(t), d)
	t.Cleanup(cancel)
	return ctx
}
