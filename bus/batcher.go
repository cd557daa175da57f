package bus

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxBatchBytes bounds a message that calls, or answers, share: load is to
	// spread over instances, and nobody is to wait behind a long message.
	maxBatchBytes = 32 << 10
	// besideBatch is room for what else is in a message.
	besideBatch = 1 << 10
	// maxGathered bounds the calls that are sent together.
	maxGathered    = 8 * wire.MaxBatch
	maxSpareBodies = 4 // bodies of messages
	quietTurns     = 8
	// After barrenMost messages in a row that nobody has shared, the next
	// barrenRest calls go on their own.
	barrenMost = 64
	barrenRest = 1024
)

// BatchBytes is the most bytes of a message that frames share, less than the
// broker takes.
func (c *Conn) BatchBytes() int { return min(maxBatchBytes, c.MaxPayload()-besideBatch) }

// A Batcher lets calls to one subject that are due at the same moment travel in
// one message. A call waits for no answer and no timer: one that is alone goes on
// its own, and others for those callers alone that have got their answer and are
// about to run, since they may call again. All its methods may be called from any
// goroutine.
type Batcher struct {
	conn     *Conn
	subject  string
	inFlight atomic.Int64
	rest     atomic.Int64 // calls that still go on their own
	woken    atomic.Int64 // callers that have got their answer, ever
	resumed  atomic.Int64 // those of them that have run since
	due      atomic.Int64 // so many of them, and what is gathered is sent; 0: it has a sender

	mu       sync.Mutex
	gathered []*envelope // to be sent; calls join the last
	calls    int         // in them
	usual    int         // calls of a message, lately
	barren   int
	spare    [][]byte // for the bodies of the next
}

// NewBatcher returns a Batcher for the calls to a subject, whose listeners all
// read batches.
func (c *Conn) NewBatcher(subject string) *Batcher {
	s := &Batcher{conn: c, subject: subject}
	s.woken.Store(1) // so that due is never 0 where it counts
	s.resumed.Store(1)
	return s
}

// Idle reports whether no call of it waits at this moment.
func (s *Batcher) Idle() bool { return s.inFlight.Load() == 0 }

// Call is [Conn.Call] for a frame with a number of its own, Seq. At most most
// calls share a message. Subject and Header do not count.
func (s *Batcher) Call(ctx context.Context, most int, call Call) (Reply, error) {
	alone := s.inFlight.Add(1) == 1
	defer s.inFlight.Add(-1)
	if alone || s.rest.Load() > 0 && s.rest.Add(-1) >= 0 {
		call.Subject, call.Header = s.subject, nil
		return s.conn.Call(ctx, call)
	}
	start := call.Began
	if start.IsZero() {
		start = s.conn.Now()
	}
	if ctx.Err() != nil {
		return Reply{}, contextError(ctx, start)
	}
	own, err := s.conn.mux.seat(slot{subject: s.subject, seq: call.Seq, expiry: call.Expiry})
	if err != nil {
		return Reply{}, err
	}
	b, place := s.join(own, most, call.Data)
	call.Subject = s.subject
	r, came := result{}, false
	if !call.Expiry.ended() {
		r, came = call.wait(ctx, own)
	}
	if !came {
		b.leave(own, place)
		return Reply{}, contextError(ctx, start)
	}
	s.resume()
	s.conn.mux.recycle(own, false)
	reply, err := call.reply(ctx, start, r)
	reply.Shared = reply.Msg == nil
	return reply, err
}

// join puts a call into the message that is being gathered. All that are gathered
// are sent together, so that they share a write: by the last to run of the callers
// that were about to when the first was begun, or else by who has begun it.
func (s *Batcher) join(own *slot, most int, frame []byte) (b *envelope, place int) {
	limit := s.conn.BatchBytes()
	s.mu.Lock()
	begun := len(s.gathered) == 0
	if !begun {
		b = s.gathered[len(s.gathered)-1]
	}
	if begun || len(b.calls) >= most || len(b.body)+wire.BatchOverhead(1)+len(frame) > limit {
		b = &envelope{by: s, body: s.spareBody(), calls: make([]*slot, 0, s.usual)}
		s.gathered = append(s.gathered, b)
	}
	place = b.add(own, frame)
	s.calls++
	brimful := s.calls >= maxGathered
	if begun {
		s.due.Store(s.woken.Load())
		begun = s.due.Load() <= s.resumed.Load() && s.due.Swap(0) != 0
	}
	s.mu.Unlock()
	switch {
	case brimful:
		s.send()
	case begun:
		s.gather()
	}
	return b, place
}

// spareBody returns room for a message. The lock is held.
func (s *Batcher) spareBody() []byte {
	last := len(s.spare) - 1
	if last < 0 {
		return nil
	}
	body := s.spare[last]
	s.spare = s.spare[:last]
	return body[:0]
}

// resume counts a caller that has got its answer.
func (s *Batcher) resume() {
	resumed := s.resumed.Add(1)
	if due := s.due.Load(); due == 0 || resumed < due {
		return
	}
	s.mu.Lock()
	leads := len(s.gathered) > 0 && resumed >= s.due.Load() && s.due.Swap(0) != 0
	s.mu.Unlock()
	if leads {
		// It begins once this caller waits again, most likely for a call that has
		// joined. It ends when it has sent; the calls wait for that.
		go s.gather()
	}
}

// gather sends what is gathered once nobody comes any more.
func (s *Batcher) gather() {
	n := 0
	for quiet := 0; quiet < quietTurns; quiet++ {
		if s.grown(&n) {
			quiet = 0
		}
		s.conn.Yield()
	}
	s.send()
}

// grown reports whether calls have come since n was their number, which it
// updates.
func (s *Batcher) grown(n *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == *n {
		return false
	}
	*n = s.calls
	return true
}

// send publishes what is gathered.
func (s *Batcher) send() {
	s.mu.Lock()
	all := s.gathered
	s.gathered, s.calls = nil, 0
	s.due.Store(0)
	for _, b := range all {
		s.judge(len(b.calls))
		s.usual = len(b.calls)
		if b.left > 0 {
			b.slot, b.reply = s.conn.mux.carry(slot{subject: s.subject, f: b.deliver, shared: b})
		}
	}
	s.mu.Unlock()
	for _, b := range all {
		b.publish()
	}
}

// seat returns a slot for one call of a batch. It is in no table: the message's
// slot leads to it.
func (m *mux) seat(use slot) (*slot, error) {
	if m.open.Add(1) > m.max {
		m.open.Add(-1)
		e := Errorf(ResourceExhausted, "%d calls wait for a reply already, the most this connection allows", m.max)
		e.End, e.Retry = Refused, RetrySafe
		return nil, e
	}
	var s *slot
	select {
	case s = <-m.free:
	default:
		s = &slot{result: make(chan result, 1)}
	}
	use.result = s.result
	*s = use
	return s, nil
}

// carry puts the slot of a message of several calls, which count themselves, into
// the table.
func (m *mux) carry(use slot) (own *slot, reply string) {
	own = &use
	own.key = m.next.Add(1)
	shard := &m.shards[own.key%muxShards]
	shard.mu.Lock()
	shard.slots[own.key] = own
	shard.mu.Unlock()
	return own, m.replySubject(own.key)
}

// judge notices when nobody shares messages. The lock is held.
func (s *Batcher) judge(calls int) {
	if s.barren++; calls > 1 {
		s.barren = 0
	}
	if s.barren >= barrenMost {
		s.barren = 0
		s.rest.Store(barrenRest)
	}
}
