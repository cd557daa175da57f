package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// newPipe returns a pipe whose peer may send, and which may send itself.
func newPipe(change func(*pipe.Config)) *pipe.Pipe {
	cfg := pipe.Config{Send: func(*wire.Frame) error { return nil }, Budget: new(pipe.Budget), MaxMessage: maxMessage}
	change(&cfg)
	p := pipe.New(cfg)
	p.Widen(wire.Credit{Seq: 64, Bytes: 1 << 20})
	p.Grant()
	return p
}

func TestAPongDoesNotOvertakeTheMessageItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pongs []wire.Ping
		hold := make(chan struct{})
		p := newPipe(func(c *pipe.Config) {
			c.Send = func(f *wire.Frame) error {
				switch f.Type {
				case wire.FrameData:
					<-hold // it is not with the broker yet
				case wire.FramePong:
					got, err := wire.ParsePing(f.Payload)
					if err != nil {
						t.Error(err)
					}
					pongs = append(pongs, got)
				}
				return nil
			}
		})
		sent := make(chan error)
		go func() { sent <- p.Send(t.Context(), wire.CodecRaw, []byte("x")) }()
		synctest.Wait()
		ping := wire.Frame{Type: wire.FramePing, Payload: wire.AppendPing(nil, &wire.Ping{})}
		p.Deliver(&ping)
		close(hold)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		p.Deliver(&ping)
		if len(pongs) != 2 || pongs[0].Sent != 0 || pongs[1].Sent != 1 {
			t.Errorf("the pongs say %v; want 0 sent before the message is out, and 1 after it", pongs)
		}
	})
}

func TestAMessageOverTheLimitIsRefusedInWhateverParts(t *testing.T) {
	for name, parts := range map[string][]int{"one": {1001}, "two": {1000, 1}} {
		t.Run(name, func(t *testing.T) {
			p := newPipe(func(c *pipe.Config) { c.MaxMessage = 1000 })
			for i, n := range parts {
				p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: uint64(i) + 1, More: i < len(parts)-1, Payload: make([]byte, n)})
			}
			if _, data, err := p.Recv(t.Context()); !errors.Is(err, bus.TooLarge) {
				t.Errorf("%d bytes, %v", len(data), err)
			}
		})
	}
}

func TestNothingIsAllocatedOnTheWordOfASize(t *testing.T) {
	const said = 64 << 20
	p := newPipe(func(c *pipe.Config) { c.MaxMessage = said })
	p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: 1, More: true, Payload: []byte("x")})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := p.RecvSized(ended(), said); err == nil {
		t.Fatal("a message came of which a part has not")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2<<20 {
		t.Errorf("%d bytes were allocated for a message of which one has come", took)
	}
}

func TestAMessageIsNotLongerThanItWasSaidToBe(t *testing.T) {
	p := newPipe(func(*pipe.Config) {})
	p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: 1, More: true, Payload: make([]byte, 10)})
	p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: 2, More: true, Payload: make([]byte, 1)})
	if _, _, err := p.RecvSized(ended(), 10); !errors.Is(err, bus.DataLoss) {
		t.Errorf("11 of 10 bytes: %v", err)
	}
}

func TestTheLastWordComesBeforeTheStreamIsForgotten(t *testing.T) {
	for name, end := range map[string]func(*pipe.Pipe){
		"cancel": func(p *pipe.Pipe) { p.Cancel(bus.Errorf(bus.TooLarge, "no")) },
		"end":    func(p *pipe.Pipe) { _ = p.End(bus.Errorf(bus.TooLarge, "no"), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var order []string
			p := newPipe(func(c *pipe.Config) {
				c.Send = func(f *wire.Frame) error { order = append(order, f.Type.String()); return nil }
				c.Ended = func() { order = append(order, "forgotten") }
			})
			end(p)
			if len(order) != 2 || order[0] != name || order[1] != "forgotten" {
				t.Errorf("the order is %q", order)
			}
		})
	}
}

func TestAnEndThatIsTooLargeLosesItsDetail(t *testing.T) {
	var last *bus.Error
	p := newPipe(func(c *pipe.Config) {
		c.Send = func(f *wire.Frame) error {
			if len(f.Payload) > 1000 {
				return bus.Errorf(bus.TooLarge, "over the broker's limit")
			}
			last = bus.FrameError(f.Payload)
			return nil
		}
	})
	failure := bus.Errorf(bus.Conflict, "not like that")
	failure.Detail = bytes.Repeat([]byte("1"), 2000)
	if err := p.End(failure, nil); err != nil {
		t.Errorf("the end could not be said: %v", err)
	}
	if !errors.Is(last, bus.Conflict) {
		t.Errorf("the caller got %v", last)
	}
}

func TestAReaderOutlivesABrokerThatIsAway(t *testing.T) {
	away := false
	p := newPipe(func(c *pipe.Config) {
		c.Send = func(*wire.Frame) error {
			if !away {
				return nil
			}
			e := bus.Errorf(bus.Unavailable, "the broker is away")
			e.End = bus.Broker
			return e
		}
	})
	for i := range 64 {
		p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: uint64(i) + 1})
	}
	away = true
	p.Ask()
	for i := range 64 {
		if _, _, err := p.Recv(t.Context()); err != nil {
			t.Fatalf("message %d of 64, all of which had come: %v", i, err)
		}
	}
	if _, _, err := p.Recv(ended()); errors.Is(err, io.EOF) || !errors.Is(err, bus.Canceled) {
		t.Errorf("the stream has ended with %v", err)
	}
}

// The connection of a server holds 131,072 frames of streams, and NATS drops what
// is more.
func TestTheWindowsOfTenThousandStreamsFitAConnection(t *testing.T) {
	var budget pipe.Budget
	var frames uint64
	for range 10000 {
		p := pipe.New(pipe.Config{Send: func(*wire.Frame) error { return nil }, Budget: &budget, MaxMessage: maxMessage})
		frames += p.Grant().Seq
	}
	if frames > 131072 {
		t.Errorf("%d frames may come at once", frames)
	}
}

func TestPartsThatWaitForTheRestAreCounted(t *testing.T) {
	const limit = 100
	held := 0
	hold := func(n int) bool {
		if held+n > limit {
			return false
		}
		held += n
		return true
	}
	var budget pipe.Budget
	p := newPipe(func(c *pipe.Config) { c.Hold, c.Budget = hold, &budget })
	for i, more := range []bool{true, false, false} {
		p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: uint64(i) + 1, More: more, Payload: make([]byte, limit/2)})
	}
	for range 2 {
		if _, _, err := p.Recv(t.Context()); err != nil || held != 0 {
			t.Fatalf("%v, %d bytes are held", err, held)
		}
	}
	for i := range 3 {
		p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: uint64(i) + 4, More: true, Payload: make([]byte, limit/2)})
	}
	if _, _, err := p.Recv(t.Context()); !errors.Is(err, bus.ResourceExhausted) || held != 0 || budget.Open() != 0 {
		t.Errorf("%v, %d bytes are held, %d pipes are open", err, held, budget.Open())
	}
}

func TestAPeerThatFloodsIsCutOff(t *testing.T) {
	var said []wire.FrameType
	p := newPipe(func(c *pipe.Config) {
		c.Send = func(f *wire.Frame) error { said = append(said, f.Type); return nil }
	})
	for i := range 1000000 {
		p.Deliver(&wire.Frame{Type: wire.FrameData, Seq: uint64(i) + 1})
	}
	if _, _, err := p.Recv(t.Context()); !errors.Is(err, bus.ResourceExhausted) {
		t.Errorf("the end is %v", err)
	}
	if len(said) != 1 || said[0] != wire.FrameCancel {
		t.Errorf("the peer was told %v, want one cancel", said)
	}
}

// A lateContext does something when it is looked at.
type lateContext struct {
	context.Context
	look func()
}

func (c lateContext) Done() <-chan struct{} { c.look(); return c.Context.Done() }
func (c lateContext) Err() error            { c.look(); return c.Context.Err() }

// The context of a stream ends with the stream, which must not hide why.
func TestTheEndOfTheContextDoesNotHideTheEndOfTheStream(t *testing.T) {
	for name, wait := range map[string]func(context.Context, *pipe.Pipe) error{
		"receiving": func(ctx context.Context, p *pipe.Pipe) error { _, _, err := p.Recv(ctx); return err },
		"sending":   func(ctx context.Context, p *pipe.Pipe) error { return p.Send(ctx, wire.CodecRaw, []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			end := wire.Frame{Type: wire.FrameEnd, Payload: bus.Errorf(bus.Conflict, "no").AppendFrame(nil, 0)}
			for looks := range 4 {
				for range 50 {
					ctx, cancel := context.WithCancel(t.Context())
					cfg := pipe.Config{Send: func(*wire.Frame) error { return nil }, Budget: new(pipe.Budget), MaxMessage: maxMessage, Ended: cancel}
					p := pipe.New(cfg) // without credit
					n := 0
					late := lateContext{ctx, func() {
						if n++; n > looks {
							p.Deliver(&end)
						}
					}}
					time.AfterFunc(time.Millisecond, func() { p.Deliver(&end) })
					if err := wait(late, p); !errors.Is(err, bus.Conflict) {
						t.Fatalf("got %v, want a conflict", err)
					}
				}
			}
		})
	}
}
