package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// These bound the messages that wait for a lane's goroutine. At the bound the
	// newest are dropped and Conn.Dropped counts them. The windows of streams
	// allow for less than theirs.
	laneSize       = 16384
	streamLaneSize = 131072
	// inletSize bounds what NATS may bring before the goroutine that only puts it
	// into the lane comes to run. The collector looks at each place, empty or not.
	// It is several times what one read from the socket brings, between two of
	// which that goroutine is let run if half of it is taken.
	inletSize = 8192
)

// A lane is one channel and one goroutine that serve many subscriptions, so
// that a thousand services in a process do not cost thousands of goroutines.
type lane struct {
	size  int
	clock func() time.Time
	inlet chan *nats.Msg // made for the first listener
	made  atomic.Bool    // it is
	quit  chan struct{}
	wg    sync.WaitGroup

	mu      sync.RWMutex
	running bool
	stopped bool
	groups  map[groupKey]*group
	bySub   map[*nats.Subscription]*group
	marks   map[*nats.Msg]chan struct{}
	dropped uint64 // by subscriptions that are gone

	byKey sync.Map // of groupKey to *group, for whoever must not wait for mu
	queue queue

	// Of the goroutine alone:
	since time.Time // the message being handed out came at this time or later
	now   time.Time // when its handing out began
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

func newLane(size int, now func() time.Time) *lane {
	return &lane{
		size: size, clock: now, quit: make(chan struct{}),
		groups: make(map[groupKey]*group), bySub: make(map[*nats.Subscription]*group),
		marks: make(map[*nats.Msg]chan struct{}), queue: queue{kick: make(chan struct{}, 1)},
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
	if a.inlet == nil {
		a.inlet = make(chan *nats.Msg, inletSize)
		a.made.Store(true)
	}
	g := &group{key: l.key, gone: make(chan struct{})}
	g.listeners.Store(&[]*Listener{l})
	a.byKey.Store(l.key, g)
	sub, err := nc.ChanQueueSubscribe(l.key.subject, l.key.queue, a.inlet)
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
		a.wg.Go(a.bring)
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

// bring puts what NATS brings into the queue until the lane stops. NATS does not
// say when a message came: all that it has brought by one look, and not by the
// look before, came after that one.
func (a *lane) bring() {
	looked := a.clock()
	for {
		n := len(a.inlet)
		if n == 0 {
			select {
			case m := <-a.inlet:
				looked = a.clock() // it has just come
				b := a.newBatch()
				b.came = looked
				b.bring(m)
				a.put(b)
			case <-a.quit:
				return
			}
			continue
		}
		came := looked
		looked = a.clock()
		for n > 0 {
			b := a.newBatch()
			b.came = came
			for ; n > 0 && len(b.calls) < maxBatch && !b.mark; n-- {
				b.bring(<-a.inlet)
			}
			a.put(b)
		}
	}
}

// crowded reports whether what NATS has brought fills half of the inlet.
func (a *lane) crowded() bool { return a.made.Load() && len(a.inlet) > inletSize/2 }

// run hands messages to listeners until the lane stops.
func (a *lane) run() {
	for {
		if b := a.next(); b != nil {
			a.since, a.now = b.came, a.clock()
			a.handOut(b)
			continue
		}
		select {
		case <-a.queue.kick:
		case <-a.quit:
			return
		}
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
	case a.inlet <- mark:
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
