package rpc

import (
	"bytes"
	"context"
	"strconv"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxBatchedCall is the longest frame that shares a message; to copy a longer
	// one costs more than that saves.
	maxBatchedCall = 4 << 10
	// maxBatchers bounds the subjects of one service for which calls are gathered.
	// Where all of them are in use, calls to others go on their own.
	maxBatchers = 256
)

// batchOf reads from the metadata of a PING answer how many calls in one message
// the instance reads.
func batchOf(metadata map[string]string) int64 {
	n, err := strconv.ParseInt(metadata["mbus.batch"], 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// batches reports whether a frame of this size may share a message.
func (p *peer) batches(size int) bool { return size <= maxBatchedCall && p.batch.Load() > 1 }

// batcher returns what gathers the calls to a subject, nil if there is no room
// for it.
func (p *peer) batcher(subject string) *bus.Batcher {
	if known := (*p.batchers.Load())[subject]; known != nil {
		return known
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *p.batchers.Load()
	if known := old[subject]; known != nil {
		return known
	}
	table := make(map[string]*bus.Batcher, len(old)+1)
	for k, v := range old {
		if len(old) < maxBatchers || !v.Idle() {
			table[k] = v
		}
	}
	if !p.kept || len(table) >= maxBatchers {
		return nil
	}
	one := p.conn.NewBatcher(subject)
	table[subject] = one
	p.batchers.Store(&table)
	return one
}

// sendBatched sends the frame in buf, which it puts back, in a message that it
// may share with others.
func (c *Client) sendBatched(ctx context.Context, p *peer, subject string, req *Request, buf *buffer, seq uint64) (*Response, *bus.Error) {
	call := within(ctx, bus.Call{Subject: subject, Data: buf.b, Seq: seq, Began: req.start()})
	var reply bus.Reply
	var err error
	if b := p.batcher(subject); b != nil {
		reply, err = b.Call(ctx, int(p.batch.Load()), call)
	} else {
		reply, err = c.conn.Call(ctx, call)
	}
	if err == nil && reply.Whole && refusesBatches(reply) {
		// An instance came up that does not read batches; nothing has run.
		p.batch.Store(0)
		reply, err = c.conn.Call(ctx, call)
	}
	c.buffers.put(buf)
	if err != nil {
		return nil, c.unanswered(err, req, seq)
	}
	res, failure := c.readReply(ctx, p, req, seq, &reply)
	if failure == nil && reply.Shared {
		res.Body = bytes.Clone(res.Body) // whoever keeps it keeps no other's
	}
	return res, failure
}

// refusesBatches reports whether a word about all calls of a message says that
// none of them was read.
func refusesBatches(reply bus.Reply) bool {
	if wire.TypeOf(reply.Msg.Data) != wire.FrameError {
		return false
	}
	switch bus.FrameError(reply.Msg.Data).Code {
	case bus.InvalidArgument, bus.Unimplemented:
		return true
	}
	return false
}
