package bus

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

const (
	defaultMaxCalls = 65536
	muxShards       = 64
	// maxFreeSlots bounds the slots kept for the next call.
	maxFreeSlots = 1024
	// A connection whose reader falls this far behind loses replies, newest
	// first, as NATS does; the callers concerned time out.
	maxPendingReplies     = 1 << 20
	maxPendingReplyBytes  = 256 << 20
	base62                = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	maxReplyTokenBytes    = 11 // 62^11 > 2^64
	tokenOverflowBoundary = ^uint64(0) / 62
)

// A mux hands the replies that reach one subscription to the calls that wait
// for them. A reply subject is used once, so a late or second reply finds no
// one; the slots behind the subjects are used again.
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
	result  chan result
	subject string // that the request went to
	seq     uint64 // by which both sides know the call, 0 if there is no such number
	f       func(*nats.Msg)
	failed  func(*Error)
	shared  *envelope
}

type result struct {
	msg   *nats.Msg
	frame []byte // in place of msg: the answer's part of one
	whole bool   // msg is about all calls of the batch
	err   *Error
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

// take returns a slot and the reply subject that leads to it.
func (m *mux) take(use slot) (*slot, string, error) {
	if m.open.Add(1) > m.max {
		m.open.Add(-1)
		e := Errorf(ResourceExhausted, "%d calls wait for a reply already, the most this connection allows", m.max)
		e.End, e.Retry = Refused, RetrySafe
		return nil, "", e
	}
	var s *slot
	select {
	case s = <-m.free:
	default:
		s = &slot{result: make(chan result, 1)}
	}
	use.key, use.result = m.next.Add(1), s.result
	*s = use
	shard := &m.shards[s.key%muxShards]
	shard.mu.Lock()
	shard.slots[s.key] = s
	shard.mu.Unlock()
	return s, m.replySubject(s.key), nil
}

// release gives a slot back, whether or not its reply came.
func (m *mux) release(s *slot) {
	if m.remove(s.key) == nil && s.f == nil {
		// Someone has taken the slot out and is about to fill it, or has: the
		// slot must be empty before its next call.
		<-s.result
	}
	m.recycle(s)
}

// recycle keeps a slot that is empty and out of the table.
func (m *mux) recycle(s *slot) {
	m.open.Add(-1)
	if s.f != nil {
		return // a late message may still be on its way into f
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
// next call already.
func (m *mux) arrive(key uint64) (s *slot, f func(*nats.Msg)) {
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
	delete(shard.slots, key)
	return s, nil
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
	switch s, f := m.arrive(key); {
	case f != nil:
		f(msg)
	case s != nil:
		s.result <- result{msg: msg}
	}
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
	var token [maxReplyTokenBytes]byte
	i := len(token)
	for {
		i--
		token[i] = base62[key%62]
		if key /= 62; key == 0 {
			break
		}
	}
	return m.prefix + string(token[i:])
}

func parseToken(token string) (uint64, bool) {
	if token == "" || len(token) > maxReplyTokenBytes {
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
