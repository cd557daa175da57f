package bus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// Each end drains a message whose function takes five seconds.
func TestASecondEndKeepsItsOwnDeadline(t *testing.T) {
	slow := func(*nats.Msg) { time.Sleep(5 * time.Second) }
	for name, open := range map[string]func(*testing.T, *bus.Conn) func(context.Context) error{
		"Subscription.Drain": func(t *testing.T, conn *bus.Conn) func(context.Context) error {
			s, err := conn.Subscribe(t.Context(), "slow", "", bus.Limits{}, slow)
			if err != nil {
				t.Fatal(err)
			}
			return s.Drain
		},
		"Listener.Drain": func(t *testing.T, conn *bus.Conn) func(context.Context) error {
			l, err := conn.Listen(bus.Calls, "slow", "", slow)
			if err != nil {
				t.Fatal(err)
			}
			return l.Drain
		},
		"Conn.Close": func(t *testing.T, conn *bus.Conn) func(context.Context) error {
			if _, err := conn.Subscribe(t.Context(), "slow", "", bus.Limits{}, slow); err != nil {
				t.Fatal(err)
			}
			return conn.Close
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				conn := b.Conn(t)
				end := open(t, conn)
				if err := conn.Publish(t.Context(), "slow", "", nil, nil); err != nil {
					t.Fatal(err)
				}
				if err := conn.Flush(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				var first sync.WaitGroup
				first.Go(func() { _ = end(bustest.Context(t)) })
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := end(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
					t.Errorf("the second end returned %v after %v, want its deadline after 2s", err, time.Since(start))
				}
				first.Wait()
				time.Sleep(5 * time.Second) // what was cut off still runs to its end
			})
		})
	}
}
