package discovery

import (
	"cmp"
	"maps"
	"slices"
	"time"
	"unsafe"
)

const (
	// missedBeats is after how many an instance is suspect.
	missedBeats = 3
	// beatGrace is for beats that are under way.
	beatGrace = 200 * time.Millisecond
	// loadRefresh is how old the loads may be that Instances shows.
	loadRefresh = 50 * time.Millisecond
)

// key names an instance.
type key struct{ service, id string }

// connection names a connection on the broker.
type connection struct {
	server string
	id     uint64
}

// A table is everything that a View knows. It does no I/O, and its owner locks
// it.
type table struct {
	maxInstances int
	maxBytes     int

	services map[string]*group
	clients  map[connection]map[key]struct{}
	count    int
	bytes    int
	suspects int
	refused  uint64
	history  history
	gone     lastSeen
	nextDue  time.Time // no entry is due before; zero while there is none
}

// A group is the instances of one service.
type group struct {
	entries map[string]*entry
	latest  *entry // whose endpoints and metadata others probably share

	ready    []Instance // the cache behind View.Instances; nil when out of date
	loadsOld time.Time  // since when the loads in ready are out of date
}

// An entry is one instance.
type entry struct {
	inst    Instance // State is what was announced
	suspect bool
	polled  bool // known from $SRV only: it does not announce itself
	size    int
	due     time.Time // when silence makes it suspect
}

func newTable(maxInstances, maxBytes int) *table {
	return &table{
		maxInstances: maxInstances, maxBytes: maxBytes,
		services: make(map[string]*group), clients: make(map[connection]map[key]struct{}),
	}
}

func (t *table) get(k key) *entry {
	if g := t.services[k.service]; g != nil {
		return g.entries[k.id]
	}
	return nil
}

// put takes in what an instance says about itself, or what $SRV says about it
// if polled. It is false if the table is full.
func (t *table) put(i Instance, size int, polled bool, now time.Time) bool {
	k := key{i.Service, i.ID}
	i.LastSeen = now
	e := t.get(k)
	if e == nil {
		return t.add(k, i, size, polled, now)
	}
	if !polled && i.Rev < e.inst.Rev && i.Started.Equal(e.inst.Started) {
		return true // overtaken by what came on another way
	}
	i.Load, i.InFlight = e.inst.Load, e.inst.InFlight
	need := footprint(&i, size)
	if t.bytes-e.size+need > t.maxBytes {
		t.refused++
		return false
	}
	t.bytes += need - e.size
	e.size = need
	g := t.services[k.service]
	changed := e.suspect || !e.inst.same(&i)
	if e.inst.Server != i.Server || e.inst.Client != i.Client {
		g.ready = nil // no change to watchers, but those who choose by nearness look here
	}
	t.unlink(k, &e.inst)
	g.share(&i)
	e.inst, e.polled = i, polled
	t.link(k, &i)
	t.trust(e)
	t.refresh(e, now)
	if changed {
		g.ready = nil
		t.history.add(Change{Action: Update, Instance: e.shown(), At: now}, e.size)
	}
	g.latest = e
	return true
}

func (t *table) add(k key, i Instance, size int, polled bool, now time.Time) bool {
	need := footprint(&i, size)
	if t.count >= t.maxInstances || t.bytes+need > t.maxBytes {
		t.refused++
		return false
	}
	g := t.services[k.service]
	if g == nil {
		g = &group{entries: make(map[string]*entry)}
		t.services[k.service] = g
	}
	g.share(&i)
	e := &entry{inst: i, polled: polled, size: need}
	g.entries[k.id], g.latest, g.ready = e, e, nil
	t.count++
	t.bytes += need
	t.link(k, &i)
	t.refresh(e, now)
	t.history.add(Change{Action: Create, Instance: e.shown(), At: now}, need)
	return true
}

// share lets instances of one service that offer the same have one copy of it.
func (g *group) share(i *Instance) {
	if g.latest == nil {
		return
	}
	like := &g.latest.inst
	if sameEndpoints(i.Endpoints, like.Endpoints) {
		i.Endpoints = like.Endpoints
	}
	if maps.Equal(i.Metadata, like.Metadata) {
		i.Metadata = like.Metadata
	}
	if slices.Equal(i.Codecs, like.Codecs) {
		i.Codecs = like.Codecs
	}
}

// footprint estimates what an instance takes in memory: size bytes on the wire
// become strings, and each part has a header.
func footprint(i *Instance, size int) int {
	const perPair = 4 * unsafe.Sizeof("")
	pairs := len(i.Metadata) + len(i.ServiceMetadata)
	for n := range i.Endpoints {
		e := &i.Endpoints[n]
		pairs += len(e.Metadata) + e.RequestValue.count() + e.ResponseValue.count()
	}
	return size + int(2*unsafe.Sizeof(entry{})) + pairs*int(perPair) + len(i.Endpoints)*int(unsafe.Sizeof(Endpoint{}))
}

// touch takes in a beat. known is false if the instance, or its news, must be
// asked for.
func (t *table) touch(k key, b beat, now time.Time) (known bool) {
	e := t.get(k)
	if e == nil {
		return false
	}
	if every := interval(b.Interval); every != e.inst.Interval {
		e.inst.Interval = every
	}
	if b.Load != e.inst.Load || b.InFlight != e.inst.InFlight {
		e.inst.Load, e.inst.InFlight = b.Load, b.InFlight
		if g := t.services[k.service]; g.loadsOld.IsZero() {
			g.loadsOld = now
		}
	}
	t.alive(k, now)
	return e.inst.Rev == b.Rev && !e.polled
}

// alive notes that an instance has shown itself.
func (t *table) alive(k key, now time.Time) {
	e := t.get(k)
	if e == nil {
		return
	}
	e.inst.LastSeen = now
	t.refresh(e, now)
	if e.suspect {
		t.trust(e)
		t.changed(k, e, now)
	}
}

func (t *table) changed(k key, e *entry, now time.Time) {
	t.services[k.service].ready = nil
	t.history.add(Change{Action: Update, Instance: e.shown(), At: now}, e.size)
}

// refresh gives an instance time for its next beats.
func (t *table) refresh(e *entry, now time.Time) {
	e.due = now.Add(allowance(e.inst.Interval))
	if t.nextDue.IsZero() || e.due.Before(t.nextDue) {
		t.nextDue = e.due
	}
}

// allowance is how long an instance may be silent: three intervals, each of
// which may be a tenth longer.
func allowance(every time.Duration) time.Duration {
	return every*missedBeats*11/10 + beatGrace
}

func (t *table) drain(k key, l leave, now time.Time) {
	e := t.get(k)
	if e == nil || e.inst.State == StateDraining {
		return
	}
	if l.Rev != 0 && l.Rev <= e.inst.Rev {
		return // overtaken: it is back by now, and if it is not, a beat will show
	}
	e.inst.State = StateDraining
	if l.Rev == e.inst.Rev+1 { // else other news was missed, which a beat will show
		e.inst.Rev = l.Rev
	}
	t.changed(k, e, now)
}

// due returns the instances that have been silent for too long, and computes
// when to look next.
func (t *table) due(now time.Time) []key {
	var out []key
	t.nextDue = time.Time{}
	for name, g := range t.services {
		for id, e := range g.entries {
			switch {
			case !e.due.After(now):
				out = append(out, key{name, id})
			case t.nextDue.IsZero() || e.due.Before(t.nextDue):
				t.nextDue = e.due
			}
		}
	}
	return out
}

// suspicious marks an instance as not to be chosen. Until someone answers for
// it, it stays due.
func (t *table) suspicious(k key, now time.Time) {
	e := t.get(k)
	if e == nil || e.suspect {
		return
	}
	e.suspect = true
	t.suspects++
	t.changed(k, e, now)
}

// trust ends a suspicion.
func (t *table) trust(e *entry) {
	if e.suspect {
		e.suspect = false
		t.suspects--
	}
}

// remove takes an instance out. If from names a connection, only an instance
// on that connection is meant.
func (t *table) remove(k key, from connection, reason string, now time.Time) bool {
	e := t.get(k)
	if e == nil || from.server != "" && from != (connection{e.inst.Server, e.inst.Client}) {
		return false
	}
	g := t.services[k.service]
	delete(g.entries, k.id)
	g.ready = nil
	if g.latest == e {
		g.latest = nil
	}
	t.count--
	t.bytes -= e.size
	t.trust(e)
	t.unlink(k, &e.inst)
	t.history.add(Change{Action: Delete, Instance: e.shown(), Reason: reason, At: now}, e.size)
	if len(g.entries) == 0 {
		delete(t.services, k.service)
		t.gone.set(k.service, e.inst.LastSeen)
	}
	return true
}

// rebase gives everyone time anew: nothing could be heard until now.
func (t *table) rebase(now time.Time) {
	for name, g := range t.services {
		for id, e := range g.entries {
			t.refresh(e, now)
			if e.suspect {
				t.trust(e)
				t.changed(key{name, id}, e, now)
			}
		}
	}
}

func (t *table) link(k key, i *Instance) {
	if i.Server == "" {
		return
	}
	c := connection{i.Server, i.Client}
	if t.clients[c] == nil {
		t.clients[c] = make(map[key]struct{})
	}
	t.clients[c][k] = struct{}{}
}

func (t *table) unlink(k key, i *Instance) {
	c := connection{i.Server, i.Client}
	if keys := t.clients[c]; keys != nil {
		delete(keys, k)
		if len(keys) == 0 {
			delete(t.clients, c)
		}
	}
}

// fresh reports whether the cached list of a service may still be shown.
func (g *group) fresh(now time.Time) bool {
	return g.ready != nil && (g.loadsOld.IsZero() || now.Sub(g.loadsOld) < loadRefresh)
}

func (g *group) rebuild() []Instance {
	ready := make([]Instance, 0, len(g.entries))
	for _, e := range g.entries {
		if i := e.shown(); i.State == StateUp {
			ready = append(ready, i)
		}
	}
	slices.SortFunc(ready, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	g.ready, g.loadsOld = ready, time.Time{}
	return ready
}

// shown is the instance as others see it.
func (e *entry) shown() Instance {
	i := e.inst
	if e.suspect {
		i.State = StateSuspect
	}
	return i
}
