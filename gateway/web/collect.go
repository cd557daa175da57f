package web

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// lookEvery is how often the table is brought up to date while somebody
	// watches, idleLook while nobody does.
	lookEvery = time.Second
	idleLook  = 5 * time.Second
	// calm is the least time between two looks at who has come and gone.
	calm = 200 * time.Millisecond
	// interest is how long a page that was asked for counts as watched.
	interest = 30 * time.Second

	// askEvery and idleAsk are the pace of the questions to all services.
	askEvery = time.Second
	idleAsk  = 10 * time.Second
	// maxAnswersPerSecond slows the questions down where there are many to answer,
	// and askShare is the part of the time that reading the answers may take.
	maxAnswersPerSecond = 2000
	askShare            = 20
	// linkEvery is how often pages are told of the connection.
	linkEvery = 5 * time.Second
)

// A collector keeps the table of services, and tells the hub what changes in it.
type collector struct {
	bus *gateway.Bus
	hub *hub
	log zerolog.Logger
	url func() string // of the broker, "" if nobody has said

	touched atomic.Int64  // when a page was last asked for, in Unix nanoseconds
	stir    chan struct{} // somebody watches, or somebody has come or gone
	seen    chan struct{} // somebody may have begun to watch: no more idling
	rouse   chan struct{} // likewise, for the questions
	work    sync.WaitGroup

	mu       sync.Mutex
	t        *table
	looks    uint64
	looked   time.Time
	changes  uint64    // of the View, as of the last look
	asked    time.Time // when answers came last
	pace     time.Duration
	rest     time.Duration // the least pace that everybody can bear
	failure  string
	up       bool
	upSince  time.Time
	rows     deltas
	nodes    deltas
	linkTold time.Time

	// nodesAsked is when the page of nodes was last asked for.
	nodesAsked time.Time
}

func newCollector(b *gateway.Bus, h *hub, url func() string, log zerolog.Logger) *collector {
	return &collector{bus: b, hub: h, url: url, log: log, stir: make(chan struct{}, 1), seen: make(chan struct{}, 1), rouse: make(chan struct{}, 1), t: newTable(), pace: askEvery}
}

// start begins to collect until ctx ends.
func (c *collector) start(ctx context.Context, w *Web) {
	c.mu.Lock()
	c.up, c.upSince = c.bus.Conn.Connected(), time.Now()
	c.mu.Unlock()
	c.work.Go(func() { c.watch(ctx) })
	c.work.Go(func() { c.follow(ctx) })
	c.work.Go(func() { c.question(ctx) })
	c.work.Go(func() { c.publishSlow(ctx, w) })
}

func (c *collector) wait() { c.work.Wait() }

// touch says that somebody looks. The first one to do so after a while waits for
// a table that is up to date.
func (c *collector) touch() {
	now := time.Now()
	if !c.watched(now) {
		poke(c.stir) // it is asleep
	}
	c.touched.Store(now.UnixNano())
	poke(c.seen)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected(now)
	view := c.bus.View()
	if view != nil && c.up && (now.Sub(c.looked) > lookEvery+calm || view.Stats().Changes != c.changes) {
		c.look(now)
		poke(c.stir)
	}
	if now.Sub(c.asked) > max(askEvery, c.rest)+calm {
		poke(c.rouse)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake already
	}
}

// watched reports whether anybody looks.
func (c *collector) watched(now time.Time) bool {
	return c.hub.count() > 0 || now.UnixNano()-c.touched.Load() < int64(interest)
}

// watch brings the table up to date again and again.
func (c *collector) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now() // when the timer ends
	changed := c.bus.Conn.Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			changed = c.bus.Conn.Changed()
		case <-c.seen:
			now := time.Now()
			if sooner := untilWhole(now, lookEvery); now.Add(sooner).Before(due) {
				due = now.Add(sooner)
				timer.Reset(sooner)
			}
			continue
		case <-c.stir:
		case <-timer.C:
		}
		now := time.Now()
		next := c.step(now)
		due = now.Add(next)
		timer.Reset(next)
	}
}

// untilWhole is the time until the next whole multiple of a duration. Looks are
// there for the histories.
func untilWhole(now time.Time, every time.Duration) time.Duration {
	return every - time.Duration(now.UnixNano())%every
}

// step is one look, and returns the time until the next.
func (c *collector) step(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected(now)
	if since := now.Sub(c.looked); since < calm {
		return calm - since
	}
	every := idleLook
	if c.watched(now) {
		every = lookEvery
	}
	if c.up {
		c.look(now)
		c.publish(now)
	}
	return untilWhole(now, every)
}

// connected follows the connection to the bus.
func (c *collector) connected(now time.Time) {
	if up := c.bus.Conn.Connected(); up != c.up {
		c.up, c.upSince = up, now
		c.linkTold, c.failure = time.Time{}, ""
		poke(c.rouse)
	}
	if now.Sub(c.linkTold) >= linkEvery {
		c.linkTold = now
		c.hub.send(topicLink, "link", 0, struct {
			At int64 `json:"at"`
			link
		}{now.UnixMilli(), c.link(now)})
	}
}

// look brings the table up to date.
func (c *collector) look(now time.Time) {
	view := c.bus.View()
	if view == nil {
		return
	}
	before := c.looked
	c.looks++
	c.looked = now
	c.changes = view.Stats().Changes
	c.t.look(view, c.looks, now)
	c.t.sum(now)
	if now.Unix() != before.Unix() {
		step := int64(historyStep / time.Second)
		c.t.record(now, now.Unix()-before.Unix(), now.Unix()/step != before.Unix()/step)
	}
}

// follow hears of those who come and go, and why.
func (c *collector) follow(ctx context.Context) {
	view := c.bus.View()
	if view == nil {
		return
	}
	for change := range view.Changes(ctx) {
		if change.Action == discovery.Delete {
			c.lost(&change)
		}
		if c.watched(time.Now()) {
			poke(c.stir)
		}
	}
}

// lost notes why an instance has left.
func (c *collector) lost(change *discovery.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.t.services[change.Instance.Service]
	if s == nil {
		return
	}
	clean := change.Instance.State == discovery.StateDraining
	s.left = change.Instance.NodeID() + " was lost (" + change.Reason + ")"
	s.lostAt = change.At
	if clean {
		s.left, s.lostAt = change.Instance.NodeID()+" has stopped", time.Time{}
	}
}

// question asks all services for their numbers, as often as they and this process
// can bear.
func (c *collector) question(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.rouse:
		case <-timer.C:
		}
		began := time.Now()
		answers, work, err := c.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		pace := askEvery
		if !c.watched(began) {
			pace = idleAsk
		}
		rest := max(time.Duration(answers)*time.Second/maxAnswersPerSecond, askShare*work)
		pace = max(pace, rest)
		c.mu.Lock()
		c.pace, c.rest = pace, rest
		c.failure = ""
		if err != nil {
			c.failure = bus.AsError(err).Message
		} else {
			c.asked = time.Now()
		}
		c.mu.Unlock()
		timer.Reset(max(pace-time.Since(began), calm))
	}
}

// ask asks once, and returns how many have answered and how long reading it took.
func (c *collector) ask(ctx context.Context) (answers int, work time.Duration, err error) {
	if err := c.bus.Reachable(); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, idleAsk)
	defer cancel()
	err = ask(ctx, c.bus.Conn, func(a *answer) {
		answers++
		c.mu.Lock()
		c.t.take(a)
		c.mu.Unlock()
		work += time.Since(a.at)
	})
	return answers, work, err
}

// A link says how the dashboard is connected, and how old its numbers are.
type link struct {
	Connected bool   `json:"connected"`
	Since     int64  `json:"since"`
	URL       string `json:"url,omitempty"`
	Age       *int64 `json:"age_ms"`
	Pace      int64  `json:"pace_ms"`
	Error     string `json:"error,omitempty"`
}

// link is how things are now. The caller holds mu.
func (c *collector) link(now time.Time) link {
	l := link{Connected: c.up, Since: milli(c.upSince), URL: c.url(), Pace: c.pace.Milliseconds(), Error: c.failure}
	if l.URL == "" {
		l.URL = c.bus.Conn.NATS().ConnectedUrlRedacted()
	}
	if !c.asked.IsZero() {
		age := now.Sub(c.asked).Milliseconds()
		l.Age = &age
	}
	if !c.up {
		l.Error = "the bus is disconnected; the dashboard connects again by itself"
	}
	return l
}
