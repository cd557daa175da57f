package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

const maxMessage = 1 << 20

// A link carries the frames of one direction, as bytes, in order.
type link struct {
	mu     sync.Mutex
	frames [][]byte
}

func (l *link) send(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = append(l.frames, wire.AppendFrame(nil, f))
	return nil
}

func (l *link) next() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.frames) == 0 {
		return nil
	}
	b := l.frames[0]
	l.frames = l.frames[1:]
	return b
}

func deliver(t interface{ Fatal(...any) }, to *pipe.Pipe, b []byte) {
	f, err := wire.ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	to.Deliver(&f)
}

// A pair is two pipes and the links between them.
type pair struct {
	a, b   *pipe.Pipe
	ab, ba link
	budget pipe.Budget
}

func newPair() *pair {
	p := new(pair)
	p.a = pipe.New(pipe.Config{Send: p.ab.send, Budget: &p.budget, MaxMessage: maxMessage})
	p.b = pipe.New(pipe.Config{Send: p.ba.send, Budget: &p.budget, MaxMessage: maxMessage})
	p.a.Widen(p.b.Grant())
	p.b.Widen(p.a.Grant())
	return p
}

// settle delivers until nothing is on its way.
func (p *pair) settle(t interface{ Fatal(...any) }) {
	for {
		ab, ba := p.ab.next(), p.ba.next()
		if ab != nil {
			deliver(t, p.b, ab)
		}
		if ba != nil {
			deliver(t, p.a, ba)
		}
		if ab == nil && ba == nil {
			return
		}
	}
}

// run delivers in the background until the test ends.
func (p *pair) run(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				p.settle(t)
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait() })
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A stream neither loses nor doubles nor reorders a message, whatever the link
// does; where the link loses nothing, every message arrives.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { model(t, newPair(), func() {}) })
}

// noDeadline hides the deadline of a test, which has none in a bubble.
type noDeadline struct{ testing.TB }

// The same where messages gather, and leave when it pleases the link.
func TestModelOfMessagesThatGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(noDeadline{t}, func(t *rapid.T) {
			p := new(pair)
			letGo, stop := make(chan struct{}), make(chan struct{})
			defer close(stop)
			p.a = pipe.New(pipe.Config{Send: p.ab.send, Budget: &p.budget, MaxMessage: maxMessage, Settle: func() {
				select {
				case <-letGo:
				case <-stop:
				}
			}})
			p.b = pipe.New(pipe.Config{Send: p.ba.send, Budget: &p.budget, MaxMessage: maxMessage})
			p.a.Gather()
			p.a.Widen(p.b.Grant())
			p.b.Widen(p.a.Grant())
			model(t, p, func() {
				select {
				case letGo <- struct{}{}:
				default:
				}
				synctest.Wait()
			})
		})
	})
}

// model checks p; settled lets messages go that have gathered.
func model(t *rapid.T, p *pair, settled func()) {
	now := ended()
	var sent, got, lost int
	var over error
	recv := func(t *rapid.T) {
		_, data, err := p.b.Recv(now)
		switch {
		case errors.Is(err, bus.Canceled):
		case err != nil:
			over = err
		default:
			got++
			if n, _, _ := bytes.Cut(data, []byte(" ")); string(n) != fmt.Sprint(got) {
				t.Fatalf("message %q came as number %d", n, got)
			}
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"": func(t *rapid.T) {
			if got > sent {
				t.Fatalf("%d of %d messages came", got, sent)
			}
		},
		"send": func(t *rapid.T) {
			size := rapid.SampledFrom([]int{0, 10, 5000, pipe.Fragment - 10}).Draw(t, "size")
			body := append(fmt.Appendf(nil, "%d ", sent+1), make([]byte, size)...)
			err := p.a.Send(now, wire.CodecRaw, body)
			if err == nil {
				sent++
			} else if !errors.Is(err, bus.Canceled) && lost == 0 {
				t.Fatalf("send: %v", err)
			}
		},
		"recv": recv,
		"deliver": func(t *rapid.T) {
			if b := p.ab.next(); b != nil {
				deliver(t, p.b, b)
			}
		},
		"answer": func(t *rapid.T) {
			if b := p.ba.next(); b != nil {
				deliver(t, p.a, b)
			}
		},
		"double": func(t *rapid.T) {
			if b := p.ab.next(); b != nil {
				deliver(t, p.b, b)
				deliver(t, p.b, b)
			}
		},
		"lose": func(t *rapid.T) {
			switch b := p.ab.next(); wire.TypeOf(b) {
			case wire.FrameData, wire.FrameStreamBatch:
				lost++
			}
		},
		"forget a credit": func(t *rapid.T) {
			if b := p.ba.next(); b != nil && wire.TypeOf(b) != wire.FrameCredit {
				deliver(t, p.a, b)
			}
		},
		"ask":    func(*rapid.T) { p.a.Ask(); p.b.Ask() },
		"settle": func(*rapid.T) { settled() },
	})
	// The link is sound from here on: a last question repairs lost credit.
	p.b.Ask()
	p.settle(t)
	for range 2 * sent {
		recv(t)
		settled()
		p.settle(t)
	}
	if err := p.a.Half(nil); err != nil && lost == 0 {
		t.Fatal(err)
	}
	p.settle(t)
	for range sent - got + 1 {
		recv(t)
	}
	switch {
	case lost == 0 && (got != sent || !errors.Is(over, io.EOF)):
		t.Fatalf("%d of %d messages came and the end was %v, though nothing was lost", got, sent, over)
	case lost > 0 && !errors.Is(over, bus.DataLoss):
		t.Fatalf("%d frames were lost, and the stream ended with %v", lost, over)
	}
}

func TestASenderWaitsForItsReader(t *testing.T) {
	p := newPair()
	n := 0
	for p.a.Send(ended(), wire.CodecRaw, []byte("x")) == nil {
		n++
		p.settle(t)
	}
	if n != 1024 {
		t.Errorf("%d messages went out to a reader that reads none, the window is 1024", n)
	}
	for range 512 {
		if _, _, err := p.b.Recv(ended()); err != nil {
			t.Fatal(err)
		}
	}
	p.settle(t)
	for p.a.Send(ended(), wire.CodecRaw, []byte("x")) == nil {
		n++
		p.settle(t)
	}
	if n != 1536 {
		t.Errorf("%d messages in all after 512 were taken, want 1536", n)
	}
}

func TestBytesAreBoundedToo(t *testing.T) {
	p := newPair()
	body := make([]byte, pipe.Fragment)
	n := 0
	for p.a.Send(ended(), wire.CodecRaw, body) == nil {
		n += len(body)
		p.settle(t)
	}
	if n != 1<<20 {
		t.Errorf("%d bytes went out to a reader that reads none, the window is 1 MiB", n)
	}
}

func TestTheWindowOfAConnectionIsShared(t *testing.T) {
	var budget pipe.Budget
	var total uint64
	for range 100 {
		p := pipe.New(pipe.Config{Send: func(*wire.Frame) error { return nil }, Budget: &budget, MaxMessage: maxMessage})
		if budget.Open() > 4 {
			total += p.Grant().Bytes
		}
	}
	p := pipe.New(pipe.Config{Send: func(*wire.Frame) error { return nil }, Budget: &budget, MaxMessage: maxMessage})
	if got := p.Grant().Bytes; got != 4<<20/101 {
		t.Errorf("the 101st stream gets %d bytes, want its share of 4 MiB", got)
	}
	p.Fail(bus.Errorf(bus.Canceled, "done"))
	if budget.Open() != 100 {
		t.Errorf("%d are open, want 100", budget.Open())
	}
}

func TestAMessageLargerThanTheWindowPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair()
		p.run(t)
		want := bytes.Repeat([]byte("0123456789abcdef"), maxMessage/16)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 3 {
				if err := p.a.Send(t.Context(), wire.CodecRaw, want); err != nil {
					t.Error(err)
				}
			}
			if err := p.a.Half(nil); err != nil {
				t.Error(err)
			}
		})
		for range 3 {
			if _, got, err := p.b.Recv(t.Context()); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes came, %v", len(got), err)
			}
		}
		if _, _, err := p.b.Recv(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
		wg.Wait()
		var e *bus.Error
		if err := p.a.Send(t.Context(), wire.CodecRaw, append(want, 'x')); !errors.As(err, &e) || e.Code != bus.TooLarge {
			t.Errorf("a message over the limit: %v", err)
		}
	})
}

func TestWhatWasSentBeforeTheEndArrives(t *testing.T) {
	p := newPair()
	for range 3 {
		if err := p.a.Send(t.Context(), wire.CodecJSON, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	failure := bus.Errorf(bus.NotFound, "no more")
	if err := p.a.End(failure, []wire.Pair{{Key: "Rows", Value: "3"}}); err != nil {
		t.Fatal(err)
	}
	p.settle(t)
	for range 3 {
		if _, _, err := p.b.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.b.Recv(t.Context()); !errors.Is(err, bus.NotFound) {
		t.Errorf("the end is %v", err)
	}
	if m := p.b.Trailer(); len(m) != 1 || m[0].Value != "3" {
		t.Errorf("the trailer is %v", m)
	}
	if err := p.b.Send(t.Context(), wire.CodecJSON, nil); !errors.Is(err, bus.NotFound) {
		t.Errorf("sending after the end: %v", err)
	}
}

func TestASilentPeerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair()
		began := time.Now()
		for p.a.Failure() == nil && time.Since(began) < time.Minute {
			time.Sleep(time.Second)
			p.a.Tick(time.Now())
		}
		if e := p.a.Failure(); !errors.Is(e, bus.Unavailable) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %v, want unavailable after 20 s", e, time.Since(began))
		}
		q := newPair()
		q.run(t)
		for range 100 {
			time.Sleep(time.Second)
			q.a.Tick(time.Now())
		}
		if e := q.a.Failure(); e != nil {
			t.Errorf("a peer that answers was given up: %v", e)
		}
	})
}

func TestPeersThatBreakTheProtocolEndTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		f    wire.Frame
		want bus.Code
	}{
		"a gap":               {wire.Frame{Type: wire.FrameData, Seq: 3}, bus.DataLoss},
		"a part too large":    {wire.Frame{Type: wire.FrameData, Seq: 1, Payload: make([]byte, pipe.Fragment+1)}, bus.ResourceExhausted},
		"an early half":       {wire.Frame{Type: wire.FrameHalf, Seq: 1}, bus.DataLoss},
		"an early end":        {wire.Frame{Type: wire.FrameEnd, Seq: 1}, bus.DataLoss},
		"a ping from ahead":   {wire.Frame{Type: wire.FramePing, Payload: wire.AppendPing(nil, &wire.Ping{Sent: 1})}, bus.DataLoss},
		"a call":              {wire.Frame{Type: wire.FrameCall}, bus.InvalidArgument},
		"a broken credit":     {wire.Frame{Type: wire.FrameCredit}, bus.InvalidArgument},
		"a broken ping":       {wire.Frame{Type: wire.FramePing, Payload: []byte{1}}, bus.InvalidArgument},
		"a cancel":            {wire.Frame{Type: wire.FrameCancel}, bus.Canceled},
		"an end with garbage": {wire.Frame{Type: wire.FrameEnd, Payload: []byte("?")}, bus.DataLoss},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair()
			deliver(t, p.a, wire.AppendFrame(nil, &c.f))
			if e := p.a.Failure(); !errors.Is(e, c.want) {
				t.Errorf("the stream ended with %v, want %v", e, c.want)
			}
			if _, _, err := p.a.Recv(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("receiving: %v, want %v", err, c.want)
			}
		})
	}
}
