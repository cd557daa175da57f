package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// These bound the messages that wait for a lane's goroutine. At the bound NATS
// drops the newest and Conn.Dropped counts them. The windows of streams allow
// for less than theirs.
const (
	laneSize       = 16384
	streamLaneSize = 131072
)

// A lane is one channel and one goroutine that serve many subscriptions, so
// that a thousand services in a process do not cost thousands of goroutines.
type lane struct {
	size int
	ch   chan *nats.Msg // made for the first listener
	quit chan struct{}
	wg   sync.WaitGroup

	mu      sync.RWMutex
	running bool
	stopped bool
	groups  map[groupKey]*group
	bySub   map[*nats.Subscription]*group
	marks   map[*nats.Msg]chan struct{}
	dropped uint64 // by subscriptions that are gone

	byKey sync.Map  // of groupKey to *group, for whoever must not wait for mu
	ready *nats.Msg // travels through ch for each batch in queue
	queue struct {
		mu      sync.Mutex
		waiting []*batch
		next    int // in waiting; those before it are done
		spare   []*batch
		calls   int // in waiting, from next on
		lost    uint64
	}

	// Of the goroutine alone:
	stamp   *nats.Msg // travels through ch and tells how long that takes
	stamped time.Time // when it was put there; zero if it is not there
	since   time.Time // the message being handed out came at this time or later
	now     time.Time // when its handing out began
}

type groupKey struct{ subject, queue string }

// A group is one NATS subscription and everyone on the connection who listens
// on it.
type group struct {
	key       groupKey
	sub       *nats.Subscription
	gone      chan struct{} // closed once nothing more can come from sub
	once      sync.Once     // closes gone
	turn      atomic.Uint64
	lost      atomic.Uint64 // what NATS had dropped when the group ended
	listeners atomic.Pointer[[]*Listener]
}

func newLane(size int) *lane {
	return &lane{
		size: size, quit: make(chan struct{}),
		groups: make(map[groupKey]*group), bySub: make(map[*nats.Subscription]*group),
		marks: make(map[*nats.Msg]chan struct{}), stamp: &nats.Msg{}, ready: &nats.Msg{},
	}
}

// join adds l to its group, with a new subscription if it is the first.
func (a *lane) join(nc *nats.Conn, l *Listener) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return nats.ErrConnectionClosed
	}
	if g := a.groups[l.key]; g != nil {
		l.group = g
		g.add(l)
		return nil
	}
	if a.ch == nil {
		a.ch = make(chan *nats.Msg, a.size)
	}
	g := &group{key: l.key, gone: make(chan struct{})}
	g.listeners.Store(&[]*Listener{l})
	if !a.running {
		a.since = time.Now() // messages may come before the goroutine looks
	}
	a.byKey.Store(l.key, g)
	sub, err := nc.ChanQueueSubscribe(l.key.subject, l.key.queue, a.ch)
	if err != nil {
		a.byKey.CompareAndDelete(l.key, g)
		return err
	}
	sub.SetClosedHandler(func(string) { g.once.Do(func() { close(g.gone) }) })
	g.sub = sub
	l.group = g
	a.groups[l.key], a.bySub[sub] = g, g
	if !a.running {
		a.running = true
		a.wg.Go(a.run)
	}
	return nil
}

// leave takes l out of its group. When l is the last one its subscription must
// be drained first, with l still in the group; last says so.
func (a *lane) leave(l *Listener) (last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(*l.group.listeners.Load()) > 1 {
		l.group.remove(l)
		return false
	}
	if a.groups[l.key] == l.group {
		// Who joins from here on gets a subscription of its own.
		delete(a.groups, l.key)
		a.byKey.CompareAndDelete(l.key, l.group)
	}
	return true
}

// forget drops a group whose subscription is gone.
func (a *lane) forget(g *group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g.listeners.Store(&[]*Listener{})
	a.dropped += g.lost.Load()
	delete(a.bySub, g.sub)
	if a.groups[g.key] == g {
		delete(a.groups, g.key)
	}
}

// end asks the broker for no more. Without a connection, nothing can be on its
// way.
func (g *group) end() {
	if n, err := g.sub.Dropped(); err == nil && n > 0 {
		g.lost.Store(uint64(n))
	}
	if err := g.sub.Drain(); err != nil {
		_ = g.sub.Unsubscribe()
	}
}

func (g *group) add(l *Listener) {
	all := append([]*Listener{}, *g.listeners.Load()...)
	all = append(all, l)
	g.listeners.Store(&all)
}

func (g *group) remove(l *Listener) {
	var rest []*Listener
	for _, other := range *g.listeners.Load() {
		if other != l {
			rest = append(rest, other)
		}
	}
	g.listeners.Store(&rest)
}

// run hands messages to listeners until the lane stops.
func (a *lane) run() {
	for {
		waited := true
		var m *nats.Msg
		select {
		case m = <-a.ch:
		default:
			// Nothing waits: what comes next has just come.
			waited = false
			select {
			case m = <-a.ch:
			case <-a.quit:
				return
			}
		}
		a.now = time.Now()
		switch {
		case m == a.ready:
			a.handOut()
		case m == a.stamp:
			a.since, a.stamped = a.stamped, time.Time{}
		case waited:
			a.sendStamp()
			a.dispatch(m)
		default:
			a.since = a.now
			a.dispatch(m)
		}
	}
}

// sendStamp puts the stamp behind what waits in the lane. NATS does not say when
// a message came; but what is handed out after the stamp came after it.
func (a *lane) sendStamp() {
	if !a.stamped.IsZero() {
		return
	}
	select {
	case a.ch <- a.stamp:
		a.stamped = a.now
	default: // full: the next one will do
	}
}

func (a *lane) dispatch(m *nats.Msg) {
	a.mu.RLock()
	g, passed := a.bySub[m.Sub], a.marks[m]
	a.mu.RUnlock()
	if passed != nil {
		close(passed)
	}
	if g != nil {
		a.pass(g, m)
	}
}

// pass hands a message to those who listen.
func (a *lane) pass(g *group, m *nats.Msg) {
	listeners := *g.listeners.Load()
	if g.key.queue == "" {
		for _, l := range listeners {
			l.f(m)
		}
		return
	}
	if len(listeners) > 0 {
		listeners[g.turn.Add(1)%uint64(len(listeners))].f(m)
	}
}

// barrier returns once everything that is in the lane at its start has been
// handed out.
func (a *lane) barrier(ctx context.Context) error {
	a.mu.RLock()
	idle := !a.running || a.stopped
	a.mu.RUnlock()
	if idle {
		return nil
	}
	// NATS owns the type of the channel, so a barrier is a message of no
	// subscription.
	mark, passed := &nats.Msg{}, make(chan struct{})
	a.mu.Lock()
	a.marks[mark] = passed
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.marks, mark)
		a.mu.Unlock()
	}()
	select {
	case a.ch <- mark:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-passed:
		return nil
	case <-a.quit:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain lets everything that the broker has sent reach its listeners and ends
// the subscriptions.
func (a *lane) drain(ctx context.Context) error {
	a.mu.RLock()
	var groups []*group
	for _, g := range a.bySub {
		groups = append(groups, g)
	}
	a.mu.RUnlock()
	for _, g := range groups {
		g.end()
	}
	for _, g := range groups {
		select {
		case <-g.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return a.barrier(ctx)
}

// stop ends the goroutine. What is still in the lane is lost.
func (a *lane) stop() {
	a.mu.Lock()
	if !a.stopped {
		a.stopped = true
		close(a.quit)
	}
	a.mu.Unlock()
	a.wg.Wait()
}

// droppedByNATS counts what the subscriptions of the lane have lost.
func (a *lane) droppedByNATS() uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.queue.mu.Lock()
	n := a.dropped + a.queue.lost
	a.queue.mu.Unlock()
	for sub := range a.bySub {
		if d, err := sub.Dropped(); err == nil && d > 0 {
			n += uint64(d)
		}
	}
	return n
}
