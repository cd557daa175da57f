package bus

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	defaultMaxCalls = 65536
	muxShards       = 64
	// maxFreeSlots bounds the slots kept for the next call.
	maxFreeSlots = 1024
	// maxUses bounds how often a reply subject is used again: what comes on it is
	// held against the numbers of all calls before.
	maxUses = 16
	// A connection whose reader falls this far behind loses replies, newest
	// first, as NATS does; the callers concerned time out.
	maxPendingReplies     = 1 << 20
	maxPendingReplyBytes  = 256 << 20
	base62                = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	maxReplyTokenBytes    = 11 // 62^11 > 2^64
	tokenOverflowBoundary = ^uint64(0) / 62
)

// A mux hands the replies that reach one subscription to the calls that wait
// for them. A late or second reply finds no one: a reply subject is used once,
// or again after a call whose answer named the call's own number, by calls that
// have such numbers. Using it again spares the broker from looking up where it
// leads.
type mux struct {
	prefix string // of the reply subjects, with the last dot
	max    int64

	next   atomic.Uint64
	open   atomic.Int64
	shards [muxShards]struct {
		mu    sync.Mutex
		slots map[uint64]*slot
	}
	free chan *slot
}

// A slot waits for one reply, or hands many to f, and what goes wrong before
// they come to failed, or to each call of an envelope.
type slot struct {
	key     uint64
	uses    int             // how many calls the key led to before
	before  [maxUses]uint64 // their numbers
	result  chan result
	subject string // that the request went to
	seq     uint64 // by which both sides know the call, 0 if there is no such number
	f       func(*nats.Msg)
	failed  func(*Error)
	shared  *envelope
	expiry  *Expiry // that ends the call, nil if its context does
}

type result struct {
	msg   *nats.Msg
	frame []byte // in place of msg: a message without a header, or the answer's part of one
	reply string // of the message that is frame
	whole bool   // msg is about all calls of the batch
	err   *Error
}

// plain reports whether an answer has no header.
func (r *result) plain() bool { return r.err == nil && (r.msg == nil || len(r.msg.Header) == 0) }

func (r *result) body() []byte {
	if r.msg != nil {
		return r.msg.Data
	}
	return r.frame
}

func newMux(prefix string, maxCalls int) *mux {
	if maxCalls <= 0 {
		maxCalls = defaultMaxCalls
	}
	m := &mux{prefix: prefix, max: int64(maxCalls), free: make(chan *slot, maxFreeSlots)}
	for i := range m.shards {
		m.shards[i].slots = make(map[uint64]*slot)
	}
	return m
}

// take returns a slot, whose key makes the reply subject that leads to it.
func (m *mux) take(use slot) (*slot, error) {
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
	if s.key == 0 || use.seq == 0 || s.uses == maxUses {
		s.key, s.uses = m.next.Add(1), 0
	}
	use.key, use.uses, use.before, use.result = s.key, s.uses, s.before, s.result
	*s = use
	shard := &m.shards[s.key%muxShards]
	shard.mu.Lock()
	shard.slots[s.key] = s
	shard.mu.Unlock()
	return s, nil
}

// release gives a slot back, whether or not its reply came.
func (m *mux) release(s *slot) {
	if m.remove(s.key) == nil && s.f == nil {
		// Someone has taken the slot out and is about to fill it, or has: the
		// slot must be empty before its next call.
		<-s.result
	}
	m.recycle(s, false)
}

// recycle keeps a slot that is empty and out of the table, with its key if
// nothing more can come for the call that it had.
func (m *mux) recycle(s *slot, clean bool) {
	m.open.Add(-1)
	if s.f != nil {
		return // a late message may still be on its way into f
	}
	if clean && s.uses < maxUses {
		s.before[s.uses] = s.seq
		s.uses++
	} else {
		s.key = 0
	}
	select {
	case m.free <- s:
	default:
	}
}

// remove takes the slot out of the table; who gets it owns what happens next.
func (m *mux) remove(key uint64) *slot {
	shard := &m.shards[key%muxShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	s := shard.slots[key]
	delete(shard.slots, key)
	return s
}

// move changes the subject of a slot that hands out many messages.
func (m *mux) move(s *slot, subject string) {
	shard := &m.shards[s.key%muxShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	s.subject = subject
}

// arrive takes the slot out of the table unless it is for many messages: then f
// says what it does with them. Outside the lock the slot itself may be at its
// next call already. A frame for an earlier call of the key has come too late.
func (m *mux) arrive(key uint64, data []byte) (s *slot, f func(*nats.Msg)) {
	shard := &m.shards[key%muxShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	s = shard.slots[key]
	if s == nil {
		return nil, nil
	}
	if s.f != nil {
		return nil, s.f
	}
	if s.uses > 0 && s.late(data) {
		return nil, nil
	}
	delete(shard.slots, key)
	return s, nil
}

// answers reports whether data is a frame with the number of the call.
func (s *slot) answers(data []byte) bool {
	seq, ok := numberOf(data)
	return ok && seq == s.seq && seq != 0
}

// late reports whether data answers an earlier call of the key.
func (s *slot) late(data []byte) bool {
	seq, ok := numberOf(data)
	return ok && slices.Contains(s.before[:s.uses], seq)
}

// numberOf returns the number of the call that a frame answers.
func numberOf(data []byte) (uint64, bool) {
	if wire.TypeOf(data) != wire.FrameError {
		return wire.SeqOf(data)
	}
	f, err := wire.ParseErrorFrame(data)
	return f.Seq, err == nil
}

// deliver is called for every message that reaches the reply subscription.
func (m *mux) deliver(msg *nats.Msg) {
	token, ok := strings.CutPrefix(msg.Subject, m.prefix)
	if !ok {
		return
	}
	key, ok := parseToken(token)
	if !ok {
		return
	}
	switch s, f := m.arrive(key, msg.Data); {
	case f != nil:
		f(msg)
	case s != nil:
		s.result <- result{msg: msg}
	}
}

// expects reports whether a call waits for one reply on the subject.
func (m *mux) expects(subject []byte) bool {
	key, ok := m.key(subject)
	if !ok {
		return false
	}
	shard := &m.shards[key%muxShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	s := shard.slots[key]
	return s != nil && s.f == nil
}

// claim takes the call out of the table that waits for one reply on the subject,
// if there is one.
func (m *mux) claim(subject, data []byte) *slot {
	key, ok := m.key(subject)
	if !ok {
		return nil
	}
	s, _ := m.arrive(key, data)
	return s
}

func (m *mux) key(subject []byte) (uint64, bool) {
	if len(subject) < len(m.prefix) || string(subject[:len(m.prefix)]) != m.prefix {
		return 0, false
	}
	return parseToken(subject[len(m.prefix):])
}

// waiting returns the numbers of the calls that wait and match.
func (m *mux) waiting(match func(subject string) bool) []uint64 {
	var all []uint64
	var envelopes []*envelope
	for i := range m.shards {
		shard := &m.shards[i]
		shard.mu.Lock()
		for _, s := range shard.slots {
			switch {
			case !match(s.subject):
			case s.shared != nil:
				envelopes = append(envelopes, s.shared)
			case s.seq != 0:
				all = append(all, s.seq)
			}
		}
		shard.mu.Unlock()
	}
	for _, e := range envelopes {
		all = e.waiting(all)
	}
	return all
}

// fail ends the calls that match.
func (m *mux) fail(match func(*slot) bool, err *Error) {
	for i := range m.shards {
		shard := &m.shards[i]
		var failed []*slot
		var envelopes []*envelope
		shard.mu.Lock()
		for key, s := range shard.slots {
			if s.shared != nil {
				envelopes = append(envelopes, s.shared)
				continue
			}
			if !match(s) {
				continue
			}
			if s.f == nil {
				delete(shard.slots, key)
			}
			failed = append(failed, s)
		}
		shard.mu.Unlock()
		for _, e := range envelopes {
			e.fail(match, err)
		}
		for _, s := range failed {
			one := *err
			switch {
			case s.f == nil:
				s.result <- result{err: &one}
			case s.failed != nil:
				s.failed(&one)
			}
		}
	}
}

func (m *mux) replySubject(key uint64) string {
	var room [64]byte
	return string(appendToken(append(room[:0], m.prefix...), key))
}

func appendToken(b []byte, key uint64) []byte {
	var token [maxReplyTokenBytes]byte
	i := len(token)
	for {
		i--
		token[i] = base62[key%62]
		if key /= 62; key == 0 {
			break
		}
	}
	return append(b, token[i:]...)
}

func parseToken[T string | []byte](token T) (uint64, bool) {
	if len(token) == 0 || len(token) > maxReplyTokenBytes {
		return 0, false
	}
	var key uint64
	for i := range len(token) {
		digit := strings.IndexByte(base62, token[i])
		if digit < 0 || key > tokenOverflowBoundary {
			return 0, false
		}
		key = key*62 + uint64(digit)
	}
	return key, true
}
