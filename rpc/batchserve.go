package rpc

import (
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxBatchedAnswer is the longest answer that shares a message; to copy a
	// longer one costs more than that saves.
	maxBatchedAnswer = 4 << 10
	// answerHold is how long an answer may wait for the next of quick handlers
	// that run one after the other.
	answerHold = 100 * time.Microsecond
)

// A batch is the calls that came in one message, and their answers on the way
// out. An answer waits for others as long as handlers are quick: whoever is about
// to run the next call first sends what has waited, and before each call another
// goroutine is on its way that does so if the handler blocks. A call whose answer
// is not sent yet is still at work.
type batch struct {
	srv   *Server
	reply string
	began time.Time
	calls []*inbound // that have yet to begin, on goroutines of their own

	mu      sync.Mutex
	next    int           // of calls
	relief  bool          // a goroutine is on its way to take over
	left    int           // calls without an answer
	body    *buffer       // nil before the first answer of a message
	alone   int           // where it begins
	answers int           // gathered
	owed    int64         // calls among them, which are at work; others have been turned away
	since   time.Duration // from began until the first answer came
	ending  bool          // somebody sends once no more answers come
}

// batch is the most calls in a message that the server reads: of those that it
// may have at work, a quarter at most.
func (s *Server) batch() int {
	if n := min(wire.MaxBatch, s.cfg.Concurrency/4); n > 1 {
		return n
	}
	return 0
}

// isBatch reports whether a message is a batch.
func isBatch(m *nats.Msg) bool {
	return wire.TypeOf(m.Data) == wire.FrameBatch && len(m.Header[wire.HeaderContentType]) == 0
}

// receiveBatch takes a message of several calls. It runs where receive does.
func (e *endpoint) receiveBatch(m *nats.Msg) {
	s := e.srv
	since, stale := s.conn.Arrived(bus.Calls)
	var room [wire.MaxBatch]wire.Batched
	frames, err := wire.ParseBatch(room[:0], m.Data)
	if failure := e.refuseBatch(len(frames), err, stale); failure != nil {
		if err := s.conn.Publish(s.life, m.Reply, "", nil, failure.AppendFrame(nil, 0)); err != nil {
			s.log.Warn().Err(err).Str("method", e.method).Msg("a reply is lost")
		}
		return
	}
	now := s.conn.Now()
	b := &batch{srv: s, reply: m.Reply, began: now, left: len(frames)}
	if !e.opts.inline {
		b.calls = make([]*inbound, 0, len(frames))
	}
	for _, f := range frames {
		c := s.inbounds.get()
		c.ep, c.msg, c.data, c.batch, c.arrived, c.since, c.framed, c.seq = e, m, f.Frame, b, now, since, true, f.Seq
		if !e.begin(c, b) || !e.opts.inline {
			continue
		}
		c.serve()
		now = b.began.Add(b.hold())
	}
	b.mu.Lock()
	b.send()
	b.mu.Unlock()
	if len(b.calls) > 0 {
		s.workers.run(b)
	}
}

// refuseBatch is what is wrong with a batch as a whole.
func (e *endpoint) refuseBatch(calls int, err error, stale bool) *bus.Error {
	if err != nil {
		e.counter.done(0)
	}
	switch {
	case errors.Is(err, wire.ErrVersion):
		return e.failed(bus.Errorf(bus.Unimplemented, "the batch is of a frame version that is not known here, version %d is", wire.Version))
	case err != nil:
		return e.failed(bus.Errorf(bus.InvalidArgument, "the request is a broken batch: %w", err))
	case stale:
		e.counter.refused.Add(uint64(calls))
		return e.srv.stoodStill()
	}
	return nil
}

// begin admits a call of a batch and, unless its handler is inline, puts it
// among those that wait for a goroutine; false if it has been turned away.
func (e *endpoint) begin(c *inbound, b *batch) bool {
	if e.kind != "" {
		c.reply(nil, e.failed(c.notACall()))
		return false
	}
	if failure := e.srv.enter(e); failure != nil {
		e.counter.refused.Add(1)
		c.reply(nil, failure)
		return false
	}
	c.admitted = true
	if e.opts.inline {
		return true
	}
	c.counted = true
	e.srv.progress.add(c.seq, c)
	b.calls = append(b.calls, c)
	return true
}

// serve runs calls until none is left to begin. Before each of them another
// goroutine is on its way, so that a slow call holds up none; as long as calls
// are quick it finds nothing to do.
func (b *batch) serve() {
	defer b.end()
	for first := true; ; first = false {
		b.hold()
		c, more := b.take(first)
		if c == nil {
			return
		}
		if more {
			b.srv.workers.run(b)
		}
		c.serve()
	}
}

// take returns the call that is next, and whether somebody has to be sent for
// the rest, be it only of the answers. first says that it is the first of a
// goroutine that was.
func (b *batch) take(first bool) (c *inbound, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if first {
		b.relief = false
	}
	if b.next == len(b.calls) {
		return nil, false
	}
	c = b.calls[b.next]
	b.calls[b.next] = nil
	b.next++
	more = !b.relief && (b.next < len(b.calls) || b.answers > 0)
	b.relief = b.relief || more
	return c, more
}

// answer takes the answer of one call, which shares a message with others if it
// is short enough.
func (b *batch) answer(c *inbound, frame []byte) error {
	limit := b.srv.conn.BatchBytes()
	b.mu.Lock()
	b.left--
	if len(frame) > min(maxBatchedAnswer, limit/2) {
		b.mu.Unlock()
		return b.publish(frame)
	}
	defer b.mu.Unlock()
	if b.answers > 0 && len(b.body.b)+wire.BatchOverhead(1)+len(frame) > limit {
		b.send()
	}
	if b.answers == 0 {
		b.body, b.since = b.srv.buffers.get(), time.Since(b.began)
	}
	b.body.b = wire.AppendToBatch(b.body.b, frame)
	if b.answers++; b.answers == 1 {
		b.alone = len(b.body.b) - len(frame)
	}
	if c.admitted {
		c.owed = true
		b.owed++
	}
	return nil
}

// hold sends answers that have waited long enough, and returns the time since the
// batch came.
func (b *batch) hold() time.Duration {
	now := time.Since(b.began)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answers > 0 && now-b.since > answerHold {
		b.send()
	}
	return now
}

// end sends the rest, once those have had their turn that could still add to it.
func (b *batch) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ending {
		return
	}
	b.ending = true
	for n := 0; b.left > 0 && b.answers > n; {
		n = b.answers
		b.mu.Unlock()
		b.srv.conn.Yield()
		b.mu.Lock()
	}
	b.ending = false
	b.send()
}

// send publishes what is gathered. The lock is held.
func (b *batch) send() {
	if b.answers == 0 {
		return
	}
	body := b.body.b
	if b.answers == 1 {
		body = body[b.alone:]
	}
	if err := b.publish(body); err != nil {
		b.srv.log.Warn().Err(err).Int("answers", b.answers).Msg("replies are lost")
	}
	b.srv.depart(&b.srv.atWork, b.owed)
	b.srv.buffers.put(b.body)
	b.body, b.answers, b.owed = nil, 0, 0
}

func (b *batch) publish(data []byte) error {
	return b.srv.conn.Publish(b.srv.life, b.reply, "", nil, data)
}
