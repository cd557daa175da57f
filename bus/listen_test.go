package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

func listen(t *testing.T, conn *bus.Conn, lane bus.Lane, subject, queue string, f func(*nats.Msg)) *bus.Listener {
	t.Helper()
	l, err := conn.Listen(lane, subject, queue, f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestListenersShareOneSubscription(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, other := b.Conn(t), b.Conn(t)
		var plain, queued [3]atomic.Int32
		before := conn.NATS().NumSubscriptions()
		for i := range 3 {
			listen(t, conn, bus.Control, "all", "", func(*nats.Msg) { plain[i].Add(1) })
			listen(t, conn, bus.Calls, "one", "q", func(*nats.Msg) { queued[i].Add(1) })
		}
		if got := conn.NATS().NumSubscriptions() - before; got != 2 {
			t.Errorf("6 listeners on 2 subjects made %d subscriptions, want 2", got)
		}
		if err := conn.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			_ = other.Publish(t.Context(), "all", "", nil, nil)
			_ = other.Publish(t.Context(), "one", "", nil, nil)
		}
		time.Sleep(time.Second)
		for i := range 3 {
			if plain[i].Load() != 30 || queued[i].Load() != 10 {
				t.Errorf("listener %d got %d of 30 and %d of 10", i, plain[i].Load(), queued[i].Load())
			}
		}
	})
}

func TestManyListenersCostNoGoroutines(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		listen(t, conn, bus.Control, "first", "", func(*nats.Msg) {})
		synctest.Wait()
		before := runtime.NumGoroutine()
		for i := range 4000 {
			listen(t, conn, bus.Control, fmt.Sprintf("s.%d", i), "", func(*nats.Msg) {})
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 5 {
			t.Errorf("4,000 listeners cost %d goroutines", more)
		}
	})
}

func TestDrainLosesNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		leaving, staying, sender := b.Conn(t), b.Conn(t), b.Conn(t)
		var got atomic.Int32
		count := func(m *nats.Msg) { got.Add(1); _ = m.Respond(nil) }
		first := listen(t, leaving, bus.Calls, "work", "q", count)
		listen(t, staying, bus.Calls, "work", "q", count)
		for _, conn := range []*bus.Conn{leaving, staying} {
			if err := conn.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		const calls = 2000
		failed := make(chan error, calls)
		for range calls {
			go func() {
				_, err := sender.Request(bustest.Context(t), "work", nil, nil)
				failed <- err
			}()
		}
		if err := first.Drain(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		for range calls {
			if err := <-failed; err != nil {
				t.Fatalf("a call was lost: %v", err)
			}
		}
		if got.Load() != calls {
			t.Errorf("%d calls were handled, want %d", got.Load(), calls)
		}
		if err := first.Drain(bustest.Context(t)); err != nil {
			t.Errorf("second drain: %v", err)
		}
	})
}

func TestDrainOfOneListenerKeepsTheOthers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var first, second atomic.Int32
		l := listen(t, conn, bus.Calls, "work", "q", func(m *nats.Msg) { first.Add(1); _ = m.Respond(nil) })
		listen(t, conn, bus.Calls, "work", "q", func(m *nats.Msg) { second.Add(1); _ = m.Respond(nil) })
		if err := conn.Confirm(bustest.Context(t), l); err != nil { // the broker knows of both
			t.Fatal(err)
		}
		if err := l.Drain(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := b.Conn(t).Request(bustest.Context(t), "work", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if first.Load() != 0 || second.Load() != 10 {
			t.Errorf("got %d and %d, want 0 and 10", first.Load(), second.Load())
		}
	})
}

func TestListenAgainWhileDraining(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for range 20 {
			l := listen(t, conn, bus.Calls, "work", "q", func(m *nats.Msg) { _ = m.Respond([]byte("old")) })
			done := make(chan error)
			go func() { done <- l.Drain(bustest.Context(t)) }()
			next := listen(t, conn, bus.Calls, "work", "q", func(m *nats.Msg) { _ = m.Respond([]byte("new")) })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			m, err := conn.Request(bustest.Context(t), "work", nil, nil)
			if err != nil || string(m.Data) != "new" {
				t.Fatalf("got %v, want the new listener's answer", err)
			}
			if err := next.Drain(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Request(bustest.Context(t), "work", nil, nil); !errors.Is(err, bus.Nobody) {
				t.Fatalf("after the drain: got %v, want nobody", err)
			}
		}
	})
}

func TestDrainWithoutBrokerEnds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		l := listen(t, conn, bus.Control, "s", "", func(*nats.Msg) {})
		b.Stop()
		synctest.Wait()
		start := time.Now()
		if err := l.Drain(bustest.Context(t)); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestCloseHandsOutWhatHasArrived(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, sender := b.Conn(t), b.Conn(t)
		var listened, subscribed atomic.Int32
		listen(t, conn, bus.Control, "e", "", func(*nats.Msg) { listened.Add(1) })
		_, err := conn.Subscribe(t.Context(), "e", "", bus.Limits{}, func(*nats.Msg) {
			time.Sleep(time.Millisecond)
			subscribed.Add(1)
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			_ = sender.Publish(t.Context(), "e", "", nil, nil)
		}
		if err := sender.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if listened.Load() != 100 || subscribed.Load() != 100 {
			t.Errorf("listener got %d, subscription %d, want 100 each", listened.Load(), subscribed.Load())
		}
		if err := conn.Close(bustest.Context(t)); err != nil {
			t.Errorf("second close: %v", err)
		}
		if _, err := conn.Request(t.Context(), "e", nil, nil); !errors.Is(err, bus.Broker) {
			t.Errorf("after close: got %v", err)
		}
	})
}

func TestCloseIsCutShortByItsContext(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		release := make(chan struct{})
		_, err := conn.Subscribe(t.Context(), "e", "", bus.Limits{}, func(*nats.Msg) { <-release })
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Publish(t.Context(), "e", "", nil, nil)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := conn.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		close(release)
		time.Sleep(time.Second) // NATS looks for the end of a drain in steps
	})
}

func TestSlowSubscriptionCountsWhatItLoses(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, sender := b.Conn(t), b.Conn(t)
		var got atomic.Int32
		sub, err := conn.Subscribe(t.Context(), "e", "", bus.Limits{Messages: 10}, func(*nats.Msg) {
			got.Add(1)
			time.Sleep(time.Second)
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			_ = sender.Publish(t.Context(), "e", "", nil, nil)
		}
		time.Sleep(time.Minute)
		if dropped := sub.Dropped(); int(got.Load())+int(dropped) != 100 || dropped == 0 {
			t.Errorf("got %d and lost %d, want 100 together", got.Load(), dropped)
		}
		if err := sub.Drain(bustest.Context(t)); err != nil {
			t.Error(err)
		}
		if sub.Dropped() == 0 {
			t.Error("the count is gone after the drain")
		}
	})
}

func TestAFullLaneCountsWhatItLosesAndStillDrains(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		sender, receiver := b.Conn(t), b.Conn(t)
		hold := make(chan struct{})
		got := 0
		l, err := receiver.Listen(bus.Control, "news", "", func(*nats.Msg) {
			<-hold
			got++
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Confirm(bustest.Context(t), l); err != nil {
			t.Fatal(err)
		}
		const sent = 30_000
		for i := range sent {
			if err := sender.Publish(t.Context(), "news", "", nil, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 0 {
				synctest.Wait() // so that the broker has no reason to lose any
			}
		}
		if err := sender.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- l.Drain(bustest.Context(t)) }()
		synctest.Wait()
		close(hold)
		if err := <-drained; err != nil {
			t.Errorf("drain: %v", err)
		}
		if dropped := int(receiver.Dropped()); got+dropped != sent || got < 16384 || dropped < 1000 {
			t.Errorf("%d came and %d were dropped of %d; want 16,384 or a few more", got, dropped, sent)
		}
	})
}
