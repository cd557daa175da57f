package registrar

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

// writeLimit bounds each step of a change of the entries.
const writeLimit = 2 * time.Second

// startsAtOnce is how many entries are announced at the same time when many
// are: each takes two round trips.
const startsAtOnce = 32

// A key names a node.
type key struct{ service, id string }

// A pair names a connection on the broker.
type pair struct {
	server string
	client uint64
}

func keyOf(i discovery.Instance) key   { return key{i.Service, i.ID} }
func pairOf(i discovery.Instance) pair { return pair{i.Server, i.Client} }

// entries are the nodes that this registrar announces. Who changes them holds
// the registrar's token writing, which may be held while waiting for the
// broker; mu is for those who only look.
type entries struct {
	mu  sync.Mutex
	all map[key]*entry
}

// An entry is never changed, but replaced.
type entry struct {
	cfg       discovery.AnnouncerConfig
	announcer *discovery.Announcer // nil while the broker is away
	from      pair                 // the connection it was last announced on
}

func (e *entries) init() { e.all = make(map[key]*entry) }

func (e *entries) len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

func (e *entries) get(k key) *entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all[k]
}

// set puts an entry in place of another, or takes it out if it is nil, and
// returns the other.
func (e *entries) set(k key, n *entry) *entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.all[k]
	if n == nil {
		delete(e.all, k)
	} else {
		e.all[k] = n
	}
	return old
}

func (e *entries) keys() []key {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.all))
}

// due returns the entries whose time is over, and when the next one's is.
func (e *entries) due(now time.Time) (over []key, next time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, n := range e.all {
		switch at := n.cfg.Expires; {
		case at.IsZero():
		case !at.After(now):
			over = append(over, k)
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return over, next
}

// lock takes the right to change entries.
func (r *Registrar) lock(ctx context.Context) error {
	select {
	case r.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return bus.AsError(context.Cause(ctx))
	}
}

func (r *Registrar) unlock() { <-r.writing }

// announce announces nodes from here on, instead of what is said about them
// now. When it returns without an error the own view has seen that; errFull says
// that it has not. It goes on when one fails, and returns the first error. The
// caller holds the token.
func (r *Registrar) announce(ctx context.Context, nodes []discovery.AnnouncerConfig) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	errs := make([]error, len(nodes))
	var starts sync.WaitGroup
	slots := make(chan struct{}, startsAtOnce)
	for n := range nodes {
		slots <- struct{}{}
		starts.Go(func() {
			errs[n] = r.announceOne(ctx, nodes[n])
			<-slots
		})
	}
	starts.Wait()
	r.wake() // the next expiry may be another
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(nodes, askBatch) {
		var said []news
		for _, cfg := range batch {
			said = append(said, news{Service: cfg.Name, ID: cfg.ID, Rev: cfg.Rev})
		}
		if !r.confirmOne(ctx, r.cfg.ID, ownTries, said, nil) {
			return errFull
		}
	}
	for _, cfg := range nodes {
		r.recheck(key{cfg.Name, cfg.ID}, false)
	}
	return nil
}

// errFull says that the view has no room for what was announced.
var errFull = errors.New("the registry is full")

// recheck has an entry looked at if the view has it from someone else. gone says
// that someone has announced its end.
func (r *Registrar) recheck(k key, gone bool) {
	e := r.entries.get(k)
	if e == nil {
		return
	}
	if i, there := r.view.Get(k.service, k.id); there && pairOf(i) != e.from || !there && gone {
		r.later.add(time.Now(), func(ctx context.Context) { r.contest(ctx, k, gone) })
	}
}

func (r *Registrar) announceOne(ctx context.Context, cfg discovery.AnnouncerConfig) error {
	cfg.Logger = r.log
	a, err := discovery.NewAnnouncer(r.conn, cfg)
	if err != nil {
		return err
	}
	server, client := r.conn.Identity()
	if err := a.Start(ctx); err != nil {
		return err
	}
	r.release(ctx, r.entries.set(key{cfg.Name, cfg.ID}, &entry{cfg: cfg, announcer: a, from: pair{server, client}}))
	return nil
}

// release stops announcing what an entry stands for, without a word: someone
// else announces it.
func (r *Registrar) release(ctx context.Context, e *entry) {
	if e == nil || e.announcer == nil {
		return
	}
	if err := e.announcer.Release(ctx); err != nil && r.conn.Connected() {
		r.log.Warn().Err(err).Str("service", e.cfg.Name).Str("node", e.cfg.ID).Msg("an entry has ended without the broker's word")
	}
}

// takeDown announces that a node is gone, whoever announces it. The caller
// holds the token.
func (r *Registrar) takeDown(ctx context.Context, k key, reason string) {
	r.release(ctx, r.entries.set(k, nil))
	i, ok := r.view.Get(k.service, k.id)
	if !ok || !i.Registered() {
		return
	}
	if err := discovery.AnnounceDown(ctx, r.conn, i, reason); err != nil && r.conn.Connected() {
		r.log.Warn().Err(err).Str("service", k.service).Str("node", k.id).Msg("a node is gone but its watchers were not told")
	}
}

// expire ends an entry whose time is over.
func (r *Registrar) expire(ctx context.Context, k key) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if r.lock(ctx) != nil {
		return // the loop comes back to it
	}
	defer r.unlock()
	if e := r.entries.get(k); e != nil && !e.cfg.Expires.IsZero() && !e.cfg.Expires.After(time.Now()) {
		r.takeDown(ctx, k, "expired")
	}
}

// contest looks at an entry of which someone else has spoken. What was
// announced last holds: that of the higher revision, and of two with the same
// revision that of the connection that is greater. The other registrar stops
// without a word. gone says that someone has announced its end.
func (r *Registrar) contest(ctx context.Context, k key, gone bool) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if r.lock(ctx) != nil {
		return
	}
	defer r.unlock()
	e := r.entries.get(k)
	if e == nil || e.announcer == nil {
		return
	}
	i, ok := r.view.Get(k.service, k.id)
	switch {
	case !ok && !gone:
	case !ok, !i.Registered():
		// It is over, or it is on the bus by itself.
		r.release(ctx, r.entries.set(k, nil))
	case pairOf(i) == e.from:
	case i.Rev > e.cfg.Rev, i.Rev == e.cfg.Rev && greater(pairOf(i), e.from):
		r.release(ctx, r.entries.set(k, nil))
	default:
		cfg := e.cfg
		cfg.Rev = i.Rev + 1
		if err := r.announce(ctx, []discovery.AnnouncerConfig{cfg}); err != nil && r.conn.Connected() {
			r.log.Warn().Err(err).Str("service", k.service).Str("node", k.id).Msg("two registrars announce this node")
		}
	}
}

func greater(a, b pair) bool {
	return a.server > b.server || a.server == b.server && a.client > b.client
}
