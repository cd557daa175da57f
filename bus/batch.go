package bus

import (
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// maxSpare bounds the batches that a lane keeps for the next calls.
const maxSpare = 64

// A batch are requests that came with one read from the socket, past NATS.
type batch struct {
	came    time.Time
	calls   []taken
	replies []byte // the reply subjects, one behind the other
}

// A taken is one of them.
type taken struct {
	group *group
	msg   *nats.Msg
	end   int // of its reply subject
}

func (b *batch) add(g *group, m *nats.Msg, reply []byte) {
	b.replies = append(b.replies, reply...)
	b.calls = append(b.calls, taken{g, m, len(b.replies)})
}

// name gives the messages their reply subjects, which share one string.
func (b *batch) name() {
	all, start := string(b.replies), 0
	for _, c := range b.calls {
		c.msg.Reply, start = all[start:c.end], c.end
	}
}

// find returns the group that listens, without waiting for one that is about to:
// whoever reads from the socket must not wait for whoever writes.
func (a *lane) find(key groupKey) *group {
	g, _ := a.byKey.Load(key)
	found, _ := g.(*group)
	return found
}

func (a *lane) newBatch() *batch {
	a.queue.mu.Lock()
	defer a.queue.mu.Unlock()
	last := len(a.queue.spare) - 1
	if last < 0 {
		return &batch{calls: make([]taken, 0, maxBatch)}
	}
	b := a.queue.spare[last]
	a.queue.spare = a.queue.spare[:last]
	return b
}

// put hands a batch to the lane. At the bound it is lost, as it is with NATS.
func (a *lane) put(b *batch) {
	b.name()
	a.queue.mu.Lock()
	defer a.queue.mu.Unlock()
	if a.queue.calls+len(b.calls) > a.size {
		a.queue.lost += uint64(len(b.calls))
		a.recycle(b)
		return
	}
	// Through the channel, so that it keeps its place among what NATS brings.
	select {
	case a.ch <- a.ready:
		a.queue.waiting = append(a.queue.waiting, b)
		a.queue.calls += len(b.calls)
	default:
		a.queue.lost += uint64(len(b.calls))
		a.recycle(b)
	}
}

// recycle keeps a batch for the next calls. a.queue.mu is held.
func (a *lane) recycle(b *batch) {
	if len(a.queue.spare) == maxSpare {
		return
	}
	clear(b.calls)
	b.calls, b.replies = b.calls[:0], b.replies[:0]
	a.queue.spare = append(a.queue.spare, b)
}

// handOut hands the next batch to its listeners.
func (a *lane) handOut() {
	a.queue.mu.Lock()
	b := a.queue.waiting[a.queue.next]
	a.queue.waiting[a.queue.next] = nil
	if a.queue.next++; 2*a.queue.next >= len(a.queue.waiting) {
		a.queue.waiting = slices.Delete(a.queue.waiting, 0, a.queue.next)
		a.queue.next = 0
	}
	a.queue.calls -= len(b.calls)
	a.queue.mu.Unlock()
	a.since = b.came
	a.mu.RLock() // joining may not be done, and what it subscribed with not known
	for _, c := range b.calls {
		c.msg.Sub = c.group.sub
	}
	a.mu.RUnlock()
	for _, c := range b.calls {
		a.pass(c.group, c.msg)
	}
	a.queue.mu.Lock()
	a.recycle(b)
	a.queue.mu.Unlock()
}
