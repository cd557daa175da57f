package pipe

import (
	"encoding/binary"
	"runtime"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// maxGathered is the largest message that waits for others: a larger one gains
// nothing from their company.
const maxGathered = 8 << 10

// gathered are the messages that wait to go out in one frame.
type gathered struct {
	ok    bool // the peer reads such frames
	busy  bool // a goroutine sees to what waits
	codec uint8
	first uint64 // seq of the first
	count int
	data  []byte // payload of the frame
}

// Gather says that the peer reads several messages in one frame. From here on
// small messages that follow one another faster than they leave go together: up
// to 64 of them and 32 KiB. A message that is alone is not held up.
func (p *Pipe) Gather() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.wait.ok = true
}

// room reports whether a message of n bytes may join those that wait.
func (g *gathered) room(codec uint8, n, most int) bool {
	return g.count == 0 || g.codec == codec && g.count < wire.MaxStreamBatch && len(g.data)+n+binary.MaxVarintLen16 <= most
}

// add puts a message behind those that wait, and reports whether no other one
// may.
func (p *Pipe) add(codec uint8, seq uint64, data []byte) (full bool) {
	g := &p.out.wait
	if g.count == 0 {
		g.codec, g.first, g.data = codec, seq, p.cfg.Budget.buffer()
	}
	g.data = wire.AppendStreamBatch(g.data, data)
	g.count++
	return g.count == wire.MaxStreamBatch
}

// most is how many bytes may go in one frame.
func (p *Pipe) most() int { return min(wire.MaxStreamBatchBytes, p.cfg.Fragment) }

// flush sends what waits. Whoever calls it next to the sender sends it in its
// turn.
func (p *Pipe) flush() error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	p.mu.Lock()
	g := &p.out.wait
	if g.count == 0 || p.ends.over {
		p.mu.Unlock()
		return nil
	}
	last, data := g.first+uint64(g.count)-1, g.data
	f := wire.Frame{Type: wire.FrameStreamBatch, Seq: g.first, Codec: g.codec, Payload: data}
	if g.count == 1 { // which everyone reads
		f.Type = wire.FrameData
		f.Payload, _ = wire.NextStreamBatch(data)
	}
	g.count, g.data = 0, nil
	p.mu.Unlock()
	err := p.publish(&f, last)
	p.cfg.Budget.keep(data)
	return err
}

// publish hands one frame to the peer; p.publishing is held.
func (p *Pipe) publish(f *wire.Frame, last uint64) error {
	if err := p.cfg.Send(f); err != nil {
		failure := bus.AsError(err)
		p.Fail(failure)
		return failure
	}
	p.isOut(last)
	return nil
}

// see sends what has gathered while the message before it was on its way, until
// that is nothing.
func (p *Pipe) see() {
	for {
		if p.cfg.Settle != nil {
			p.cfg.Settle()
		} else {
			runtime.Gosched()
		}
		p.mu.Lock()
		idle := p.out.wait.count == 0 || p.ends.over
		if idle {
			p.out.wait.busy = false
		}
		p.mu.Unlock()
		if idle || p.flush() != nil {
			return
		}
	}
}
