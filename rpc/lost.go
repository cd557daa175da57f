package rpc

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// claimWait is how long instances have to say which calls they have.
	claimWait = time.Second
	// maxQuestions bounds the questions about one service that wait for claims.
	// Calls of further instances that die meanwhile end at their deadline.
	maxQuestions = 16
)

// A question asks the instances that are left which of the calls that wait they
// have, after one has gone without a word. Whatever nobody claims was with it.
type question struct {
	peer    *peer
	gone    string // id of the instance
	release func()
	timer   *time.Timer

	mu      sync.Mutex
	orphans map[uint64]bool
}

// missing hears that an instance is gone. An instance that says so itself has
// answered its calls.
func (p *peer) missing(m *nats.Msg) {
	d, ok := discovery.ReadDown(p.conn, m)
	if !ok || d.Itself {
		return
	}
	streamsOf(p.conn).ask(p.service, d.ID)
	calls := p.conn.Waiting(wire.CallSubject(p.service, ""))
	calls = append(calls, p.conn.Waiting(wire.NodeSubject(p.service, d.ID, ""))...)
	for len(calls) > 0 {
		n := min(len(calls), maxClaim)
		p.askWhoHas(d.ID, calls[:n])
		calls = calls[n:]
	}
}

func (p *peer) askWhoHas(gone string, calls []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.questions) >= maxQuestions {
		return
	}
	q := &question{peer: p, gone: gone, orphans: make(map[uint64]bool, len(calls))}
	asked := claim{Calls: make([]string, len(calls))}
	for i, seq := range calls {
		q.orphans[seq] = true
		asked.Calls[i] = strconv.FormatUint(seq, 10)
	}
	data, err := json.Marshal(asked)
	if err != nil {
		return
	}
	reply, release, err := p.conn.Expect(q.hear)
	if err != nil {
		return // the calls end at their deadline
	}
	q.release = release
	q.timer = time.AfterFunc(claimWait, q.settle)
	p.questions[q] = struct{}{}
	// The question outlives each of the calls that it is about.
	if p.conn.Publish(context.Background(), wire.ClaimSubject(p.service), reply, nil, data) != nil {
		q.end()
	}
}

// end frees what the question holds. p.mu is held.
func (q *question) end() {
	q.timer.Stop()
	q.release()
	delete(q.peer.questions, q)
}

// settle ends the calls that nobody has.
func (q *question) settle() {
	q.peer.mu.Lock()
	_, open := q.peer.questions[q]
	if open {
		q.end()
	}
	q.peer.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !open || len(q.orphans) == 0 {
		return
	}
	lost := bus.Errorf(bus.Unavailable, "the instance that had the call is gone; whether the call ran is not known")
	lost.End, lost.Instance = bus.Timeout, q.gone
	for _, prefix := range []string{wire.CallSubject(q.peer.service, ""), wire.NodeSubject(q.peer.service, q.gone, "")} {
		q.peer.conn.Abort(prefix, q.orphans, lost)
	}
}

// hear takes the calls that an instance has off the list.
func (q *question) hear(m *nats.Msg) {
	if bus.NoResponders(m) {
		q.settle() // no instance is left
		return
	}
	var got claim
	if len(m.Data) > maxClaimBytes || json.Unmarshal(m.Data, &got) != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, text := range got.Calls {
		if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
			delete(q.orphans, seq)
		}
	}
}
