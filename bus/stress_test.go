package bus_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// A crumbler makes connections that read and write in pieces.
type crumbler struct {
	nats.InProcessConnProvider
	seed   atomic.Uint64
	breaks atomic.Bool
	broken atomic.Int64
}

func (c *crumbler) InProcessConn() (net.Conn, error) {
	conn, err := c.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	own := func() *rand.Rand { return rand.New(rand.NewPCG(c.seed.Add(1), 7)) }
	return &crumbs{Conn: conn, of: c, in: own(), out: own()}, nil
}

type crumbs struct {
	net.Conn
	of      *crumbler
	in, out *rand.Rand // of the one that reads, and of the one that writes
}

func piece(r *rand.Rand, n int) int {
	switch r.IntN(4) {
	case 0:
		return min(n, 1+r.IntN(4))
	case 1:
		return min(n, 1+r.IntN(200))
	}
	return n
}

// rip breaks the connection now and then, if it may.
func (c *crumbs) rip(r *rand.Rand) {
	if c.of.breaks.Load() && r.IntN(150) == 0 {
		c.of.broken.Add(1)
		_ = c.Close()
	}
}

func (c *crumbs) Read(b []byte) (int, error) {
	c.rip(c.in)
	return c.Conn.Read(b[:piece(c.in, len(b))])
}

func (c *crumbs) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		c.rip(c.out)
		n, err := c.Conn.Write(b[done : done+piece(c.out, len(b)-done)])
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// Calls and events of many sizes, with and without headers, on connections that
// crumble and, in every other round, break: an answer is that of its call, no
// call runs twice, events come once and in order, and what a flush has confirmed
// on an unbroken connection has come.
func TestCallsAndEventsSurviveCrumblingConnections(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) { crumble(t, b, uint64(round)) })
		})
	}
}

func crumble(t *testing.T, b *bustest.Bus, seed uint64) {
	breaks := seed%2 == 1
	through := &crumbler{InProcessConnProvider: b}
	through.seed.Store(seed * 1000)
	caller := b.Conn(t, func(c *bus.Config) { c.InProcess = through })
	service := b.Conn(t, func(c *bus.Config) { c.InProcess = through })
	var mu sync.Mutex
	ran := map[uint64]int{}
	l := listen(t, service, bus.Calls, "work", "q", func(m *nats.Msg) {
		if len(m.Data) < 8 {
			return
		}
		mu.Lock()
		ran[binary.BigEndian.Uint64(m.Data)]++
		mu.Unlock()
		_ = service.Publish(context.Background(), m.Reply, "", m.Header, m.Data)
	})
	last := map[byte]uint64{}
	var events atomic.Int64
	sub, err := service.Subscribe(bustest.Context(t), "event", "", bus.Limits{}, func(m *nats.Msg) {
		who, n := m.Data[0], binary.BigEndian.Uint64(m.Data[1:])
		if n <= last[who] || !breaks && n != last[who]+1 {
			t.Errorf("event %d of %d came after %d", n, who, last[who])
		}
		last[who] = n
		events.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Confirm(bustest.Context(t), l); err != nil {
		t.Fatal(err)
	}
	through.breaks.Store(breaks)
	var all sync.WaitGroup
	var next atomic.Uint64
	const workers, each = 8, 100
	for who := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(who)))
			sent := uint64(0)
			for range each {
				var header nats.Header
				if random.IntN(4) == 0 {
					header = nats.Header{"K": {"v"}}
				}
				data := binary.BigEndian.AppendUint64(nil, next.Add(1))
				size := random.IntN(200)
				if random.IntN(10) == 0 {
					size = random.IntN(100_000)
				}
				data = append(data, bytes.Repeat([]byte{byte(size)}, size)...)
				if random.IntN(3) == 0 {
					sent++
					event := append(binary.BigEndian.AppendUint64([]byte{byte(who)}, sent), data...)
					if err := caller.Publish(t.Context(), "event", "", header, event); err != nil {
						if !breaks {
							t.Error(err)
						}
						time.Sleep(300 * time.Millisecond)
					}
					continue
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if random.IntN(10) == 0 {
					time.AfterFunc(time.Duration(random.IntN(1000))*time.Microsecond, cancel)
				}
				m, err := caller.Request(ctx, "work", header, data)
				gaveUp := ctx.Err() != nil
				cancel()
				switch {
				case err == nil && !bytes.Equal(m.Data, data):
					t.Errorf("call %d got the answer %d", binary.BigEndian.Uint64(data), binary.BigEndian.Uint64(m.Data))
				case err != nil && !gaveUp && !(breaks && (errors.Is(err, bus.Broker) || errors.Is(err, bus.Nobody))):
					t.Error(err)
				case err != nil && !gaveUp:
					time.Sleep(300 * time.Millisecond)
				}
				if random.IntN(8) == 0 {
					time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
				}
			}
		})
	}
	all.Wait()
	through.breaks.Store(false)
	ctx := bustest.Context(t)
	if !breaks {
		if err := caller.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	b.Await(t, caller, service)
	if err := sub.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	for id, n := range ran {
		if n != 1 {
			t.Errorf("call %d ran %d times", id, n)
		}
	}
	if events.Load() == 0 || len(ran) == 0 || breaks && through.broken.Load() == 0 {
		t.Error("nothing has come, or nothing has broken")
	}
	t.Logf("%d calls, %d events, %d breaks", len(ran), events.Load(), through.broken.Load())
	if n := service.Dropped() + caller.Dropped(); n != 0 {
		t.Errorf("%d messages were dropped", n)
	}
}
