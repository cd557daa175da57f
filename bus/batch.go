package bus

import (
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// maxSpare bounds the batches that a lane keeps for the next calls.
const maxSpare = 64

// A batch are messages that came about together: with one read from the socket,
// past NATS, or by way of NATS.
type batch struct {
	came    time.Time
	calls   []taken
	replies []byte // the reply subjects, one behind the other
	mark    bool   // it is one, for barrier, and is never lost
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

// bring adds what came by way of NATS, or a mark, which has no subscription.
func (b *batch) bring(m *nats.Msg) {
	b.calls = append(b.calls, taken{msg: m})
	b.mark = b.mark || m.Sub == nil
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

// A queue is what waits for the goroutine of a lane.
type queue struct {
	kick chan struct{} // has room for one

	mu      sync.Mutex
	waiting []*batch
	next    int // in waiting; those before it are done
	spare   []*batch
	calls   int // in waiting, from next on
	lost    uint64
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

// put hands a batch to the lane. At the bound it is lost.
func (a *lane) put(b *batch) {
	q := &a.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.calls+len(b.calls) > a.size && !b.mark {
		q.lost += uint64(len(b.calls))
		q.recycle(b)
		return
	}
	q.waiting = append(q.waiting, b)
	q.calls += len(b.calls)
	if len(q.waiting)-q.next == 1 {
		select {
		case q.kick <- struct{}{}:
		default:
		}
	}
}

// recycle keeps a batch for the next calls. q.mu is held.
func (q *queue) recycle(b *batch) {
	if len(q.spare) == maxSpare {
		return
	}
	clear(b.calls)
	b.calls, b.replies, b.mark = b.calls[:0], b.replies[:0], false
	q.spare = append(q.spare, b)
}

// next takes the batch that is to be handed out, nil if there is none.
func (a *lane) next() *batch {
	q := &a.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == len(q.waiting) {
		return nil
	}
	b := q.waiting[q.next]
	q.waiting[q.next] = nil
	if q.next++; 2*q.next >= len(q.waiting) {
		q.waiting = slices.Delete(q.waiting, 0, q.next)
		q.next = 0
	}
	q.calls -= len(b.calls)
	return b
}

// handOut hands a batch to its listeners. What came by way of NATS knows its
// subscription, and not its group.
func (a *lane) handOut(b *batch) {
	a.mu.RLock() // joining may not be done, and what it subscribed with not known
	for _, c := range b.calls {
		if c.group != nil {
			c.msg.Sub = c.group.sub
		}
	}
	a.mu.RUnlock()
	for _, c := range b.calls {
		if c.group != nil {
			a.pass(c.group, c.msg)
		} else {
			a.dispatch(c.msg)
		}
	}
	a.queue.mu.Lock()
	a.queue.recycle(b)
	a.queue.mu.Unlock()
}
