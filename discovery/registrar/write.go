package registrar

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// maxNodes bounds the nodes of one registration.
	maxNodes = 64
	// maxTTL is the longest time to live.
	maxTTL = 365 * 24 * time.Hour
)

type registration struct {
	Service discovery.Service `json:"service"`
	TTL     int64             `json:"ttl_ms"`
}

// done is the answer to register and deregister.
type done struct {
	Nodes int `json:"nodes"`
}

// readRegistration reads and checks what register and deregister have in
// common.
func readRegistration(m *nats.Msg) (registration, error) {
	var body registration
	if err := read(m, maxRegistration, &body); err != nil {
		return body, err
	}
	s := &body.Service
	if err := wire.CheckService(s.Name); err != nil {
		return body, bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	if s.Name == Service {
		return body, bus.Errorf(bus.InvalidArgument, "the name %q belongs to the registrars", Service)
	}
	if len(s.Nodes) == 0 {
		return body, bus.Errorf(bus.InvalidArgument, "service %s: at least one node is required", s.Name)
	}
	if len(s.Nodes) > maxNodes {
		return body, bus.Errorf(bus.TooLarge, "service %s: %d nodes, at most %d are allowed in one request", s.Name, len(s.Nodes), maxNodes)
	}
	seen := make(map[string]bool)
	for _, n := range s.Nodes {
		if err := wire.CheckID(n.ID); err != nil {
			return body, bus.Errorf(bus.InvalidArgument, "service %s: %w", s.Name, err)
		}
		if seen[n.ID] {
			return body, bus.Errorf(bus.InvalidArgument, "service %s: node %q is there twice", s.Name, n.ID)
		}
		seen[n.ID] = true
	}
	return body, nil
}

// register makes nodes known. It answers once every registrar has seen them.
func (r *Registrar) register(ctx context.Context, m *nats.Msg) (any, error) {
	body, err := readRegistration(m)
	if err != nil {
		return nil, err
	}
	if body.TTL < 0 || body.TTL > maxTTL.Milliseconds() {
		return nil, bus.Errorf(bus.InvalidArgument, "ttl_ms %d: a ttl is 0, for ever, to %d, a year", body.TTL, maxTTL.Milliseconds())
	}
	if err := body.Service.Check(); err != nil {
		return nil, err
	}
	nodes := body.Service.AnnouncerConfigs()
	news, err := r.put(ctx, nodes, time.Duration(body.TTL)*time.Millisecond)
	if err != nil {
		return nil, err
	}
	r.confirm(ctx, news, nil)
	return done{len(nodes)}, nil
}

// put announces nodes and returns what others have to see. The own view has
// seen it when put returns.
func (r *Registrar) put(ctx context.Context, nodes []discovery.AnnouncerConfig, ttl time.Duration) ([]news, error) {
	if err := r.lock(ctx); err != nil {
		return nil, err
	}
	defer r.unlock()
	now, added := time.Now(), 0
	all := make([]news, 0, len(nodes))
	for n := range nodes {
		cfg := &nodes[n]
		k := key{cfg.Name, cfg.ID}
		known, err := r.mine(k)
		if err != nil {
			return nil, err
		}
		if r.entries.get(k) == nil {
			added++
		}
		cfg.Rev, cfg.Started = known.Rev+1, known.Started
		if cfg.Started.IsZero() {
			cfg.Started = now
		}
		if cfg.TTL = ttl; ttl > 0 {
			cfg.Expires = now.Add(ttl)
		}
		all = append(all, news{Service: k.service, ID: k.id, Rev: cfg.Rev})
	}
	if have := r.entries.len(); have+added > r.cfg.MaxEntries {
		full := bus.Errorf(bus.ResourceExhausted, "this registrar announces %d nodes and takes no more than %d", have, r.cfg.MaxEntries)
		full.Retry = bus.RetrySafe
		return nil, full
	}
	err := r.announce(ctx, nodes)
	if errors.Is(err, errFull) {
		for n := range nodes {
			r.takeDown(ctx, key{nodes[n].Name, nodes[n].ID}, errFull.Error())
		}
		return nil, bus.Errorf(bus.ResourceExhausted, "the registry is full: it knows %d instances", r.view.Stats().Instances)
	}
	return all, err
}

// mine returns what is known of a node, if that may be replaced: it is a
// conflict if the node is on the bus by itself.
func (r *Registrar) mine(k key) (discovery.Instance, error) {
	i, ok := r.view.Get(k.service, k.id)
	if ok && i.Registered() && r.byRegistrar(i) {
		return i, nil
	}
	if !ok {
		if id, cut := strings.CutPrefix(k.id, k.service+"-"); cut {
			i, ok = r.view.Get(k.service, id)
			ok = ok && !i.Registered()
		}
	}
	if ok {
		return i, bus.Errorf(bus.Conflict, "node %s of %s is on the bus and announces itself; stop it there, or use another id", k.id, k.service)
	}
	return discovery.Instance{}, nil
}

// byRegistrar reports whether a registrar announces the instance.
func (r *Registrar) byRegistrar(i discovery.Instance) bool {
	if e := r.entries.get(keyOf(i)); e != nil && e.from == pairOf(i) {
		return true
	}
	return r.peers.was(pairOf(i))
}

// deregister takes nodes back, whoever announces them. It answers once every
// registrar has seen that.
func (r *Registrar) deregister(ctx context.Context, m *nats.Msg) (any, error) {
	body, err := readRegistration(m)
	if err != nil {
		return nil, err
	}
	gone, err := r.find(ctx, body.Service)
	if err != nil {
		return nil, err
	}
	for at, some := range byPair(gone) {
		// Who announces them stops that before it says so: a beat that came after
		// the end would have everyone ask for them again.
		if owner := r.ownerAt(at); owner != "" && owner != r.cfg.ID {
			if _, err := r.sync(ctx, owner, syncRequest{Drop: some}); err == nil {
				continue
			}
		}
		if err := r.drop(ctx, some, true); err != nil {
			return nil, err
		}
	}
	if len(gone) > 0 {
		r.confirm(ctx, gone, func() { r.sayGone(ctx, gone) }) // once more, for who has missed it
	}
	return done{len(gone)}, nil
}

const reasonDeregistered = "deregistered"

// find returns the nodes of s that are there.
func (r *Registrar) find(ctx context.Context, s discovery.Service) ([]news, error) {
	if err := r.lock(ctx); err != nil {
		return nil, err
	}
	defer r.unlock()
	var found []news
	for _, n := range s.Nodes {
		i, err := r.mine(key{s.Name, n.ID})
		if err != nil {
			return nil, err
		}
		if i.Service != "" {
			found = append(found, news{Service: i.Service, ID: i.ID, Gone: true, Server: i.Server, Client: i.Client})
		}
	}
	return found, nil
}

func byPair(all []news) map[pair][]news {
	out := make(map[pair][]news)
	for _, n := range all {
		out[n.at()] = append(out[n.at()], n)
	}
	return out
}

// ownerAt returns the id of the registrar on a connection.
func (r *Registrar) ownerAt(at pair) string {
	for _, i := range r.view.AtClient(at.server, at.client) {
		if isRegistrar(i) {
			return i.ID
		}
	}
	return ""
}

// drop takes nodes down that are announced on the connections they name: those
// of this registrar, and with others also those of registrars that are gone.
func (r *Registrar) drop(ctx context.Context, all []news, others bool) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	var gone []news
	for _, n := range all {
		k := key{n.Service, n.ID}
		e := r.entries.get(k)
		own := e != nil && e.from == n.at()
		if own {
			r.release(ctx, r.entries.set(k, nil))
		}
		if own || others {
			gone = append(gone, n)
		}
	}
	r.sayGone(ctx, gone)
	return nil
}

// sayGone announces the end of nodes on the connections they name.
func (r *Registrar) sayGone(ctx context.Context, all []news) {
	for _, n := range all {
		gone := discovery.Instance{Service: n.Service, ID: n.ID, Server: n.Server, Client: n.Client}
		if err := discovery.AnnounceDown(ctx, r.conn, gone, reasonDeregistered); err != nil && r.conn.Connected() {
			r.log.Warn().Err(err).Str("service", n.Service).Str("node", n.ID).Msg("a node is gone but its watchers were not told")
		}
	}
}
