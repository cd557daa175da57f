package bus

import (
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

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
