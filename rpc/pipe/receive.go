package pipe

import (
	"bytes"
	"context"
	"io"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// Recv returns the next message. After the last one of a peer that has stopped
// sending the error is io.EOF; after a failure it is the failure. A ctx that ends
// between two messages leaves the stream as it is, within one it ends it.
func (p *Pipe) Recv(ctx context.Context) (codec uint8, data []byte, err error) {
	return p.RecvSized(ctx, -1)
}

// RecvSized is Recv for a message whose size the peer has said, -1 if it has not:
// it spares most of the growing of a buffer. A longer message is data_loss.
func (p *Pipe) RecvSized(ctx context.Context, size int) (codec uint8, data []byte, err error) {
	codec, data, shared, err := p.recv(ctx, size)
	if shared {
		data = bytes.Clone(data) // 32 KiB may hang on a single byte
	}
	return codec, data, err
}

// Peek is Recv for who reads the message at once and keeps none of its bytes: it
// may share them with other messages.
func (p *Pipe) Peek(ctx context.Context) (codec uint8, data []byte, err error) {
	codec, data, _, err = p.recv(ctx, -1)
	return codec, data, err
}

func (p *Pipe) recv(ctx context.Context, size int) (codec uint8, data []byte, shared bool, err error) {
	held := 0
	if p.cfg.Hold != nil {
		defer func() { p.cfg.Hold(-held) }()
	}
	whole := false
	for !whole {
		one, err := p.next(ctx)
		if err != nil {
			if data != nil {
				err = p.torn(err)
			}
			return 0, nil, false, err
		}
		codec, whole = one.codec, !one.more
		need := len(data) + len(one.data)
		if failure := p.tooLong(need, size); failure != nil {
			p.Cancel(failure)
			return 0, nil, false, failure
		}
		if whole && data == nil {
			return codec, one.data, one.shared, nil
		}
		if p.cfg.Hold != nil {
			if !p.cfg.Hold(len(one.data)) {
				failure := bus.Errorf(bus.ResourceExhausted, "too many bytes of messages wait for the rest of them here")
				p.Cancel(failure)
				return 0, nil, false, failure
			}
			held += len(one.data)
		}
		if data == nil || need > cap(data) {
			data = append(make([]byte, 0, room(need, size)), data...)
		}
		data = append(data, one.data...)
	}
	return codec, data, false, nil
}

// RecvPart is Recv for who takes a message part by part: more says that it goes on
// with the next one, begun that parts of it were taken already. A peer that stops
// then ends the stream.
func (p *Pipe) RecvPart(ctx context.Context, begun bool) (codec uint8, data []byte, more bool, err error) {
	one, err := p.next(ctx)
	if err != nil {
		if begun {
			err = p.torn(err)
		}
		return 0, nil, false, err
	}
	return one.codec, one.data, one.more, nil
}

// tooLong says what is wrong with a message that has n bytes so far.
func (p *Pipe) tooLong(n, said int) *bus.Error {
	switch {
	case n > p.cfg.MaxMessage:
		return byPeer(bus.Errorf(bus.TooLarge, "a message of the stream is over the limit of %d bytes", p.cfg.MaxMessage))
	case said >= 0 && n > said:
		return byPeer(bus.Errorf(bus.DataLoss, "a message of %d bytes goes on behind them", said))
	}
	return nil
}

const (
	// What a peer says of a size is believed at once up to believed bytes, and
	// beyond that when as much as one part in believedPart has come.
	believed     = 1 << 20
	believedPart = 8
)

// room is how much to allocate for a message of which there will be need bytes.
func room(need, said int) int {
	if said >= need && (said <= believed || need >= said/believedPart) {
		return said
	}
	return 2 * need
}

// torn ends a stream of which one message has come in part.
func (p *Pipe) torn(err error) error {
	failure := bus.AsError(err)
	if err == io.EOF { //nolint:errorlint // it is never wrapped
		failure = lost("the peer stopped within one")
	}
	p.Cancel(failure)
	return failure
}

// next waits for the next part and takes it.
func (p *Pipe) next(ctx context.Context) (part, error) {
	for {
		over := ctx.Err() // read first: the end of the pipe may be what ended it
		one, credit, ok, err := p.take()
		if credit.Seq > 0 {
			p.sendCredit(credit)
		}
		if ok || err != nil {
			return one, err
		}
		if over != nil {
			return part{}, bus.AsError(over)
		}
		select {
		case <-p.readable:
		case <-p.done:
		case <-ctx.Done():
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
	p.say(&f)
}

// First takes the message that came with the opening of the stream.
func (p *Pipe) First(codec uint8, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accept(part{codec: codec, data: data})
	wake(p.readable)
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
}
