package pipe

import (
	"context"
	"io"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// Recv returns the next message. After the last one of a peer that has stopped
// sending the error is io.EOF; after a failure it is the failure. A ctx that ends
// between two messages leaves the stream as it is, within one it ends it.
func (p *Pipe) Recv(ctx context.Context) (codec uint8, data []byte, err error) {
	return p.RecvSized(ctx, 0)
}

// RecvSized is Recv for a message whose size the peer has said: it spares the
// growing of a buffer, and bounds nothing.
func (p *Pipe) RecvSized(ctx context.Context, size int) (codec uint8, data []byte, err error) {
	whole := false
	for !whole {
		one, err := p.next(ctx)
		if err != nil {
			if data != nil {
				err = p.torn(err)
			}
			return 0, nil, err
		}
		codec, whole = one.codec, !one.more
		if whole && data == nil {
			return codec, one.data, nil
		}
		if len(data)+len(one.data) > p.cfg.MaxMessage {
			failure := bus.Errorf(bus.TooLarge, "a message of the stream is over the limit of %d bytes", p.cfg.MaxMessage)
			p.Cancel(failure)
			return 0, nil, failure
		}
		if data == nil {
			data = make([]byte, 0, max(min(size, p.cfg.MaxMessage), 2*len(one.data)))
		}
		data = append(data, one.data...)
	}
	return codec, data, nil
}

// torn ends a stream of which one message has come in part.
func (p *Pipe) torn(err error) error {
	failure := bus.AsError(err)
	if err == io.EOF {
		failure = lost("the peer stopped within one")
	}
	p.Cancel(failure)
	return failure
}

// next waits for the next part and takes it.
func (p *Pipe) next(ctx context.Context) (part, error) {
	for {
		one, credit, ok, err := p.take()
		if credit.Seq > 0 {
			p.sendCredit(credit)
		}
		if ok || err != nil {
			return one, err
		}
		select {
		case <-p.readable:
		case <-p.done:
		case <-ctx.Done():
			if p.givenUp(ctx) {
				return part{}, bus.AsError(ctx.Err())
			}
		}
	}
}

// take takes the next part, and tells the credit to give for it, if it is time.
func (p *Pipe) take() (one part, credit wire.Credit, ok bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := &p.in
	if i.head == len(i.queue) {
		switch {
		case p.ends.failure != nil:
			err = p.ends.failure
		case i.half:
			err = io.EOF
		}
		return part{}, wire.Credit{}, false, err
	}
	one = i.queue[i.head]
	i.queue[i.head] = part{}
	if i.head++; i.head == len(i.queue) {
		i.queue, i.head = i.queue[:0], 0
	}
	i.taken.Seq++
	i.taken.Bytes += uint64(len(one.data))
	share := p.cfg.Budget.share()
	if !i.half && (i.edge.Seq-i.taken.Seq <= share.Seq/2 || i.edge.Bytes <= i.taken.Bytes+share.Bytes/2) {
		before := i.edge
		if p.grant(); i.edge != before {
			credit = i.edge
		}
	}
	return one, credit, true, nil
}

func (p *Pipe) sendCredit(c wire.Credit) {
	p.mu.Lock()
	seq, over := p.in.seq, p.ends.over
	p.mu.Unlock()
	if over {
		return
	}
	f := wire.Frame{Type: wire.FrameCredit, Seq: seq, Payload: wire.AppendCredit(nil, c)}
	_ = p.send(&f) // the failure ends the pipe
}

// First takes the message that came with the opening of the stream.
func (p *Pipe) First(codec uint8, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accept(part{codec: codec, data: data})
}

// PeerHalf notes that the peer sends nothing after the opening.
func (p *Pipe) PeerHalf() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in.half = true
	wake(p.readable)
}

// accept queues a part. p.mu is held.
func (p *Pipe) accept(one part) {
	i := &p.in
	i.seq++
	i.bytes += uint64(len(one.data))
	if i.head > 0 && len(i.queue) == cap(i.queue) {
		i.queue = i.queue[:copy(i.queue, i.queue[i.head:])]
		i.head = 0
	}
	i.queue = append(i.queue, one)
	wake(p.readable)
}
