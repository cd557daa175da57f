package bus_test

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// A counter counts the writes of connections within the process.
type counter struct {
	*bustest.Bus
	writes atomic.Int64
}

func (c *counter) InProcessConn() (net.Conn, error) {
	conn, err := c.Bus.InProcessConn()
	return &countedConn{conn, c}, err
}

type countedConn struct {
	net.Conn
	of *counter
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.of.writes.Add(1)
	return c.Conn.Write(b)
}

func TestCallsThatGoOutTogetherShareWrites(t *testing.T) {
	bustest.NotUnderRace(t)
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		counter := &counter{Bus: b}
		conn := b.Conn(t, func(cfg *bus.Config) { cfg.InProcess = counter })
		counter.writes.Store(0)
		const callers = 64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if err := conn.Publish(bustest.Context(t), "news", "", nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := conn.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if n := counter.writes.Load(); n > callers/4 {
			t.Errorf("%d messages took %d writes", callers, n)
		}
	})
}
