package discovery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// AnnouncerConfig says who an instance is. Only Name is required.
type AnnouncerConfig struct {
	// Name is the service's, with dots.
	Name string
	// ID is the instance's, 1 to 128 printable ASCII bytes; empty means a new
	// NUID.
	ID string
	// Version is free text; ADR-32 tools see 0.0.0 unless it is semver.
	Version string
	// Description is shown by ADR-32 tools.
	Description string
	// Metadata is fixed for the life of the instance. Keys under "mbus." are
	// refused.
	Metadata map[string]string
	// Endpoints are the methods at the start; Update changes them.
	Endpoints []Endpoint
	// Codecs are the short names of the encodings that calls may have; none
	// means json and msgpack.
	Codecs []string
	// Batch is the most calls in one message that the instance reads. 0 means
	// that it reads no batches.
	Batch int
	// Interval is the time between beats. 0 means the pace of the bus: what a
	// registrar says, two seconds without one.
	Interval time.Duration
	// Load tells the load (0 to 100) and the calls in flight for the next beat;
	// nil means neither is known. Like Stats it is called often and must not
	// block.
	Load func() (load, inFlight int)
	// Stats tells the counters behind $SRV.STATS, by method; nil means all are
	// zero. It is called on the goroutine that serves the control subjects of
	// the whole connection.
	Stats func() []EndpointStats
	// Address announces an app that is not on the bus: a registrar does so for
	// the apps registered with it. Such an instance does not answer $SRV, since
	// it cannot be called there. Port, TTL and ServiceMetadata go with it.
	Address         string
	Port            int
	TTL             time.Duration
	ServiceMetadata map[string]string
	// Expires is when that registration ends. Watchers learn how long it still
	// is. Zero means never.
	Expires time.Time
	// Started and Rev are for a registrar that announces an app after another
	// one, or anew: since when it is there, and the first revision to announce.
	// Zero means now, and 1.
	Started time.Time
	Rev     uint64

	Logger zerolog.Logger
}

// An Announcer makes one instance known: it announces it, beats, and answers
// those who ask. It is a [bus.Runner], with one goroutine; all announcers of a
// connection share its subscriptions. All methods may be called from any
// goroutine.
type Announcer struct {
	conn *bus.Conn
	cfg  AnnouncerConfig
	pace pacer
	kick chan struct{} // the loop should look at the clock again
	grid time.Duration // see beatGrid

	listeners []*bus.Listener
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu      sync.Mutex
	phase   phase
	said    announcement
	bytes   []byte  // of said
	srv     answers // of said
	epoch   uint64  // of the connection that said was said on
	upAt    time.Time
	beatAt  time.Time
	waiting []waiting
}

type phase int

const (
	phaseNew phase = iota
	phaseStarting
	phaseUp
	phaseStopped
)

// waiting is an asker who is answered a little later.
type waiting struct {
	at    time.Time
	reply string
}

const (
	// maxWaiting bounds the askers an announcer keeps waiting. One more than
	// that gets no answer; it still hears the beats.
	maxWaiting = 64
	// reconnectSpread is the time over which the instances of a bus announce
	// themselves anew after a broker's restart.
	reconnectSpread = time.Second
	// retryPause is between two tries to announce when the first one failed.
	retryPause = time.Second
)

// maxTTL bounds the life of a registration.
const maxTTL = 365 * 24 * time.Hour

// NewAnnouncer checks cfg. It announces nothing before Start. Errors are
// invalid_argument, or too_large when the announcement is over 32 KiB.
func NewAnnouncer(conn *bus.Conn, cfg AnnouncerConfig) (*Announcer, error) {
	if cfg.ID == "" {
		cfg.ID = nuid.Next()
	}
	if len(cfg.Codecs) == 0 && cfg.Address == "" {
		cfg.Codecs = []string{codec.JSON.String(), codec.Msgpack.String()}
	}
	if cfg.Interval != 0 {
		cfg.Interval = min(max(cfg.Interval, minInterval), maxInterval)
	}
	a := &Announcer{conn: conn, cfg: cfg, grid: gridOf(conn), kick: make(chan struct{}, 1)}
	if cfg.Started.IsZero() {
		cfg.Started = time.Now()
	}
	a.said = announcement{
		V: ProtocolVersion, Name: cfg.Name, ID: cfg.ID, Version: cfg.Version, Metadata: cfg.Metadata,
		ServiceMetadata: cfg.ServiceMetadata, Endpoints: slices.Clone(cfg.Endpoints), Codecs: cfg.Codecs,
		Started: cfg.Started.UTC().Truncate(time.Millisecond), Rev: max(cfg.Rev, 1),
		Address: cfg.Address, Port: cfg.Port, TTL: cfg.TTL.Milliseconds(),
	}
	if err := checkMetadata(cfg.Metadata, cfg.Endpoints); err != nil {
		return nil, err
	}
	if err := a.encode(time.Now()); err != nil {
		return nil, err
	}
	return a, nil
}

// checkMetadata keeps the names free that mbus itself uses.
func checkMetadata(service map[string]string, endpoints []Endpoint) error {
	reserved := func(where string, m map[string]string) error {
		for key := range m {
			if strings.HasPrefix(key, metaPrefix) {
				return bus.Errorf(bus.InvalidArgument, "metadata %q of %s: names under %q belong to mbus", key, where, metaPrefix)
			}
		}
		return nil
	}
	if err := reserved("the service", service); err != nil {
		return err
	}
	for i := range endpoints {
		if err := reserved("endpoint "+endpoints[i].Name, endpoints[i].Metadata); err != nil {
			return err
		}
	}
	return nil
}

// ID returns the id of the instance; see [Instance.NodeID] for what people see.
func (a *Announcer) ID() string { return a.cfg.ID }

// Start announces the instance and answers for it. It returns once the broker
// has taken the announcement. Besides what the broker says its error can be
// that it was started before.
func (a *Announcer) Start(ctx context.Context) error {
	a.mu.Lock()
	if a.phase != phaseNew {
		a.mu.Unlock()
		return bus.Errorf(bus.Conflict, "announcer of %s: it can be started only once", a.cfg.Name)
	}
	a.phase = phaseStarting
	a.mu.Unlock()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	err := a.listen(run)
	if err == nil {
		err = a.conn.Confirm(ctx, a.listeners...)
	}
	if err == nil {
		err = a.announceFirst(ctx)
	}
	if err != nil {
		cancel()
		a.mu.Lock()
		a.phase = phaseStopped
		a.mu.Unlock()
		_ = a.unlisten(ctx) // err says more
		return err
	}
	a.cancel = cancel
	a.wg.Go(func() { a.loop(run) })
	return nil
}

func (a *Announcer) announceFirst(ctx context.Context) error {
	a.mu.Lock()
	a.epoch = a.conn.Epoch()
	err := a.encode(time.Now())
	data := a.bytes
	a.phase = phaseUp
	a.beatAt = a.firstBeat(time.Now())
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.conn.PublishConfirmed(ctx, a.subject(wire.EventUp), "", nil, data)
}

// Update announces other endpoints. Watchers and askers see them from then on.
func (a *Announcer) Update(ctx context.Context, endpoints []Endpoint) error {
	if err := checkMetadata(nil, endpoints); err != nil {
		return err
	}
	a.mu.Lock()
	before := a.said
	a.said.Endpoints = slices.Clone(endpoints)
	a.said.Rev++
	if err := a.encode(time.Now()); err != nil {
		a.said = before
		a.mu.Unlock()
		return err
	}
	data, up := a.bytes, a.phase == phaseUp
	a.mu.Unlock()
	if !up {
		return nil // Start says it
	}
	return a.whenConnected(a.conn.Publish(ctx, a.subject(wire.EventChange), "", nil, data))
}

// Drain says that the instance takes no new calls. It goes on to beat and to
// answer until Stop, or until Resume. reason is for people.
func (a *Announcer) Drain(ctx context.Context, reason string) error {
	a.mu.Lock()
	if a.phase != phaseUp || a.said.State == StateDraining {
		a.mu.Unlock()
		return nil
	}
	a.said.State = StateDraining
	a.said.Rev++
	err := a.encode(time.Now())
	rev := a.said.Rev
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.whenConnected(a.leave(ctx, wire.EventDrain, leave{Reason: reason, Rev: rev}))
}

// Resume takes a Drain back: the instance takes new calls again.
func (a *Announcer) Resume(ctx context.Context) error {
	a.mu.Lock()
	if a.phase != phaseUp || a.said.State != StateDraining {
		a.mu.Unlock()
		return nil
	}
	a.said.State = StateUp
	a.said.Rev++
	err := a.encode(time.Now())
	data := a.bytes
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.whenConnected(a.conn.Publish(ctx, a.subject(wire.EventChange), "", nil, data))
}

// Stop says that the instance is gone and stops answering for it. Without Start
// it does nothing.
func (a *Announcer) Stop(ctx context.Context) error { return a.end(ctx, true) }

// Release is Stop without a word: the instance goes on, and someone else
// announces it.
func (a *Announcer) Release(ctx context.Context) error { return a.end(ctx, false) }

func (a *Announcer) end(ctx context.Context, down bool) error {
	a.mu.Lock()
	was := a.phase
	a.phase = phaseStopped
	a.mu.Unlock()
	if was != phaseUp {
		return nil
	}
	a.cancel()
	a.wg.Wait()
	var err error
	if down {
		err = a.whenConnected(a.leave(ctx, wire.EventDown, leave{Reason: "stopped"}))
	}
	if a.conn.Connected() && err == nil {
		err = a.whenConnected(a.conn.Flush(ctx))
	}
	if e := a.unlisten(ctx); err == nil {
		err = e
	}
	return err
}

// whenConnected forgets an error that only says that the broker is away: it
// drops our subscriptions itself, and on its return everything is said anew.
func (a *Announcer) whenConnected(err error) error {
	if err != nil && !a.conn.Connected() {
		return nil
	}
	return err
}

func (a *Announcer) leave(ctx context.Context, event string, l leave) error {
	data, err := encodeLeave(l)
	if err != nil {
		return err
	}
	return a.conn.Publish(ctx, a.subject(event), "", nil, data)
}

func (a *Announcer) subject(event string) string {
	return wire.AnnounceSubject(a.cfg.Name, a.cfg.ID, event)
}

// encode prepares the bytes of everything that is said. The caller holds mu, or
// is the constructor.
func (a *Announcer) encode(now time.Time) error {
	a.said.Server, a.said.Client = a.conn.Identity()
	a.said.Interval = a.interval(now).Milliseconds()
	if !a.cfg.Expires.IsZero() {
		a.said.Left = max(a.cfg.Expires.Sub(now).Milliseconds(), 1)
	}
	if err := a.said.check(); err != nil {
		return bus.Errorf(bus.InvalidArgument, "announce %s: %w", a.said.Name, err)
	}
	data, err := encodeAnnouncement(&a.said)
	if err != nil {
		return err
	}
	srv, err := newAnswers(&a.said, a.cfg.Description, a.cfg.Batch)
	if err != nil {
		return err
	}
	a.bytes, a.srv = data, srv
	return nil
}

func (a *Announcer) interval(now time.Time) time.Duration {
	if a.cfg.Interval > 0 {
		return a.cfg.Interval
	}
	return a.pace.now(now).Beat
}

var _ bus.Runner = (*Announcer)(nil)
