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
		n, seq, err := p.reserve(ctx, len(data))
		if err != nil {
			if begun {
				p.stopSending()
			}
			return err
		}
		f := wire.Frame{Type: wire.FrameData, Seq: seq, Codec: codec, More: n < len(data), Payload: data[:n]}
		if err := p.cfg.Send(&f); err != nil {
			failure := bus.AsError(err)
			p.Fail(failure)
			return failure
		}
		p.isOut(seq)
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// reserve waits until a part of n bytes or fewer may be sent, and takes the
// credit for it.
func (p *Pipe) reserve(ctx context.Context, n int) (int, uint64, error) {
	for {
		over := ctx.Err() // read first: the end of the pipe may be what ended it
		p.mu.Lock()
		o := &p.out
		switch {
		case p.ends.over:
			failure := p.ends.failure
			p.mu.Unlock()
			if failure != nil {
				return 0, 0, failure
			}
			return 0, 0, io.EOF
		case o.half:
			p.mu.Unlock()
			return 0, 0, bus.Errorf(bus.Conflict, "a message after the end of sending")
		case o.seq < o.edge.Seq && o.bytes < o.edge.Bytes:
			n = min(n, p.cfg.Fragment, int(max(min(o.edge.Bytes-o.bytes, Fragment), leastWindow)))
			o.seq++
			o.bytes += uint64(n)
			seq := o.seq
			p.mu.Unlock()
			return n, seq, nil
		}
		p.mu.Unlock()
		if over != nil {
			return 0, 0, bus.AsError(over)
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
