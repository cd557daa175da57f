package pipe_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// A gathering is a pipe whose messages gather until the test lets them go.
type gathering struct {
	*pipe.Pipe
	letGo chan struct{}

	mu   sync.Mutex
	sent []string
	fail error
}

func newGathering(t *testing.T, change func(*pipe.Config)) *gathering {
	g := &gathering{letGo: make(chan struct{})}
	g.Pipe = newPipe(func(c *pipe.Config) {
		c.Send, c.Settle = g.send, func() { <-g.letGo }
		change(c)
	})
	g.Gather()
	t.Cleanup(func() { close(g.letGo) })
	return g
}

func (g *gathering) send(f *wire.Frame) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	what := fmt.Sprintf("%s %d", f.Type, f.Seq)
	if f.Type == wire.FrameStreamBatch {
		n, err := wire.CheckStreamBatch(f.Payload)
		if err != nil {
			return err
		}
		what += fmt.Sprintf("+%d", n)
	}
	g.sent = append(g.sent, what)
	return g.fail
}

// went tells, once nothing moves, what has gone out since it was last asked.
func (g *gathering) went() string {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	all := strings.Join(g.sent, ", ")
	g.sent = nil
	return all
}

func (g *gathering) expect(t *testing.T, want string) {
	t.Helper()
	if got := g.went(); got != want {
		t.Errorf("%q went out, want %q", got, want)
	}
}

func (g *gathering) send1(t *testing.T, n int) {
	t.Helper()
	if err := g.Send(t.Context(), wire.CodecRaw, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

func TestMessagesGatherBehindTheOneOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(*pipe.Config) {})
		g.send1(t, 1)
		g.expect(t, "data 1")
		for range 3 {
			g.send1(t, 1)
		}
		g.expect(t, "")
		g.letGo <- struct{}{}
		g.expect(t, "stream-batch 2+3")
		g.send1(t, 1)
		g.letGo <- struct{}{}
		g.expect(t, "data 5")
		g.letGo <- struct{}{} // and nothing has gathered
		g.send1(t, 1)
		g.expect(t, "data 6")
	})
}

func TestWhatGathersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(*pipe.Config) {})
		g.Widen(wire.Credit{Seq: 1000, Bytes: 1 << 30})
		for range 1 + 2*wire.MaxStreamBatch {
			g.send1(t, 0)
		}
		g.expect(t, "data 1, stream-batch 2+64, stream-batch 66+64")
		for range 8 {
			g.send1(t, 8<<10)
		}
		g.expect(t, "stream-batch 130+3, stream-batch 133+3")
		g.send1(t, 8<<10+1) // gains nothing from company
		g.expect(t, "stream-batch 136+2, data 138")
	})
}

func TestABrokerWithALowLimitGetsSmallBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(c *pipe.Config) { c.Fragment = 100 })
		for range 7 {
			g.send1(t, 40)
		}
		g.expect(t, "data 1, stream-batch 2+2, stream-batch 4+2")
		g.send1(t, 150)
		g.expect(t, "stream-batch 6+2, data 8, data 9")
	})
}

func TestAMessageOfAnotherCodecKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(*pipe.Config) {})
		for _, codec := range []uint8{wire.CodecRaw, wire.CodecRaw, wire.CodecRaw, wire.CodecJSON} {
			if err := g.Send(t.Context(), codec, nil); err != nil {
				t.Fatal(err)
			}
		}
		g.expect(t, "data 1, stream-batch 2+2")
		g.letGo <- struct{}{}
		g.expect(t, "data 4")
	})
}

func TestTheEndOfSendingComesBehindWhatGathered(t *testing.T) {
	for want, end := range map[string]func(*gathering) error{
		"stream-batch 2+2, half 3": func(g *gathering) error { return g.Half(nil) },
		"stream-batch 2+2, end 3": func(g *gathering) error {
			go close(g.letGo) // it waits for the goroutine that sees to the rest
			g.letGo = make(chan struct{})
			return g.End(nil, nil)
		},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGathering(t, func(*pipe.Config) {})
				for range 3 {
					g.send1(t, 1)
				}
				g.expect(t, "data 1")
				if err := end(g); err != nil {
					t.Error(err)
				}
				g.expect(t, want)
			})
		})
	}
}

func TestNothingWaitsBehindASenderThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(*pipe.Config) {})
		g.Widen(wire.Credit{Seq: 64, Bytes: 1 << 20})
		for range 64 {
			g.send1(t, 1)
		}
		g.expect(t, "data 1")
		if err := g.Send(ended(), wire.CodecRaw, nil); !errors.Is(err, bus.Canceled) {
			t.Errorf("a message beyond the window: %v", err)
		}
		g.expect(t, "stream-batch 2+63")
	})
}

func TestAPingDoesNotCountWhatGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []uint64
		g := newGathering(t, func(c *pipe.Config) {
			send := c.Send
			c.Send = func(f *wire.Frame) error {
				if f.Type == wire.FramePing {
					p, err := wire.ParsePing(f.Payload)
					if err != nil {
						t.Error(err)
					}
					said = append(said, p.Sent)
				}
				return send(f)
			}
		})
		for range 3 {
			g.send1(t, 1)
		}
		g.Ask()
		g.letGo <- struct{}{}
		synctest.Wait()
		g.Ask()
		if !slices.Equal(said, []uint64{1, 3}) {
			t.Errorf("the pings count %d sent, want 1 and 3", said)
		}
	})
}

func TestABrokerThatIsAwayEndsAStreamThatGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(*pipe.Config) {})
		g.send1(t, 1)
		g.send1(t, 1)
		g.mu.Lock()
		g.fail = bus.Errorf(bus.Unavailable, "the broker is away")
		g.mu.Unlock()
		g.letGo <- struct{}{}
		g.expect(t, "data 1, data 2")
		if err := g.Send(t.Context(), wire.CodecRaw, nil); !errors.Is(err, bus.Unavailable) {
			t.Errorf("the next message: %v", err)
		}
		g.expect(t, "")
	})
}

func TestWhatGathersIsDroppedWhenTheStreamIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGathering(t, func(*pipe.Config) {})
		g.send1(t, 1)
		g.send1(t, 1)
		g.Cancel(bus.Errorf(bus.Canceled, "enough"))
		g.letGo <- struct{}{}
		g.expect(t, "data 1, cancel 0")
	})
}

func batchOf(seq uint64, messages ...string) *wire.Frame {
	f := &wire.Frame{Type: wire.FrameStreamBatch, Seq: seq, Codec: wire.CodecRaw}
	for _, m := range messages {
		f.Payload = wire.AppendStreamBatch(f.Payload, []byte(m))
	}
	return f
}

func TestABatchCountsAsItsMessages(t *testing.T) {
	p := newPipe(func(*pipe.Config) {})
	p.Deliver(batchOf(1, "a", "b"))
	p.Deliver(batchOf(2, "b", "c")) // of which one was seen
	p.Deliver(&wire.Frame{Type: wire.FrameEnd, Seq: 3})
	var got []string
	for {
		_, data, err := p.Recv(t.Context())
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(data))
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("%q came", got)
	}
}

func TestAMessageThatIsKeptKeepsNoOthers(t *testing.T) {
	p := newPipe(func(*pipe.Config) {})
	f := batchOf(1, "a", "b")
	p.Deliver(f)
	_, data, err := p.Recv(t.Context())
	clear(f.Payload)
	if err != nil || !bytes.Equal(data, []byte("a")) {
		t.Errorf("%q, %v after the others are gone", data, err)
	}
}

func TestABatchThatBreaksTheRulesEndsTheStream(t *testing.T) {
	for name, row := range map[string]struct {
		frames []*wire.Frame
		want   bus.Code
	}{
		"empty":         {[]*wire.Frame{batchOf(1)}, bus.InvalidArgument},
		"cut short":     {[]*wire.Frame{{Type: wire.FrameStreamBatch, Seq: 1, Payload: []byte{2, 'a'}}}, bus.InvalidArgument},
		"going on":      {[]*wire.Frame{{Type: wire.FrameStreamBatch, Seq: 1, More: true, Payload: []byte{1, 'a'}}}, bus.InvalidArgument},
		"a gap":         {[]*wire.Frame{batchOf(1, "a"), batchOf(3, "c", "d")}, bus.DataLoss},
		"after half":    {[]*wire.Frame{{Type: wire.FrameHalf}, batchOf(1, "a", "b")}, bus.InvalidArgument},
		"too many":      {[]*wire.Frame{batchOf(1, make([]string, 65)...)}, bus.InvalidArgument},
		"over the edge": {slices.Collect(func(yield func(*wire.Frame) bool) { flood(yield) }), bus.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipe(func(*pipe.Config) {})
			for _, f := range row.frames {
				p.Deliver(f)
			}
			if e := p.Failure(); e == nil || e.Code != row.want {
				t.Errorf("the stream ended with %v, want %s", e, row.want)
			}
		})
	}
}

// flood yields more frames than a window has.
func flood(yield func(*wire.Frame) bool) {
	for seq := uint64(1); seq < 2000 && yield(batchOf(seq, make([]string, 64)...)); seq += 64 {
	}
}
