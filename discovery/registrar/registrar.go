package registrar

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
)

// Service is the name under which registrars announce themselves.
const Service = "mbus"

// Role is what the metadata "role" of an instance of Service says if it is a
// registrar.
const Role = "registrar"

const (
	defaultMaxEntries   = 4096
	defaultMaxWatches   = 1024
	defaultMaxInstances = 100_000
)

// A Config changes a Registrar. The zero Config is a good one.
type Config struct {
	// System is a connection to the same brokers with a user of the system
	// account: with it the registrar learns at once of every connection that
	// ends. Without it a crash shows by missing beats. The registrar does not
	// close it.
	System *bus.Conn

	// ID is the id of this registrar's instance of "mbus"; empty means a new
	// NUID.
	ID string
	// Version is announced; empty means none.
	Version string
	// Metadata is announced beside "role".
	Metadata map[string]string

	// MaxEntries bounds the nodes that this registrar announces for apps that
	// are not on the bus. At the bound a new one is refused with
	// resource_exhausted. 0 means 4096.
	MaxEntries int
	// MaxWatches bounds the watches it serves; one more is refused with
	// resource_exhausted and may try another registrar. 0 means 1024.
	MaxWatches int
	// MaxInstances bounds the instances it knows. At the bound new ones are not
	// listed and counted in Stats. 0 means 100,000.
	MaxInstances int

	// Logger receives what cannot be returned. Its zero value is silent.
	Logger zerolog.Logger
}

// A Registrar serves the registry subjects on one connection. It is a
// [bus.Runner]; all its methods may be called from any goroutine.
type Registrar struct {
	conn *bus.Conn
	cfg  Config
	log  zerolog.Logger

	view      *discovery.View
	announcer *discovery.Announcer
	front     []*bus.Listener // the registry subjects, drained first
	back      []*bus.Listener // what other registrars and the broker say

	reads     chan request
	writes    chan request
	closing   chan struct{} // closed when nothing more is put into reads and writes
	kick      chan struct{} // the loop should look again
	writing   chan struct{} // holds one token; who has it may change entries
	schemas   schemas
	listing   listing
	later     later
	peers     peers
	watches   watches
	entries   entries
	adoptions adoptions

	began   time.Time // set by Start
	cancel  context.CancelFunc
	workers sync.WaitGroup
	loops   sync.WaitGroup

	counts struct{ requests, refused, dropped, downs, adopted atomic.Uint64 }

	mu      sync.Mutex
	phase   phase
	stopped chan struct{} // closed at the end of Stop
	since   time.Time     // since when the view has seen everything; zero while the broker is away
}

type phase int

const (
	phaseNew phase = iota
	phaseStarting
	phaseUp
	phaseStopping
)

// New checks cfg. It does nothing on the bus before Start. Errors are
// invalid_argument.
func New(conn *bus.Conn, cfg Config) (*Registrar, error) {
	if cfg.MaxEntries < 0 || cfg.MaxWatches < 0 || cfg.MaxInstances < 0 {
		return nil, bus.Errorf(bus.InvalidArgument, "registrar: a bound is negative; 0 means the usual one")
	}
	if cfg.ID == "" {
		cfg.ID = nuid.Next()
	}
	cfg.MaxEntries = orElse(cfg.MaxEntries, defaultMaxEntries)
	cfg.MaxWatches = orElse(cfg.MaxWatches, defaultMaxWatches)
	cfg.MaxInstances = orElse(cfg.MaxInstances, defaultMaxInstances)
	meta := map[string]string{"role": Role}
	for key, value := range cfg.Metadata {
		if key != "role" {
			meta[key] = value
		}
	}
	announcer, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{
		Name: Service, ID: cfg.ID, Version: cfg.Version, Metadata: meta,
		Description: "the registry of this bus", Endpoints: endpoints(), Codecs: []string{codec.JSON.String()}, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	r := &Registrar{
		conn: conn, cfg: cfg, log: cfg.Logger, announcer: announcer,
		reads: make(chan request, maxReads), writes: make(chan request, maxWrites), closing: make(chan struct{}),
		kick: make(chan struct{}, 1), writing: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	r.later.init()
	r.peers.init()
	r.watches.init(r)
	r.entries.init()
	r.adoptions.init()
	r.schemas.init()
	return r, nil
}

func orElse(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

// ID returns the id of this registrar's instance of "mbus".
func (r *Registrar) ID() string { return r.cfg.ID }

// Start begins to serve once the registrar knows who is there, which takes some
// 200 ms. Its error is what the broker says, or that it was started before.
func (r *Registrar) Start(ctx context.Context) error {
	r.mu.Lock()
	if r.phase != phaseNew {
		r.mu.Unlock()
		return bus.Errorf(bus.Conflict, "registrar %s: it can be started only once", r.cfg.ID)
	}
	r.phase = phaseStarting
	r.mu.Unlock()
	r.began = time.Now()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	// Until the start is over, its context ends everything.
	abort := context.AfterFunc(ctx, cancel)
	err := r.start(ctx, run)
	if !abort() && err == nil {
		err = bus.AsError(context.Cause(ctx))
	}
	if err != nil {
		r.abandon()
		return err
	}
	r.mu.Lock()
	r.phase = phaseUp
	r.mu.Unlock()
	return nil
}

func (r *Registrar) start(ctx, run context.Context) error {
	view, err := discovery.Watch(run, r.conn, discovery.WithMaxInstances(r.cfg.MaxInstances))
	if err != nil {
		return err
	}
	r.view = view
	if err := r.listenBack(); err != nil {
		return err
	}
	select {
	case <-view.Ready():
	case <-ctx.Done():
		return bus.AsError(context.Cause(ctx))
	case <-r.conn.Closed():
		return bus.Errorf(bus.Unavailable, "registrar: the connection is closed")
	}
	r.mu.Lock()
	r.since = time.Now()
	r.mu.Unlock()
	if err := r.conn.Confirm(ctx, r.back...); err != nil {
		return err
	}
	for _, i := range view.All(Service) {
		r.peers.note(i)
	}
	r.loops.Go(func() { r.loop(run) })
	r.loops.Go(func() { r.follow(run) })
	r.loops.Go(func() { r.later.run(run) })
	if err := r.announcer.Start(ctx); err != nil {
		return err
	}
	for range readers {
		r.workers.Go(func() { r.work(run, r.reads) })
	}
	for range writers {
		r.workers.Go(func() { r.work(run, r.writes) })
	}
	if err := r.listenSystem(ctx); err != nil {
		return err
	}
	if err := r.listenFront(); err != nil {
		return err
	}
	if err := r.listenDebug(); err != nil {
		return err
	}
	return r.conn.Confirm(ctx, r.front...)
}

// abandon takes back a start that has failed, without waiting for the broker.
func (r *Registrar) abandon() {
	r.mu.Lock()
	r.phase = phaseStopping
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.end(ctx) // the start's own error says what is wrong
	close(r.stopped)
}

// Stop ends the registrar: requests that have come are answered, watches are
// told to go elsewhere, and the entries are handed to another registrar, or
// announced as gone if there is none.
func (r *Registrar) Stop(ctx context.Context) error {
	r.mu.Lock()
	was := r.phase
	if was == phaseUp {
		r.phase = phaseStopping
	}
	r.mu.Unlock()
	switch was {
	case phaseUp:
		err := r.end(ctx)
		close(r.stopped)
		return err
	case phaseStopping:
		select {
		case <-r.stopped:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (r *Registrar) end(ctx context.Context) error {
	err := drain(ctx, r.front)
	close(r.closing)
	if e := wait(ctx, &r.workers); err == nil {
		err = e
	}
	r.watches.end()
	r.cancel() // from here on nobody but this function works
	r.workers.Wait()
	r.loops.Wait()
	r.watches.wait()
	if r.view != nil {
		r.handOver(ctx)
	}
	if e := r.announcer.Stop(ctx); err == nil {
		err = e
	}
	if e := drain(ctx, r.back); err == nil {
		err = e
	}
	if r.view != nil {
		r.view.Close()
	}
	if !r.conn.Connected() {
		return nil // the broker itself has dropped what could not be taken back
	}
	return err
}

// Stats says how a Registrar is doing.
type Stats struct {
	Instances int    `json:"instances"` // known
	Services  int    `json:"services"`  // known
	Entries   int    `json:"entries"`   // announced for apps that are not on the bus
	Watches   int    `json:"watches"`   // being served
	Requests  uint64 `json:"requests"`  // answered
	Refused   uint64 `json:"refused"`   // refused because too many wait
	Dropped   uint64 `json:"dropped"`   // without a reply subject that may be answered
	Downs     uint64 `json:"downs"`     // announced because a connection had ended
	Adopted   uint64 `json:"adopted"`   // taken over from registrars that are gone
	Late      uint64 `json:"late"`      // checks left out because too many were due
	Unlisted  uint64 `json:"unlisted"`  // announcements not taken in because the view is full
}

// Stats returns counters for metrics and dashboards. Before Start all are zero.
func (r *Registrar) Stats() Stats {
	s := Stats{
		Entries: r.entries.len(), Watches: r.watches.len(), Requests: r.counts.requests.Load(), Refused: r.counts.refused.Load(),
		Dropped: r.counts.dropped.Load(), Downs: r.counts.downs.Load(), Adopted: r.counts.adopted.Load(), Late: r.later.lost(),
	}
	r.mu.Lock()
	view := r.view
	if r.phase == phaseNew || r.phase == phaseStarting {
		view = nil // Start is about to set it
	}
	r.mu.Unlock()
	if view != nil {
		v := view.Stats()
		s.Instances, s.Services, s.Unlisted = v.Instances, v.Services, v.Refused
	}
	return s
}

// drain drains listeners at the same time: each takes a round trip.
func drain(ctx context.Context, listeners []*bus.Listener) error {
	errs := make([]error, len(listeners))
	var wg sync.WaitGroup
	for i, l := range listeners {
		wg.Go(func() { errs[i] = l.Drain(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// wait waits for wg until ctx ends. The goroutine that does ends with wg.
func wait(ctx context.Context, wg *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var _ bus.Runner = (*Registrar)(nil)
