package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// registrarService is the service that registrars are instances of, and
	// watchMethod where one of them hears of its watches.
	registrarService = "mbus"
	watchMethod      = "watch"
	// watchStart bounds the wait for the first message of a watch.
	watchStart = 5 * time.Second
	// watchRetry is the most that a watch waits before it starts again: all
	// watches of a registrar lose it at the same time.
	watchRetry = 500 * time.Millisecond
	// maxUnread bounds the messages that wait to be read. A registrar sends no
	// more than half as many that it does not know to be read; when it does, the
	// newest are lost, which shows in their numbers.
	maxUnread = 2048
	// maxWatchLease bounds the lease that a registrar may give.
	maxWatchLease = 10 * time.Minute
)

// A RegistryChange is one event of the registry.
type RegistryChange struct {
	Action Action `json:"action"` // Create, Update or Delete
	// Service has the one node that is concerned. What messages look like is
	// not described: Get tells.
	Service Service `json:"service"`
	State   State   `json:"state,omitempty"`
	// Reason says why a node was deleted, for people.
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"` // by the clock of the registrar, to the millisecond
}

// WatchRegistry yields the changes of one service, or of all if service is
// empty, as a registrar tells them, until ctx ends. With snapshot it first
// yields a Create for every node that is there.
//
// It costs far less than a [View], since it hears no beats, and it needs a
// registrar: without one it yields an error with End Nobody and ends. Once it
// has begun it yields no errors: it finds another registrar when its own is
// gone, comes back after a restart of the broker, and then yields what has
// become different meanwhile. Its memory grows with the nodes that it watches,
// of which it remembers 100,000.
func WatchRegistry(ctx context.Context, conn *bus.Conn, service string, snapshot bool) iter.Seq2[RegistryChange, error] {
	return func(yield func(RegistryChange, error) bool) {
		if service != "" {
			if err := checkAsked(service); err != nil {
				yield(RegistryChange{}, err)
				return
			}
		}
		w := registryWatch{
			conn: conn, service: service, quiet: !snapshot, seed: maphash.MakeSeed(),
			known: make(map[nodeKey]knownNode), yield: func(c RegistryChange) bool { return yield(c, nil) },
		}
		for ctx.Err() == nil {
			err := w.once(ctx)
			if errors.Is(err, errWatchLeft) || ctx.Err() != nil {
				return
			}
			if err != nil && !w.begun {
				yield(RegistryChange{}, noRegistrar(err, "watch"))
				return
			}
			w.pause(ctx)
		}
	}
}

// errWatchLeft says that the reader of a watch wants no more.
var errWatchLeft = errors.New("left")

// A registryWatch follows the registry through one registrar after another.
type registryWatch struct {
	conn    *bus.Conn
	service string
	yield   func(RegistryChange) bool
	seed    maphash.Seed

	begun     bool // a registrar has answered once
	quiet     bool // the first snapshot is not yielded
	whole     bool // known is all there was at seq
	registrar string
	seq       uint64
	known     map[nodeKey]knownNode
	fresh     map[nodeKey]knownNode // of a snapshot that is being read
}

type nodeKey struct{ service, id string }

// A knownNode is what a Delete yields, and the hash of what was yielded last.
type knownNode struct {
	service Service
	sum     uint64
}

// A registryMessage is any message of a watch; see package registrar.
type registryMessage struct {
	N         uint64          `json:"n"`
	Seq       uint64          `json:"seq"`
	Watch     string          `json:"watch"`
	Registrar string          `json:"registrar"`
	Lease     int64           `json:"lease_ms"`
	Window    uint64          `json:"window"`
	Action    Action          `json:"action"`
	Service   json.RawMessage `json:"service"`
	State     State           `json:"state"`
	Reason    string          `json:"reason"`
	At        time.Time       `json:"at"`
	Snapshot  string          `json:"snapshot"`
	Renewed   string          `json:"renewed"`
	End       string          `json:"end"`
}

type watchRequest struct {
	Service  string  `json:"service,omitempty"`
	Snapshot bool    `json:"snapshot,omitempty"`
	After    *uint64 `json:"after,omitempty"`
	Renew    string  `json:"renew,omitempty"`
	Cancel   string  `json:"cancel,omitempty"`
	N        uint64  `json:"n,omitempty"`
}

// A reading is one watch at one registrar.
type reading struct {
	w        *registryWatch
	reply    string
	messages chan *nats.Msg
	id       string
	n        uint64 // messages read
	said     uint64 // messages that the registrar knows to be read
	window   uint64
	renew    time.Duration
	timer    *time.Timer
	silence  *time.Timer // ends the watch when nothing comes
}

// once watches at one registrar until that ends: with errWatchLeft if the
// reader has left, nil or an error if another try is worth it.
func (w *registryWatch) once(ctx context.Context) error {
	r := &reading{
		w: w, messages: make(chan *nats.Msg, maxUnread), window: maxUnread / 2, renew: watchStart,
		timer: time.NewTimer(watchStart), silence: time.NewTimer(watchStart),
	}
	defer r.timer.Stop()
	defer r.silence.Stop()
	reply, release, err := w.conn.Expect(func(m *nats.Msg) {
		select {
		case r.messages <- m:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer release()
	r.reply = reply
	changed := w.conn.Changed()
	subject, request := wire.RegistrySubject(wire.RegistryWatch), watchRequest{Service: w.service, Snapshot: true}
	if w.whole && w.registrar != "" {
		subject, request = wire.NodeSubject(registrarService, w.registrar, watchMethod), watchRequest{Service: w.service, After: &w.seq}
	}
	w.fresh = nil
	if err := r.say(ctx, subject, request); err != nil {
		return err
	}
	defer r.cancel()
	for {
		select {
		case m := <-r.messages:
			if err := r.take(ctx, m); err != nil {
				return err
			}
		case <-r.timer.C:
			if err := r.acknowledge(ctx); err != nil {
				return err
			}
		case <-r.silence.C:
			w.registrar = ""
			return bus.Errorf(bus.DeadlineExceeded, "the registrar does not answer")
		case <-changed:
			return w.lost()
		case <-ctx.Done():
			return nil
		}
	}
}

// lost says why a watch cannot go on when its connection has changed.
func (w *registryWatch) lost() error {
	return &bus.Error{Code: bus.Unavailable, End: bus.Broker, Status: bus.Unavailable.Status(), Message: "lost the broker while watching the registry"}
}

// pause waits before the next try, for the broker if it is away.
func (w *registryWatch) pause(ctx context.Context) {
	wait := time.NewTimer(watchRetry/10 + rand.N(watchRetry))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	for !w.conn.Connected() {
		changed := w.conn.Changed()
		if w.conn.Connected() {
			return
		}
		select {
		case <-changed:
		case <-w.conn.Closed():
			<-ctx.Done()
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *reading) say(ctx context.Context, subject string, request watchRequest) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return r.w.conn.Publish(ctx, subject, r.reply, nil, data)
}

// acknowledge tells the registrar what has been read, which also prolongs the
// lease. Its answer comes behind everything that it has sent before.
func (r *reading) acknowledge(ctx context.Context) error {
	r.timer.Reset(r.renew)
	if r.id == "" {
		return nil
	}
	r.said = r.n
	return r.say(ctx, wire.NodeSubject(registrarService, r.w.registrar, watchMethod), watchRequest{Renew: r.id, N: r.n})
}

// cancel tells the registrar that nobody reads. If it does not hear that, the
// lease runs out.
func (r *reading) cancel() {
	if r.id != "" && r.w.registrar != "" {
		r.reply = ""
		_ = r.say(context.Background(), wire.NodeSubject(registrarService, r.w.registrar, watchMethod), watchRequest{Cancel: r.id})
	}
}

func (r *reading) take(ctx context.Context, raw *nats.Msg) error {
	if bus.NoResponders(raw) {
		err := bus.Errorf(bus.Unavailable, "nobody listens on %s", wire.RegistrySubject(wire.RegistryWatch))
		err.End = bus.Nobody
		r.w.registrar = ""
		return err
	}
	if e := bus.ReplyError(raw); e != nil {
		return e
	}
	if err := codec.Guard(codec.JSON, raw.Data); err != nil {
		return err
	}
	var m registryMessage
	if err := json.Unmarshal(raw.Data, &m); err != nil {
		return bus.Errorf(bus.DataLoss, "a message of the registrar: %w", err)
	}
	r.silence.Reset(3 * r.renew)
	if m.Renewed != "" {
		if m.N != r.n {
			return r.gap(m.N)
		}
		return nil
	}
	if r.n++; m.N != r.n {
		return r.gap(m.N)
	}
	if err := r.w.take(r, &m); err != nil {
		return err
	}
	if r.n-r.said >= r.window/4 {
		return r.acknowledge(ctx)
	}
	return nil
}

func (r *reading) gap(n uint64) error {
	return bus.Errorf(bus.DataLoss, "message %d of the registrar came after message %d", n, r.n)
}

// take follows a message that is the next one of its watch.
func (w *registryWatch) take(r *reading, m *registryMessage) error {
	switch {
	case m.End != "":
		w.registrar = ""
		return bus.Errorf(bus.Unavailable, "%s", m.End)
	case m.Watch != "":
		w.begun, w.registrar, r.id = true, m.Registrar, m.Watch
		if m.Window > 0 {
			r.window = min(m.Window, maxUnread/2)
		}
		if m.Lease > 0 {
			r.renew = min(time.Duration(min(m.Lease, maxWatchLease.Milliseconds()))*time.Millisecond, maxWatchLease) / 3
		}
		r.timer.Reset(r.renew)
		r.silence.Reset(3 * r.renew)
		return nil
	case m.Snapshot == "begin":
		w.fresh = make(map[nodeKey]knownNode)
		return nil
	case m.Snapshot == "end":
		return w.settle(m)
	case m.Action != "":
		if err := w.change(m); err != nil {
			return err
		}
		if w.whole && w.fresh == nil {
			w.seq = m.Seq
		}
	}
	return nil
}

// change yields what is new to the reader.
func (w *registryWatch) change(m *registryMessage) error {
	var s Service
	if err := json.Unmarshal(m.Service, &s); err != nil {
		return bus.Errorf(bus.DataLoss, "a change of the registrar: %w", err)
	}
	if len(s.Nodes) != 1 {
		return bus.Errorf(bus.DataLoss, "a change of the registrar with %d nodes", len(s.Nodes))
	}
	k := nodeKey{s.Name, s.Nodes[0].ID}
	was, there := w.known[k]
	c := RegistryChange{Action: m.Action, Service: s, State: m.State, Reason: m.Reason, At: m.At}
	if m.Action == Delete {
		delete(w.known, k)
		if !there {
			return nil
		}
		return w.tell(c)
	}
	n := knownNode{service: s, sum: maphash.Bytes(w.seed, m.Service) + maphash.String(w.seed, string(m.State))}
	n.service.Endpoints = []ServiceEndpoint{}
	if w.fresh != nil {
		w.fresh[k] = n
	}
	if len(w.known) < defaultMaxInstances {
		w.known[k] = n
	}
	switch {
	case !there:
		c.Action = Create
	case was.sum == n.sum:
		return nil
	default:
		c.Action = Update
	}
	return w.tell(c)
}

// settle ends a snapshot: what was not in it is gone.
func (w *registryWatch) settle(m *registryMessage) error {
	for k, n := range w.known {
		if _, there := w.fresh[k]; there {
			continue
		}
		delete(w.known, k)
		if err := w.tell(RegistryChange{Action: Delete, Service: n.service, At: m.At}); err != nil {
			return err
		}
	}
	w.seq, w.whole, w.fresh, w.quiet = m.Seq, true, nil, false
	return nil
}

func (w *registryWatch) tell(c RegistryChange) error {
	if !w.quiet && !w.yield(c) {
		return errWatchLeft
	}
	return nil
}
