package bus_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestADrainedListenerGetsWhatCameBeforeOneThatJoins(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		conn, sender := b.Conn(t, link.Use), b.Conn(t)
		var first, second atomic.Int32
		l := listen(t, conn, bus.Calls, "all", "", func(*nats.Msg) { first.Add(1) })
		if err := conn.Confirm(bustest.Context(t), l); err != nil {
			t.Fatal(err)
		}
		link.Stall(bustest.FromBroker)
		if err := sender.Publish(t.Context(), "all", "", nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := sender.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		drained := make(chan error)
		go func() { drained <- l.Drain(bustest.Context(t)) }()
		synctest.Wait()
		listen(t, conn, bus.Calls, "all", "", func(*nats.Msg) { second.Add(1) })
		link.Heal()
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		if first.Load() != 1 || second.Load() != 0 {
			t.Errorf("the one that listened got %d messages, the one that joined later %d", first.Load(), second.Load())
		}
	})
}

// A holdUp is a log that stops at one line.
type holdUp struct {
	at      string
	stopped chan struct{}
	release chan struct{}
}

func (h *holdUp) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(h.at)) {
		close(h.stopped)
		<-h.release
	}
	return len(b), nil
}

func TestALowerLimitOfTheBrokerCountsAtOnce(t *testing.T) {
	var low atomic.Bool
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		log := &holdUp{"lost the broker", make(chan struct{}), make(chan struct{})}
		conn := b.Conn(t, func(c *bus.Config) { c.Logger = zerolog.New(log) })
		low.Store(true)
		b.Restart()
		<-log.stopped
		// NATS is back soon, and the Conn has yet to hear of either.
		for !conn.Connected() {
			time.Sleep(time.Millisecond)
		}
		_, err := conn.Request(bustest.Context(t), "nobody", nil, make([]byte, 900<<10))
		if !errors.Is(err, bus.TooLarge) {
			t.Errorf("a message over the limit: %v", err)
		}
		close(log.release)
		if _, err := conn.Request(context.WithoutCancel(t.Context()), "nobody", nil, nil); !errors.Is(err, bus.Unavailable) {
			t.Errorf("the next call: %v", err)
		}
	}, bustest.WithServer(func(o *server.Options) {
		if low.Load() {
			o.MaxPayload = 512 << 10
		}
	}))
}
