package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

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
	made     time.Time
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
	s := &Batcher{conn: c, subject: subject, made: time.Now()}
	s.woken.Store(1) // so that due is never 0 where it counts
	s.resumed.Store(1)
	return s
}

// Idle reports whether no call of it waits at this moment.
func (s *Batcher) Idle() bool { return s.inFlight.Load() == 0 }

// A Reply is the answer to one call of a Batcher.
type Reply struct {
	// Msg is the message that the answer came in, nil if others share it.
	Msg *nats.Msg
	// Whole says that Msg is about all calls of the message that this one has
	// travelled in, of which there were several.
	Whole bool
	// Frame is the answer, without Msg: a frame with the number of the call.
	// Whoever keeps a part of it keeps the answers of others.
	Frame []byte
}

// Call is [Conn.Call] for a frame with a number of its own, Seq. At most most
// calls share a message. Subject and Header do not count.
func (s *Batcher) Call(ctx context.Context, most int, call Call) (Reply, error) {
	alone := s.inFlight.Add(1) == 1
	defer s.inFlight.Add(-1)
	if alone || s.rest.Load() > 0 && s.rest.Add(-1) >= 0 {
		call.Subject, call.Header = s.subject, nil
		m, err := s.conn.Call(ctx, call)
		return Reply{Msg: m}, err
	}
	start := time.Since(s.made) // the clock of the day would cost more
	if ctx.Err() != nil {
		return Reply{}, contextError(ctx, time.Now())
	}
	own, err := s.conn.mux.seat(slot{subject: s.subject, seq: call.Seq})
	if err != nil {
		return Reply{}, err
	}
	b, place := s.join(own, most, call.Data)
	select {
	case r := <-own.result:
		s.resume()
		s.conn.mux.recycle(own, false)
		switch {
		case r.err != nil:
			r.err.Elapsed = time.Since(s.made) - start
			return Reply{}, r.err
		case r.msg != nil && NoResponders(r.msg):
			return Reply{}, nobody(s.subject, time.Since(s.made)-start)
		}
		return Reply{Msg: r.msg, Whole: r.whole, Frame: r.frame}, nil
	case <-ctx.Done():
		b.leave(own, place)
		return Reply{}, contextError(ctx, s.made.Add(start))
	}
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

// An envelope is the calls that share a message. The lock of its Batcher guards it.
type envelope struct {
	by    *Batcher
	body  []byte
	alone int     // where the first frame begins
	calls []*slot // nil: it has its answer, or has left
	left  int     // calls
	next  int     // where the next answer's call may be

	slot  *slot // of the message, while it is out
	reply string
}

// add puts one more call in. The lock is held.
func (e *envelope) add(own *slot, frame []byte) (place int) {
	e.body = wire.AppendToBatch(e.body, frame)
	if len(e.calls) == 0 {
		e.alone = len(e.body) - len(frame)
	}
	e.calls = append(e.calls, own)
	e.left++
	return len(e.calls) - 1
}

// publish publishes the message. One call goes as it would without a batch.
func (e *envelope) publish() {
	if e.reply == "" {
		return // all of its calls have left
	}
	s, body := e.by, e.body
	if len(e.calls) == 1 {
		body = body[e.alone:]
	}
	err := s.conn.publish(s.subject, e.reply, nil, body)
	s.mu.Lock()
	if len(s.spare) < maxSpareBodies {
		s.spare = append(s.spare, e.body)
	}
	e.body = nil
	s.mu.Unlock()
	if err != nil {
		e.fail(func(*slot) bool { return true }, AsError(err))
	}
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

// deliver takes what comes to the reply subject: answers of one call or several,
// or a word that is about all of them.
func (e *envelope) deliver(m *nats.Msg) {
	seq, numbered := wire.AnswerSeq(m.Data)
	switch {
	case !wire.IsFrame(m.Data), len(m.Header[wire.HeaderContentType]) > 0, NoResponders(m):
		e.all(m)
	case wire.TypeOf(m.Data) == wire.FrameBatch:
		var room [wire.MaxBatch]wire.Batched
		answers, err := wire.ParseBatch(room[:0], m.Data)
		if err != nil {
			failure := Errorf(DataLoss, "bad reply: %w", err)
			failure.End = Handler
			e.fail(func(*slot) bool { return true }, failure)
			return
		}
		e.answer(answers, nil)
	case numbered && seq != 0:
		e.answer([]wire.Batched{{Seq: seq}}, m)
	default:
		e.all(m)
	}
}

// answer hands the answers, of which there are at most MaxBatch, to their calls:
// m, or the frames if it is nil. One whose call has left finds nobody.
func (e *envelope) answer(answers []wire.Batched, m *nats.Msg) {
	var taken [wire.MaxBatch]*slot
	e.by.mu.Lock()
	missed := 0
	for i := range answers {
		if taken[i] = e.take(answers[i].Seq); taken[i] == nil {
			missed++
		}
	}
	over := e.over()
	e.by.mu.Unlock()
	e.release(over)
	e.by.woken.Add(int64(len(answers) - missed))
	for i := range answers {
		if taken[i] != nil {
			taken[i].result <- result{msg: m, frame: answers[i].Frame}
		}
	}
}

// take takes a call out. Answers mostly come in the order of the calls. The lock
// is held.
func (e *envelope) take(seq uint64) *slot {
	for range e.calls {
		place := e.next
		if e.next++; e.next == len(e.calls) {
			e.next = 0
		}
		if s := e.calls[place]; s != nil && s.seq == seq {
			e.calls[place] = nil
			e.left--
			return s
		}
	}
	return nil
}

// all hands a message to every call.
func (e *envelope) all(m *nats.Msg) {
	whole := len(e.calls) > 1 // it is sent, and nobody joins any more
	for _, s := range e.drop(func(*slot) bool { return true }) {
		s.result <- result{msg: m, whole: whole}
	}
}

// fail ends the calls that match.
func (e *envelope) fail(match func(*slot) bool, err *Error) {
	for _, s := range e.drop(match) {
		one := *err
		s.result <- result{err: &one}
	}
}

// drop takes out the calls that match.
func (e *envelope) drop(match func(*slot) bool) []*slot {
	var dropped []*slot
	e.by.mu.Lock()
	for i, s := range e.calls {
		if s != nil && match(s) {
			dropped = append(dropped, s)
			e.calls[i] = nil
			e.left--
		}
	}
	over := e.over()
	e.by.mu.Unlock()
	e.release(over)
	e.by.woken.Add(int64(len(dropped)))
	return dropped
}

// leave takes out a call that waits no longer.
func (e *envelope) leave(own *slot, place int) {
	e.by.mu.Lock()
	here := e.calls[place] == own
	if here {
		e.calls[place] = nil
		e.left--
	}
	over := e.over()
	e.by.mu.Unlock()
	e.release(over)
	if !here {
		// Someone has taken it out and is about to fill it, or has: the slot must
		// be empty before its next call.
		<-own.result
		e.by.resume()
	}
	e.by.conn.mux.recycle(own, false)
}

// waiting appends the numbers of the calls that wait.
func (e *envelope) waiting(all []uint64) []uint64 {
	e.by.mu.Lock()
	defer e.by.mu.Unlock()
	for _, s := range e.calls {
		if s != nil {
			all = append(all, s.seq)
		}
	}
	return all
}

// over returns the slot of a message for which nobody waits any more. The lock is
// held.
func (e *envelope) over() *slot {
	own := e.slot
	if e.left > 0 {
		return nil
	}
	e.slot = nil
	return own
}

// release frees the reply subject of a message that is over.
func (e *envelope) release(own *slot) {
	if own != nil {
		e.by.conn.mux.remove(own.key)
	}
}
