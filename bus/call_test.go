package bus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
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

func TestAnExpiryEndsItsCallsAndNoOthers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, client := b.Conn(t), b.Conn(t)
		l, err := server.Listen(bus.Calls, "ask", "", func(*nats.Msg) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Confirm(bustest.Context(t), l); err != nil {
			t.Fatal(err)
		}
		expiry, gone := client.NewExpiry(), make(chan struct{})
		began := time.Now()
		ends := make(map[string]error)
		var mu sync.Mutex
		var wg sync.WaitGroup
		batcher := client.NewBatcher("ask")
		ask := func(name string, call func(context.Context) error, limit time.Duration) {
			ctx, cancel := context.WithTimeout(bustest.Context(t), limit)
			wg.Go(func() {
				defer cancel()
				err := call(ctx)
				mu.Lock()
				defer mu.Unlock()
				ends[name] = err
			})
			synctest.Wait()
		}
		plainly := func(call bus.Call) func(context.Context) error {
			return func(ctx context.Context) error { _, err := client.Call(ctx, call); return err }
		}
		batched := func(call bus.Call) func(context.Context) error {
			return func(ctx context.Context) error { _, err := batcher.Call(ctx, 8, call); return err }
		}
		ask("its own", plainly(bus.Call{Subject: "ask", Seq: 1, Expiry: expiry, Began: began.Add(-time.Second)}), time.Second)
		ask("alone", batched(bus.Call{Seq: 2, Expiry: expiry}), time.Second)
		ask("batched", batched(bus.Call{Seq: 3, Data: []byte("x"), Expiry: expiry}), time.Second)
		ask("another", plainly(bus.Call{Subject: "ask", Seq: 4}), 3*time.Second)
		ask("given up", plainly(bus.Call{Subject: "ask", Seq: 5, Expiry: expiry, Ended: gone}), time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		ended := func(name string) error {
			mu.Lock()
			defer mu.Unlock()
			return ends[name]
		}
		for _, name := range []string{"its own", "alone", "batched", "another", "given up"} {
			if err := ended(name); err != nil {
				t.Errorf("%s ended before the expiry did: %v", name, err)
			}
		}
		close(gone)
		synctest.Wait()
		if !errors.Is(ended("given up"), bus.DeadlineExceeded) {
			t.Errorf("the call whose Ended was closed: %v", ended("given up"))
		}
		expiry.End()
		synctest.Wait()
		for _, name := range []string{"its own", "alone", "batched"} {
			if e, ok := errors.AsType[*bus.Error](ended(name)); !ok || e.Code != bus.DeadlineExceeded || e.End != bus.Timeout {
				t.Errorf("%s: %v, want a timeout", name, ended(name))
			}
		}
		if e, ok := errors.AsType[*bus.Error](ended("its own")); ok && e.Elapsed != 2*time.Second {
			t.Errorf("a call that began a second before says that it took %v, not 2s", e.Elapsed)
		}
		if ended("another") != nil {
			t.Errorf("a call without the expiry ended: %v", ended("another"))
		}
		wg.Wait()
	})
}
