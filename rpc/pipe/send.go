package pipe

import (
	"context"
	"errors"
	"io"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// Send sends one message, in parts if it is large. It waits for the peer's
// credit until ctx ends; a message of which parts are sent by then is the last
// one, since the rest cannot follow: all that is left is to end the stream. After
// the end of the stream the error is why it ended, or io.EOF.
func (p *Pipe) Send(ctx context.Context, codec uint8, data []byte) error {
	if len(data) > p.cfg.MaxMessage {
		e := bus.Errorf(bus.TooLarge, "a message of %d bytes is over the limit of %d", len(data), p.cfg.MaxMessage)
		e.End = bus.Refused
		return e
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	for begun := false; ; begun = true {
		n, seq, next, err := p.reserve(ctx, codec, data, begun)
		switch {
		case err != nil && begun:
			p.stopSending()
			return err
		case err != nil || next == joined:
			return err
		case next == full:
			return p.flush()
		}
		f := wire.Frame{Type: wire.FrameData, Seq: seq, Codec: codec, More: n < len(data), Payload: data[:n]}
		if err := p.direct(&f); err != nil {
			return err
		}
		if next == leads {
			p.seeing.Go(p.see)
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// direct sends a frame that waits for no other, behind what is on its way.
func (p *Pipe) direct(f *wire.Frame) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	return p.publish(f, f.Seq)
}

// What becomes of a part that may be sent.
type step int

const (
	alone  step = iota // it goes out by itself
	leads              // it goes out by itself, and others may gather behind it
	joined             // it waits with others
	full               // it was the last that could wait with them
)

// reserve waits until the rest of a message, or a part of it, may be sent, and
// takes the credit for it.
func (p *Pipe) reserve(ctx context.Context, codec uint8, data []byte, begun bool) (n int, seq uint64, next step, err error) {
	for {
		over := ctx.Err() // read first: the end of the pipe may be what ended it
		p.mu.Lock()
		o := &p.out
		g := &o.wait
		credit := o.seq < o.edge.Seq && o.bytes < o.edge.Bytes
		small := g.ok && !begun && len(data) <= maxGathered
		switch {
		case p.ends.over:
			failure := p.ends.failure
			p.mu.Unlock()
			if failure != nil {
				return 0, 0, 0, failure
			}
			return 0, 0, 0, io.EOF
		case o.half:
			p.mu.Unlock()
			return 0, 0, 0, bus.Errorf(bus.Conflict, "a message after the end of sending")
		case g.count > 0 && (!credit || !small || !g.room(codec, len(data), p.most())):
			// Nothing waits behind a sender that waits, or out of its order.
			p.mu.Unlock()
			if err := p.flush(); err != nil {
				return 0, 0, 0, err
			}
			continue
		case credit:
			n = min(len(data), p.cfg.Fragment, int(max(min(o.edge.Bytes-o.bytes, Fragment), leastWindow)))
			o.seq++
			o.bytes += uint64(n)
			seq = o.seq
			if small && n == len(data) {
				if next = leads; g.busy {
					next = joined
					if p.add(codec, seq, data) {
						next = full
					}
				}
				g.busy = true
			}
			p.mu.Unlock()
			return n, seq, next, nil
		}
		p.mu.Unlock()
		if over != nil {
			return 0, 0, 0, bus.AsError(over)
		}
		select {
		case <-p.writable:
		case <-p.done:
		case <-ctx.Done():
		}
	}
}

// isOut notes that a frame is on its way, in front of whatever is sent from here
// on. A ping must not speak of a frame that it may overtake.
func (p *Pipe) isOut(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.sent = seq
}

// Opened counts the first message that went out with the opening of the stream,
// n bytes.
func (p *Pipe) Opened(n int, half bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.seq, p.out.sent, p.out.bytes, p.out.half = 1, 1, uint64(n), half
}

// Half says that this side sends no more. It does nothing the second time and
// after the end.
func (p *Pipe) Half(meta []wire.Pair) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	seq, ok := p.stopSending()
	if !ok {
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	f := &wire.Frame{Type: wire.FrameHalf, Seq: seq, Meta: meta}
	p.mu.Lock()
	p.out.last = f
	p.mu.Unlock()
	return p.send(f)
}

// End ends the stream for both sides, with an error or, for a nil failure, well.
// What was sent before still reaches the peer. The detail of an error that is
// too large to be sent is left out.
func (p *Pipe) End(failure *bus.Error, trailer []wire.Pair) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	defer p.seeing.Wait()
	if err := p.flush(); err != nil {
		return err
	}
	p.mu.Lock()
	over := p.ends.over
	p.out.half = true
	seq := p.out.seq
	p.mu.Unlock()
	if over {
		return nil
	}
	f := wire.Frame{Type: wire.FrameEnd, Seq: seq, Meta: trailer}
	if failure != nil {
		f.Payload = failure.AppendFrame(nil, 0)
	}
	err := p.cfg.Send(&f)
	if errors.Is(err, bus.TooLarge) && failure != nil && failure.Detail != nil {
		bare := *failure
		bare.Detail = nil
		f.Payload = bare.AppendFrame(nil, 0)
		err = p.cfg.Send(&f)
	}
	p.finish(failure, trailer, false, nil)
	return err
}

// Cancel gives the stream up: the peer is told, and whatever is on its way is
// dropped. Nothing happens after the end.
func (p *Pipe) Cancel(failure *bus.Error) {
	p.finish(failure, nil, false, &wire.Frame{Type: wire.FrameCancel, Payload: failure.AppendFrame(nil, 0)})
}

// stopSending notes that nothing more is sent; false if that was so already.
func (p *Pipe) stopSending() (seq uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out.half || p.ends.over {
		return 0, false
	}
	p.out.half = true
	return p.out.seq, true
}

// say sends a frame that the next ping makes up for, should the broker be away.
func (p *Pipe) say(f *wire.Frame) {
	if err := p.cfg.Send(f); err != nil && !errors.Is(err, bus.Broker) {
		p.Fail(bus.AsError(err))
	}
}

func (p *Pipe) send(f *wire.Frame) error {
	if err := p.cfg.Send(f); err != nil {
		failure := bus.AsError(err)
		p.Fail(failure)
		return failure
	}
	return nil
}
