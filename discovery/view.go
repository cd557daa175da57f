package discovery

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	defaultMaxInstances = 100_000
	defaultMaxBytes     = 256 << 20
	// maxWatched bounds the services that one View names.
	maxWatched = 1024
	// unlistenLimit bounds how long a View waits for the broker at its end.
	unlistenLimit = time.Second
)

// A WatchOption changes a View. See [Watch].
type WatchOption func(*watchOptions)

type watchOptions struct {
	services     []string
	maxInstances int
	maxBytes     int
}

// WithService watches these services only, at most 1024: the broker then sends
// nothing about the others. A foreign service goes by its ADR-32 name.
func WithService(names ...string) WatchOption {
	return func(o *watchOptions) { o.services = append(o.services, names...) }
}

// WithMaxInstances bounds the instances that a View keeps, 100,000 unless said
// otherwise. At the bound new ones are refused and counted; those that are
// known stay.
func WithMaxInstances(n int) WatchOption {
	return func(o *watchOptions) { o.maxInstances = n }
}

// WithMaxBytes bounds what a View keeps by an estimate of its size in memory,
// 256 MiB unless said otherwise. It works like WithMaxInstances.
func WithMaxBytes(n int) WatchOption {
	return func(o *watchOptions) { o.maxBytes = n }
}

// A View is the live list of the instances of some services, or of all. All
// its methods may be called from any goroutine.
//
// An instance enters when it announces itself or answers the View's questions.
// After three missed beats it is suspect: no longer in Instances, and asked
// three times within a second. If the broker says that it is not there, or it
// does not answer, it is removed.
type View struct {
	conn     *bus.Conn
	log      zerolog.Logger
	plan     *codec.Plan
	services []string // none means all
	pace     pacer
	kick     chan struct{} // the loop should look at the clock again
	ready    chan struct{} // closed after the first snapshot
	done     chan struct{} // closed at the end
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	listeners []*bus.Listener
	bad       atomic.Uint64

	mu         sync.RWMutex
	table      *table
	inquiries  map[key]*inquiry
	wakeAt     time.Time // when the loop looks next
	surveying  bool
	noSnapshot bool // the last one failed
	isReady    bool
}

// Watch opens a View. It returns once the broker has taken its subscriptions;
// Ready tells when those who are there already are known. The View lives until
// ctx ends or Close is called, through any number of reconnects.
func Watch(ctx context.Context, conn *bus.Conn, opts ...WatchOption) (*View, error) {
	o := watchOptions{maxInstances: defaultMaxInstances, maxBytes: defaultMaxBytes}
	for _, opt := range opts {
		opt(&o)
	}
	if len(o.services) > maxWatched {
		return nil, bus.Errorf(bus.InvalidArgument, "%d services are too many for one View, at most %d are allowed; watch all", len(o.services), maxWatched)
	}
	for _, name := range o.services {
		if err := checkAsked(name); err != nil {
			return nil, err
		}
	}
	slices.Sort(o.services)
	v := &View{
		conn: conn, log: conn.Logger(), plan: codec.PlanOf(conn), services: slices.Compact(o.services),
		kick: make(chan struct{}, 1), ready: make(chan struct{}), done: make(chan struct{}),
		table: newTable(o.maxInstances, o.maxBytes), inquiries: make(map[key]*inquiry),
	}
	err := v.listen()
	if err == nil {
		err = conn.Confirm(ctx, v.listeners...)
	}
	if err != nil {
		_ = drainAll(ctx, v.listeners) // err says more
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	v.cancel = cancel
	v.wg.Go(func() { v.loop(run) })
	return v, nil
}

func (v *View) listen() error {
	subjects := []string{wire.AnnounceAll}
	if len(v.services) > 0 {
		subjects = nil
	}
	for _, service := range v.services {
		if wire.CheckService(service) == nil {
			subjects = append(subjects, wire.AnnouncePattern(service))
		}
	}
	for _, subject := range subjects {
		l, err := v.conn.Listen(bus.Control, subject, "", v.heard)
		if err != nil {
			return err
		}
		v.listeners = append(v.listeners, l)
	}
	l, err := v.conn.Listen(bus.Control, wire.PaceSubject, "", func(m *nats.Msg) { v.pace.hear(m, time.Now()) })
	if err != nil {
		return err
	}
	v.listeners = append(v.listeners, l)
	return nil
}

func (v *View) unlisten(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlistenLimit)
	defer cancel()
	if err := drainAll(ctx, v.listeners); err != nil && v.conn.Connected() {
		v.log.Warn().Err(err).Msg("a view has ended without the broker's word")
	}
}

// Close ends the View and waits until nothing of it runs. Its lists stay
// readable. Closing twice is allowed.
func (v *View) Close() {
	v.cancel()
	v.wg.Wait()
}

// Ready returns a channel that is closed once those who were there at the
// start are known. Without a broker it stays open.
func (v *View) Ready() <-chan struct{} { return v.ready }

// Instances returns the instances of a service that new calls may go to,
// ordered by id. The slice is shared: do not change it. Loads in it may be 50 ms
// old.
func (v *View) Instances(service string) []Instance {
	now := time.Now()
	v.mu.RLock()
	g := v.table.services[service]
	if g == nil {
		v.mu.RUnlock()
		return nil
	}
	if g.fresh(now) {
		defer v.mu.RUnlock()
		return g.ready
	}
	v.mu.RUnlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if g = v.table.services[service]; g == nil {
		return nil
	}
	if g.fresh(now) {
		return g.ready
	}
	return g.rebuild()
}

// All returns every instance of a service, those that drain and the suspect
// ones included, ordered by id.
func (v *View) All(service string) []Instance {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.table.services[service]
	if g == nil {
		return nil
	}
	out := make([]Instance, 0, len(g.entries))
	for _, e := range g.entries {
		out = append(out, e.shown())
	}
	slices.SortFunc(out, byName)
	return out
}

// Get returns one instance.
func (v *View) Get(service, id string) (Instance, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if e := v.table.get(key{service, id}); e != nil {
		return e.shown(), true
	}
	return Instance{}, false
}

// Services returns the names of the services that have an instance, in order.
func (v *View) Services() []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	names := make([]string, 0, len(v.table.services))
	for name := range v.table.services {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Snapshot returns every instance, ordered by service and id, and the number of
// the last change that is in it. ChangesAfter goes on from there.
func (v *View) Snapshot() (instances []Instance, seq uint64) {
	v.mu.RLock()
	out := make([]Instance, 0, v.table.count)
	for _, g := range v.table.services {
		for _, e := range g.entries {
			out = append(out, e.shown())
		}
	}
	seq = v.table.history.seq
	v.mu.RUnlock()
	slices.SortFunc(out, byName)
	return out, seq
}

// LastSeen tells when a service last showed itself: now if it has instances. It
// is false if that was more than ten minutes ago, or never. Of services that
// are gone the last 10,000 are remembered.
func (v *View) LastSeen(service string) (time.Time, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.table.services[service]
	if g == nil {
		return v.table.gone.get(service, time.Now())
	}
	var last time.Time
	for _, e := range g.entries {
		if e.inst.LastSeen.After(last) {
			last = e.inst.LastSeen
		}
	}
	return last, true
}

// AtClient returns the instances on one connection of the broker, by the ids
// that the broker's own events carry.
func (v *View) AtClient(server string, id uint64) []Instance {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []Instance
	for k := range v.table.clients[connection{server, id}] {
		if e := v.table.get(k); e != nil {
			out = append(out, e.shown())
		}
	}
	slices.SortFunc(out, byName)
	return out
}

// Remove takes an instance out of this View as if it had announced down. With a
// server it does so only if the instance is on that connection, and not when it
// has connected anew meanwhile. AnnounceDown tells others.
func (v *View) Remove(service, id, server string, client uint64, reason string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.table.remove(key{service, id}, connection{server, client}, cut(reason, maxText), time.Now())
}

// Pace returns how often instances beat at present.
func (v *View) Pace() Pace { return v.pace.now(time.Now()) }

// ViewStats says how a View is doing.
type ViewStats struct {
	Instances int    `json:"instances"`
	Services  int    `json:"services"`
	Suspects  int    `json:"suspects"`
	Bytes     int    `json:"bytes"`    // estimated size in memory
	Changes   uint64 `json:"changes"`  // number of the last change
	Asking    int    `json:"asking"`   // questions to single instances that are open
	Bad       uint64 `json:"bad"`      // announcements and answers dropped because they break the protocol
	Refused   uint64 `json:"refused"`  // announcements refused because the View is full
	Watching  int    `json:"watching"` // services that are watched, 0 means all
}

// Stats returns counters for metrics and dashboards.
func (v *View) Stats() ViewStats {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return ViewStats{
		Instances: v.table.count, Services: len(v.table.services), Suspects: v.table.suspects, Bytes: v.table.bytes,
		Changes: v.table.history.seq, Asking: len(v.inquiries), Bad: v.bad.Load(), Refused: v.table.refused,
		Watching: len(v.services),
	}
}
