package pipe

import (
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// Deliver takes a frame of the peer. It does not block. A frame that breaks the
// protocol ends the stream, and the peer is told. The payload of a DATA frame
// belongs to the pipe from here on.
func (p *Pipe) Deliver(f *wire.Frame) {
	var failure *bus.Error
	switch f.Type {
	case wire.FrameData:
		failure = p.data(f)
	case wire.FrameStreamBatch:
		failure = p.batch(f)
	case wire.FrameCredit:
		c, err := wire.ParseCredit(f.Payload)
		if err != nil {
			failure = broken(f, err)
			break
		}
		_ = p.hear(func() *bus.Error { p.widen(c); return nil }) // which nothing can fail in
	case wire.FrameHalf:
		failure = p.hear(func() *bus.Error {
			if f.Seq != p.in.seq {
				return lost("%d came, %d were sent", p.in.seq, f.Seq)
			}
			p.in.half, p.ends.trailer = true, f.Meta
			wake(p.readable)
			return nil
		})
	case wire.FrameEnd:
		p.end(f)
	case wire.FrameCancel:
		p.Fail(cause(f))
	case wire.FramePing, wire.FramePong:
		failure = p.ping(f)
	default:
		failure = byPeer(bus.Errorf(bus.InvalidArgument, "a frame of type %s does not belong in a stream", f.Type))
	}
	if failure != nil {
		p.Cancel(failure)
	}
}

// hear notes a sign of life and does what the frame asks, under the lock.
func (p *Pipe) hear(do func() *bus.Error) *bus.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends.over {
		return nil
	}
	p.ends.heard, p.ends.pings = time.Now(), 0
	return do()
}

func (p *Pipe) data(f *wire.Frame) *bus.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends.heard, p.ends.pings = time.Now(), 0
	defer wake(p.readable)
	return p.arrive(f.Seq, part{codec: f.Codec, more: f.More, data: f.Payload})
}

// batch takes several messages, which wake the reader once.
func (p *Pipe) batch(f *wire.Frame) *bus.Error {
	if f.More {
		return byPeer(bus.Errorf(bus.InvalidArgument, "a frame of type %s with the flag more", f.Type))
	}
	n, err := wire.CheckStreamBatch(f.Payload)
	if err != nil {
		return broken(f, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends.heard, p.ends.pings = time.Now(), 0
	defer wake(p.readable)
	rest := f.Payload
	for i := range n {
		one := part{codec: f.Codec, shared: true}
		one.data, rest = wire.NextStreamBatch(rest)
		if failure := p.arrive(f.Seq+uint64(i), one); failure != nil {
			return failure
		}
	}
	return nil
}

// arrive takes one part in its turn. p.mu is held.
func (p *Pipe) arrive(seq uint64, one part) *bus.Error {
	i := &p.in
	switch {
	case p.ends.over, seq <= i.seq:
		return nil // over, or seen already
	case seq != i.seq+1:
		return lost("number %d came after %d", seq, i.seq)
	case i.half:
		return byPeer(bus.Errorf(bus.InvalidArgument, "a message after the peer said that there are no more"))
	case seq > i.edge.Seq, i.bytes >= i.edge.Bytes, len(one.data) > Fragment:
		return byPeer(bus.Errorf(bus.ResourceExhausted, "the peer sends more than it was allowed"))
	}
	p.accept(one)
	return nil
}

func (p *Pipe) end(f *wire.Frame) {
	var failure *bus.Error
	if len(f.Payload) > 0 {
		failure = cause(f)
	}
	p.mu.Lock()
	got := p.in.seq
	p.mu.Unlock()
	if got != f.Seq {
		p.Fail(lost("%d came, %d were sent", got, f.Seq))
		return
	}
	p.finish(failure, f.Meta, true, nil)
}

// ping answers a question, and learns from either what the peer has sent and may
// be sent.
func (p *Pipe) ping(f *wire.Frame) *bus.Error {
	got, err := wire.ParsePing(f.Payload)
	if err != nil {
		return broken(f, err)
	}
	failure := p.hear(func() *bus.Error {
		if got.Sent > p.in.seq {
			return lost("%d came, %d were sent", p.in.seq, got.Sent)
		}
		p.widen(got.Window)
		return nil
	})
	if failure == nil && f.Type == wire.FramePing {
		p.sayPing(wire.FramePong)
	}
	return failure
}

// Tick is to be called now and then, at least every Idle: it asks a peer that
// has been silent, and gives up one that does not answer.
func (p *Pipe) Tick(now time.Time) {
	p.mu.Lock()
	silent := !p.ends.over && now.Sub(p.ends.heard) >= Idle*time.Duration(p.ends.pings+1)
	if silent {
		p.ends.pings++
	}
	gone := p.ends.pings > maxPings
	p.mu.Unlock()
	switch {
	case !silent:
	case gone:
		failure := bus.Errorf(bus.Unavailable, "the other side of the stream has been silent for %v", now.Sub(p.heard()).Round(time.Second))
		failure.End = bus.Timeout
		p.Cancel(failure)
	default:
		p.sayPing(wire.FramePing)
	}
}

// Ask asks the peer at once whether everything has come, as after a reconnect.
func (p *Pipe) Ask() { p.sayPing(wire.FramePing) }

func (p *Pipe) heard() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends.heard
}

func (p *Pipe) sayPing(t wire.FrameType) {
	p.mu.Lock()
	if p.ends.over {
		p.mu.Unlock()
		return
	}
	f := wire.Frame{Type: t, Seq: p.in.seq, Payload: wire.AppendPing(nil, &wire.Ping{Window: p.in.edge, Sent: p.out.sent})}
	half := p.out.last
	p.mu.Unlock()
	p.say(&f)
	if half != nil {
		p.say(half) // it may be lost, and no number would show that
	}
}

// cause reads the error that a frame carries.
func cause(f *wire.Frame) *bus.Error {
	if len(f.Payload) == 0 {
		e := bus.Errorf(bus.Canceled, "the other side gave the stream up")
		e.End = bus.Cancelled
		return e
	}
	return bus.FrameError(f.Payload)
}

func broken(f *wire.Frame, err error) *bus.Error {
	return byPeer(bus.Errorf(bus.InvalidArgument, "a broken frame of type %s: %w", f.Type, err))
}
