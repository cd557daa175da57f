package registrar

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// lease is how long a watch lives without being renewed.
	lease = 30 * time.Second
	// window is how many messages a watch sends beyond those that the watcher
	// has said it has read. Changes that come meanwhile wait in the view; when
	// they are too many for it, the watcher gets a snapshot in their place.
	window = 1024
	// maxSnapshots bounds the snapshots that are being sent at the same time;
	// one more waits.
	maxSnapshots = 16
	// maxWatchMessage bounds a message of a watch; an instance that would need
	// more is told without its endpoints.
	maxWatchMessage = 128 << 10
)

// watchRequest starts, renews or ends a watch.
type watchRequest struct {
	Service  string  `json:"service"`
	Snapshot bool    `json:"snapshot"`
	After    *uint64 `json:"after"`
	Renew    string  `json:"renew"`
	Cancel   string  `json:"cancel"`
	N        uint64  `json:"n"`
}

// watchMessage is everything that a watcher gets.
type watchMessage struct {
	N   uint64 `json:"n"`
	Seq uint64 `json:"seq"`

	Watch     string `json:"watch,omitempty"`
	Registrar string `json:"registrar,omitempty"`
	Lease     int64  `json:"lease_ms,omitempty"`
	Window    int    `json:"window,omitempty"`

	Action  discovery.Action   `json:"action,omitempty"`
	Service *discovery.Service `json:"service,omitempty"`
	State   discovery.State    `json:"state,omitempty"`
	Reason  string             `json:"reason,omitempty"`
	At      string             `json:"at,omitempty"`

	Snapshot string `json:"snapshot,omitempty"`
	Renewed  string `json:"renewed,omitempty"`
	End      string `json:"end,omitempty"`
}

// watches are those being served.
type watches struct {
	r         *Registrar
	snapshots chan struct{}
	wg        sync.WaitGroup

	mu    sync.Mutex
	all   map[string]*watch
	ended bool
}

// A watch tells one watcher what happens.
type watch struct {
	r       *Registrar
	id      string
	service string
	reply   string // where messages go
	back    string // where the broker says that the watcher is gone
	cancel  context.CancelFunc
	lease   *time.Timer
	room    chan struct{} // the watcher has read on

	mu   sync.Mutex
	sent uint64
	read uint64
	seq  uint64 // of the last message
}

func (w *watches) init(r *Registrar) {
	w.r, w.all, w.snapshots = r, make(map[string]*watch), make(chan struct{}, maxSnapshots)
}

func (w *watches) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

// watch begins a watch. Its context is that of the registrar.
func (r *Registrar) watch(ctx context.Context, m *nats.Msg) (any, error) {
	var body watchRequest
	if err := read(m, maxBody, &body); err != nil {
		return nil, err
	}
	if len(body.Service) > maxAsked {
		return nil, bus.Errorf(bus.InvalidArgument, "the name of a service of %d bytes, at most %d are allowed", len(body.Service), maxAsked)
	}
	if body.Renew != "" || body.Cancel != "" {
		return nil, bus.Errorf(bus.InvalidArgument, "renew and cancel go to the registrar that serves the watch: mbus.node.%s.<registrar>.%s", Service, methodWatch)
	}
	w := &watch{r: r, id: nuid.Next(), service: body.Service, reply: m.Reply, room: make(chan struct{}, 1)}
	return nil, r.watches.begin(ctx, w, body)
}

func (w *watches) begin(run context.Context, n *watch, body watchRequest) error {
	ctx, cancel := context.WithCancel(run)
	n.cancel = cancel
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || len(w.all) >= w.r.cfg.MaxWatches {
		cancel()
		full := bus.Errorf(bus.ResourceExhausted, "this registrar serves %d watches and takes no more", len(w.all))
		full.Retry = bus.RetrySafe
		return full
	}
	back, release, err := w.r.conn.Expect(func(m *nats.Msg) {
		if bus.NoResponders(m) {
			cancel()
		}
	})
	if err != nil {
		cancel()
		return err
	}
	n.back = back
	n.lease = time.AfterFunc(lease, cancel)
	w.all[n.id] = n
	w.wg.Go(func() {
		n.run(ctx, body)
		cancel()
		n.lease.Stop()
		release()
		w.mu.Lock()
		delete(w.all, n.id)
		w.mu.Unlock()
	})
	return nil
}

// heard takes what a watcher says: that it has read on, or wants no more. It
// runs on the goroutine of the control subjects.
func (w *watches) heard(m *nats.Msg) {
	var body watchRequest
	if err := read(m, maxBody, &body); err != nil {
		if w.r.allowed(m) {
			w.r.fail(m, err)
		}
		return
	}
	id := body.Renew + body.Cancel
	if id == "" {
		w.r.enqueue(w.r.reads, request{m, w.r.watch})
		return
	}
	w.mu.Lock()
	n := w.all[id]
	w.mu.Unlock()
	switch {
	case n == nil:
		if w.r.allowed(m) {
			w.r.fail(m, bus.Errorf(bus.NotFound, "there is no such watch, or its lease has run out; start it again"))
		}
	case body.Cancel != "":
		n.cancel()
	case w.r.allowed(m):
		n.renew(body.N, m.Reply)
	}
}

// end tells all watchers to go elsewhere.
func (w *watches) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, n := range w.all {
		n.stop("the registrar stops")
	}
}

func (w *watches) wait() { w.wg.Wait() }

// renew prolongs the lease and answers with what has been sent, behind it.
func (w *watch) renew(read uint64, reply string) {
	w.lease.Reset(lease)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = max(w.read, min(read, w.sent))
	w.r.say(reply, encode(watchMessage{N: w.sent, Seq: w.seq, Renewed: w.id}))
	select {
	case w.room <- struct{}{}:
	default:
	}
}

// stop ends the watch with a word, whether the watcher has read on or not.
func (w *watch) stop(reason string) {
	w.mu.Lock()
	w.sent++
	w.r.say(w.reply, encode(watchMessage{N: w.sent, Seq: w.seq, End: reason}))
	w.mu.Unlock()
	w.cancel()
}

func (w *watch) run(ctx context.Context, body watchRequest) {
	seq := w.r.view.Stats().Changes
	whole := body.Snapshot
	if body.After != nil {
		whole = whole || *body.After > seq
		seq = min(seq, *body.After)
	}
	hello := watchMessage{Seq: seq, Watch: w.id, Registrar: w.r.cfg.ID, Lease: lease.Milliseconds(), Window: window}
	if !w.send(ctx, hello) {
		return
	}
	for ctx.Err() == nil {
		if whole && !w.snapshot(ctx, &seq) {
			return
		}
		w.follow(ctx, seq)
		whole = true // it was too slow for the view
	}
}

// follow sends changes until some are lost or the watch ends.
func (w *watch) follow(ctx context.Context, seq uint64) {
	for c := range w.r.view.ChangesAfter(ctx, seq) {
		if c.Action == discovery.Resync {
			return
		}
		if w.service != "" && w.service != c.Instance.Service {
			continue
		}
		if !w.send(ctx, message(c.Seq, c.Action, c.Instance, c.Reason, c.At)) {
			return
		}
	}
}

// snapshot sends everyone who is there, and moves seq to that time.
func (w *watch) snapshot(ctx context.Context, seq *uint64) bool {
	select {
	case w.r.watches.snapshots <- struct{}{}:
		defer func() { <-w.r.watches.snapshots }()
	case <-ctx.Done():
		return false
	}
	all, now := w.r.view.Snapshot()
	if w.service != "" {
		var some []discovery.Instance
		for _, i := range all {
			if i.Service == w.service {
				some = append(some, i)
			}
		}
		all = some
	}
	*seq = now
	if !w.send(ctx, watchMessage{Seq: now, Snapshot: "begin", At: stamp(time.Now())}) {
		return false
	}
	for _, i := range all {
		if !w.send(ctx, message(now, discovery.Create, i, "", i.LastSeen)) {
			return false
		}
	}
	return w.send(ctx, watchMessage{Seq: now, Snapshot: "end", At: stamp(time.Now())})
}

func message(seq uint64, action discovery.Action, i discovery.Instance, reason string, at time.Time) watchMessage {
	service := discovery.Services([]discovery.Instance{i}, nil)[0]
	return watchMessage{
		Seq: seq, Action: action, Service: &service, State: i.State, Reason: reason,
		At: stamp(at),
	}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// send waits until the watcher has room for the message.
func (w *watch) send(ctx context.Context, m watchMessage) bool {
	for {
		if sent, ok := w.trySend(&m); ok {
			return sent
		}
		select {
		case <-w.room:
		case <-ctx.Done():
			return false
		}
	}
}

func (w *watch) trySend(m *watchMessage) (sent, room bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent-w.read >= window {
		return false, false
	}
	m.N = w.sent + 1
	data, err := json.Marshal(m)
	if limit := min(maxWatchMessage, w.r.conn.MaxPayload()*3/4); err == nil && len(data) > limit && m.Service != nil {
		bare := *m.Service
		bare.Endpoints = []discovery.ServiceEndpoint{}
		m.Service = &bare
		data, err = json.Marshal(m)
	}
	if err == nil {
		err = w.r.conn.Publish(context.Background(), w.reply, w.back, nil, data)
	}
	if err != nil {
		return false, true // the watcher starts again when it misses this one
	}
	w.sent++
	w.seq = m.Seq
	return true, true
}
