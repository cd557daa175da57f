package rpc_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// A moody greeter answers in 10 ms, but for the calls that it is told to sit on.
type moody struct {
	slow             atomic.Int64 // how many of the next calls take a second
	served, given, n atomic.Int64
}

func (m *moody) hello(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
	m.n.Add(1)
	wait := 10 * time.Millisecond
	if m.slow.Add(-1) >= 0 {
		wait = time.Second
	}
	select {
	case <-time.After(wait):
		m.served.Add(1)
		return hello(ctx, r)
	case <-ctx.Done():
		m.given.Add(1)
		return nil, ctx.Err()
	}
}

func serveMoody(t *testing.T, b *bustest.Bus) *moody {
	m := new(moody)
	s := newGreeter(b.Conn(t))
	rpc.Handle(s, "Say.Hello", m.hello)
	serve(t, s)
	return m
}

func TestAHedgedCallThatIsSlowIsAnsweredByItsSecondCopy(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		m := serveMoody(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Hedge: true})
		for range 20 { // so that it is known what is usual
			if err := sayHello(bustest.Context(t), client, rpc.WithIdempotent()); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range []struct {
			name string
			opts []rpc.CallOption
			want time.Duration
			runs int64
		}{
			{"hedged", []rpc.CallOption{rpc.WithIdempotent()}, 20 * time.Millisecond, 2},
			{"not idempotent", nil, time.Second, 1},
		} {
			m.slow.Store(1)
			m.n.Store(0)
			m.given.Store(0)
			began := time.Now()
			if err := sayHello(bustest.Context(t), client, row.opts...); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > row.want+5*time.Millisecond || m.n.Load() != row.runs {
				t.Errorf("%s: took %v in %d copies, want %v in %d", row.name, took, m.n.Load(), row.want, row.runs)
			}
			time.Sleep(50 * time.Millisecond)
			if m.given.Load() != row.runs-1 {
				t.Errorf("%s: %d copies were cancelled, want %d", row.name, m.given.Load(), row.runs-1)
			}
		}
	})
}

func TestHedgingStopsWhenEverythingIsSlow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		m := serveMoody(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		call := func() error {
			return sayHello(bustest.Context(t), client, rpc.WithIdempotent(), rpc.WithHedge(), rpc.WithTimeout(20*time.Second))
		}
		for range 20 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		const calls = 200
		m.slow.Store(10 * calls)
		m.n.Store(0)
		for range calls {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		// A tenth, and ten that the budget holds at the start. That what is usual
		// has changed is learnt only after a while.
		if n := m.n.Load(); n <= calls || n > calls+calls/10+10 {
			t.Errorf("%d calls were sent %d times, want a tenth more at most", calls, n)
		}
	})
}
