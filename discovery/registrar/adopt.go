package registrar

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

// adoptTurn is how much later each further registrar adopts: the one with the
// least id is first, and the others find that it is done.
const adoptTurn = 250 * time.Millisecond

// maxAdoptions bounds the nodes that wait to be adopted. One more is left to
// another registrar, or to its next registration.
const maxAdoptions = 65_536

// adoptions are the nodes whose registrar is gone, until their turn.
type adoptions struct {
	mu  sync.Mutex
	all map[key]struct{}
}

func (a *adoptions) init() { a.all = make(map[key]struct{}) }

// plan is false if the node waits already.
func (a *adoptions) plan(k key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, planned := a.all[k]; planned || len(a.all) >= maxAdoptions {
		return false
	}
	a.all[k] = struct{}{}
	return true
}

// forget ends a plan, and is false if there was none.
func (a *adoptions) forget(k key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, planned := a.all[k]
	delete(a.all, k)
	return planned
}

// adoptLater takes over a node whose registrar is gone, when it is this
// registrar's turn.
func (r *Registrar) adoptLater(i discovery.Instance) {
	k := keyOf(i)
	if !r.peers.was(pairOf(i)) || r.entries.get(k) != nil || !r.adoptions.plan(k) {
		return
	}
	r.later.add(time.Now().Add(r.turn(pairOf(i))), func(ctx context.Context) {
		if r.adoptions.forget(k) {
			r.adopt(ctx, i)
		}
	})
}

// turn is how long this registrar leaves an adoption to others.
func (r *Registrar) turn(gone pair) time.Duration {
	ids := []string{r.cfg.ID}
	for _, i := range r.view.All(Service) {
		if isRegistrar(i) && pairOf(i) != gone && i.State != discovery.StateSuspect && i.ID != r.cfg.ID {
			ids = append(ids, i.ID)
		}
	}
	slices.Sort(ids)
	return time.Duration(slices.Index(ids, r.cfg.ID)) * adoptTurn
}

// adopt announces a node as it was last announced by a registrar that is gone.
func (r *Registrar) adopt(ctx context.Context, was discovery.Instance) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if r.lock(ctx) != nil {
		return
	}
	defer r.unlock()
	k := keyOf(was)
	i, there := r.view.Get(k.service, k.id)
	if r.entries.get(k) != nil || there && (pairOf(i) != pairOf(was) || was.State == discovery.StateSuspect && i.State != was.State) {
		return // somebody else was faster, or it was only late
	}
	if !was.Expires.IsZero() && !was.Expires.After(time.Now()) {
		r.takeDown(ctx, k, "expired")
		return
	}
	if unheard := time.Since(was.LastSeen); unheard > r.watching() {
		// It is only remembered from before the connection was lost.
		if others := r.askAll(ctx, []key{k}); others.have(k, was.Rev, pairOf(was), unheard) {
			return
		}
	}
	if r.entries.len() >= r.cfg.MaxEntries {
		r.log.Warn().Str("service", k.service).Str("node", k.id).Int("entries", r.cfg.MaxEntries).Msg("no room to adopt a node")
		return
	}
	if err := r.announce(ctx, []discovery.AnnouncerConfig{configOf(was)}); err != nil {
		r.log.Warn().Err(err).Str("service", k.service).Str("node", k.id).Msg("a node could not be adopted")
		return
	}
	r.counts.adopted.Add(1)
}

// configOf says the same as an instance did, with the next revision.
func configOf(i discovery.Instance) discovery.AnnouncerConfig {
	return discovery.AnnouncerConfig{
		Name: i.Service, ID: i.ID, Version: i.Version, Metadata: i.Metadata, ServiceMetadata: i.ServiceMetadata,
		Endpoints: i.Endpoints, Codecs: i.Codecs, Address: i.Address, Port: i.Port,
		TTL: i.TTL, Expires: i.Expires, Started: i.Started, Rev: i.Rev + 1,
	}
}

// orphans adopts what was announced on a connection that is gone.
func (r *Registrar) orphans(at pair) {
	for _, i := range r.view.AtClient(at.server, at.client) {
		if i.Registered() {
			r.adoptLater(i)
		}
	}
}

// handOver leaves the entries to another registrar, which adopts them when this
// one says that it is gone. Without another one they are announced as gone.
func (r *Registrar) handOver(ctx context.Context) {
	alone := len(r.live()) == 0
	for _, k := range r.entries.keys() {
		if alone {
			r.takeDown(ctx, k, "the last registrar has stopped")
			continue
		}
		r.release(ctx, r.entries.set(k, nil))
	}
}

// park stops announcing while the broker is away. On the way back others are
// asked first: an entry may have been adopted or deregistered meanwhile.
func (r *Registrar) park(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if r.lock(ctx) != nil {
		return
	}
	defer r.unlock()
	for _, k := range r.entries.keys() {
		e := r.entries.get(k)
		r.release(ctx, e)
		r.entries.set(k, &entry{cfg: e.cfg, from: e.from})
	}
}

// resume announces the parked entries again, and is false if that could not be
// done. away is for how long this registrar could hear nothing.
func (r *Registrar) resume(ctx context.Context, away time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if r.lock(ctx) != nil {
		return false
	}
	defer r.unlock()
	var parked []key
	for _, k := range r.entries.keys() {
		if r.entries.get(k).announcer == nil {
			parked = append(parked, k)
		}
	}
	if len(parked) == 0 {
		return true
	}
	others := r.askAll(ctx, parked)
	var again []discovery.AnnouncerConfig
	for _, k := range parked {
		e := r.entries.get(k)
		over := !e.cfg.Expires.IsZero() && !e.cfg.Expires.After(time.Now())
		if over || others.have(k, e.cfg.Rev, e.from, away) {
			r.entries.set(k, nil)
			continue
		}
		cfg := e.cfg
		cfg.Rev++
		again = append(again, cfg)
	}
	if err := r.announce(ctx, again); err != nil {
		r.log.Warn().Err(err).Int("nodes", len(again)).Msg("entries could not be announced after a reconnect, trying again")
		return false
	}
	return true
}

// have reports whether others have taken over a node that was announced so, or
// know that it has been removed: they have watched for longer than nothing was
// heard of it here.
func (o *opinions) have(k key, rev uint64, from pair, unheard time.Duration) bool {
	known := o.known[k]
	for _, n := range known {
		if n.Rev > rev && n.at() != from {
			return true
		}
	}
	return len(known) == 0 && o.watching > unheard
}
