package live

import "sync"

const (
	queueEvents = 1024
	queueBytes  = 4 << 20

	batchEvents = 64
	batchBytes  = 64 << 10
)

// An event is one event of a topic, on its way to a client, or a gap.
type event struct {
	gap    bool // the broker was away: events may be missing here
	topic  string
	header map[string][]string
	body   []byte
}

func (e *event) size() int { return len(e.topic) + len(e.body) }

// A queue holds the events of one reader. Topics cannot wait for it: when the
// queue is full it takes nothing more, and whoever empties it learns, after the
// last event before the gap, that there is one.
type queue struct {
	ready chan struct{} // holds one: pop has something to tell

	mu     sync.Mutex
	epoch  uint64 // in which the latest event came
	events []event
	bytes  int
	lost   bool
}

func newQueue(epoch uint64) *queue { return &queue{ready: make(chan struct{}, 1), epoch: epoch} }

// push puts an event in that came in an epoch of the connection, behind a gap if
// that is a new one.
func (q *queue) push(epoch uint64, e event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enter(epoch)
	q.add(e)
}

// enter puts a gap in if an epoch is new.
func (q *queue) enter(epoch uint64) {
	if q.epoch != epoch {
		q.epoch = epoch
		q.add(event{gap: true})
	}
}

// look tells of a new epoch in which no event has come yet.
func (q *queue) look(epoch uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enter(epoch)
}

func (q *queue) add(e event) {
	switch {
	case q.lost:
		return
	case len(q.events) >= queueEvents, q.bytes+e.size() > queueBytes && len(q.events) > 0:
		q.lost = true
	default:
		q.events, q.bytes = append(q.events, e), q.bytes+e.size()
	}
	q.wake()
}

// fail makes a gap known that came about before the queue.
func (q *queue) fail() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost = true
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop takes the oldest events out. Once there are none before the gap, lost says
// that it is there. While there is more to tell, ready holds.
func (q *queue) pop() (batch []event, lost bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.events) && n < batchEvents && (n == 0 || bytes+q.events[n].size() <= batchBytes) {
		bytes += q.events[n].size()
		n++
	}
	if n == 0 {
		return nil, q.lost
	}
	batch, q.events, q.bytes = q.events[:n:n], q.events[n:], q.bytes-bytes
	if len(q.events) == 0 {
		q.events = nil // lets go of what has been sent
	}
	if len(q.events) > 0 || q.lost {
		q.wake()
	}
	return batch, false
}
