package rpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
)

const (
	// snapshotWait is how long calls wait, counted from the first one, until it
	// is known which instances there are. Then the bus chooses.
	snapshotWait = 100 * time.Millisecond
	// filterWait is the same with filters, which the bus does not know: longer
	// than any snapshot takes.
	filterWait = time.Second
	// lookAgain is the pause after a View could not be opened.
	lookAgain = 5 * time.Second
	// maxChosen and maxChosenBytes bound the instances of one service among
	// which a client chooses; those that come later are not chosen.
	maxChosen      = 10_000
	maxChosenBytes = 64 << 20
)

// A chooser chooses among the instances of one service. It opens a View of them
// for the first call that asks.
type chooser struct {
	conn    *bus.Conn
	service string
	cfg     selector.Config
	kept    bool // its peer is in the table; a passing one opens nothing
	picker  *selector.Picker

	view     atomic.Pointer[discovery.View] // once it has its first snapshot
	identity atomic.Pointer[identity]
	passed   atomic.Int64 // when an instance last passed the filters, Unix nanoseconds

	mu      sync.Mutex
	closed  bool
	opening chan struct{} // closed when opening has come to an end; nil before
	until   time.Time     // how long calls wait for that
	again   time.Time     // no sooner
	failed  *bus.Error    // why it could not be opened
	end     context.CancelFunc
	opener  sync.WaitGroup
}

// An identity is what the broker calls the connection in one epoch.
type identity struct {
	epoch  uint64
	server string
	client uint64
}

func newChooser(conn *bus.Conn, service string, cfg selector.Config, kept bool) *chooser {
	return &chooser{conn: conn, service: service, cfg: cfg, kept: kept, picker: selector.NewPicker(cfg)}
}

// pick chooses an instance for a request. It is false if the bus should choose.
func (c *chooser) pick(ctx context.Context, req *Request) (choice selector.Choice, ok bool, failure *bus.Error) {
	view, failure := c.look(ctx)
	if view == nil {
		if !c.cfg.Filters() {
			failure = nil
		}
		return choice, false, failure
	}
	call := selector.Call{Method: req.Method, Key: req.Key, Avoid: req.path().before()}
	if c.cfg.Local {
		me := c.me()
		call.Server, call.Client = me.server, me.client
	}
	instances := view.Instances(c.service)
	choice, ok = c.picker.Pick(instances, &call)
	switch {
	case ok && c.cfg.Filters():
		c.passed.Store(time.Now().UnixNano())
	case !ok && c.cfg.Filters():
		return choice, false, c.exclude(instances, req)
	}
	return choice, ok, nil
}

// errExcluded is the cause of the errors of calls that no instance may take.
var errExcluded = errors.New("no instance passes the selector")

// exclude is the error of a call for which there is no candidate, nil if the bus
// should choose all the same.
func (c *chooser) exclude(instances []discovery.Instance, req *Request) *bus.Error {
	foreign, passing := 0, 0
	for i := range instances {
		if one := &instances[i]; one.Foreign {
			foreign++
			if c.cfg.Admits(one.Version, one.Metadata) {
				passing++
			}
		}
	}
	if foreign > 0 && foreign == len(instances) {
		if passing == foreign {
			return nil
		}
		return nobody(bus.Unimplemented, &bus.Error{}, "%w: %s is not an mbus service, and its instances cannot be called one by one; %d of %d pass", errExcluded, req.Service, passing, foreign)
	}
	reason := c.cfg.Explain(instances, req.Method)
	switch {
	case reason == "": // the search for the reason is the same as without filters
		return nobody(bus.Unavailable, &bus.Error{}, "nobody listens")
	case time.Since(time.Unix(0, c.passed.Load())) < rememberedFor:
		return away(&bus.Error{}, "%w at this moment: %s", errExcluded, reason)
	}
	return nobody(bus.NotFound, &bus.Error{}, "%w: %s", errExcluded, reason)
}

// look returns the View, or nil with the reason when there is none in time.
func (c *chooser) look(ctx context.Context) (*discovery.View, *bus.Error) {
	if view := c.view.Load(); view != nil {
		return view, nil
	}
	opening, until := c.open()
	if opening != nil && time.Now().Before(until) {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-opening:
		case <-timer.C:
		case <-ctx.Done():
			return nil, bus.AsError(ctx.Err())
		}
	}
	if view := c.view.Load(); view != nil {
		return view, nil
	}
	return nil, c.unknown()
}

// unknown says why there is no View.
func (c *chooser) unknown() *bus.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.kept:
		return nobody(bus.Unavailable, &bus.Error{}, "%w: the client already keeps facts about %d services, the most it does", errExcluded, maxPeers)
	case c.closed:
		return nobody(bus.Unavailable, &bus.Error{}, "%w: the client is closed", errExcluded)
	case c.failed != nil:
		failed := *c.failed
		return &failed
	case !c.conn.Connected():
		e := bus.Errorf(bus.Unavailable, "the broker is away, and which instances pass the selector is not known")
		e.End, e.Retry = bus.Broker, bus.RetrySafe
		return e
	}
	return away(&bus.Error{}, "%w: which instances %s has is not known yet", errExcluded, c.service)
}

// open opens the View, in the background, unless that has been done or tried
// lately. It returns what to wait for, and how long; nil if nothing is coming.
func (c *chooser) open() (opening <-chan struct{}, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.opening != nil {
		return c.opening, c.until
	}
	if !c.kept || c.closed || now.Before(c.again) {
		return nil, now
	}
	// The View outlives the call that has prompted it.
	life, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.opening, c.end, c.failed = done, end, nil
	c.until = now.Add(snapshotWait)
	if c.cfg.Filters() {
		c.until = now.Add(filterWait)
	}
	if c.cfg.Wait > 0 {
		c.until = now.Add(c.cfg.Wait)
	}
	c.opener.Go(func() {
		defer close(done)
		view, err := discovery.Watch(life, c.conn, discovery.WithService(c.service), discovery.WithMaxInstances(maxChosen), discovery.WithMaxBytes(maxChosenBytes))
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.opening, c.again, c.failed = nil, time.Now().Add(lookAgain), bus.AsError(err)
			if c.failed.End == bus.Broker {
				c.again = time.Now().Add(snapshotWait)
			}
			end()
			return
		}
		select {
		case <-view.Ready():
			c.view.Store(view)
		case <-life.Done():
			view.Close()
		case <-c.conn.Closed(): // which ends the View
		}
	})
	return done, c.until
}

// me returns what the broker calls this connection.
func (c *chooser) me() *identity {
	epoch := c.conn.Epoch()
	me := c.identity.Load()
	if me == nil || me.epoch != epoch {
		me = &identity{epoch: epoch}
		me.server, me.client = c.conn.Identity()
		c.identity.Store(me)
	}
	return me
}

// close ends the View and waits for it. From then on the bus chooses.
func (c *chooser) close() {
	c.mu.Lock()
	c.closed = true
	end := c.end
	c.mu.Unlock()
	if end != nil {
		end()
	}
	c.opener.Wait()
	if view := c.view.Swap(nil); view != nil {
		view.Close()
	}
}
