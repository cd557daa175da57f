package sidecar

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// maxApps bounds the nodes that one sidecar serves. Further ones are logged
	// and not served.
	maxApps = 1024
	// settleLimit is how long a change of the registry is waited for that has
	// been confirmed already.
	settleLimit = time.Second
)

// ours reports whether an instance is an app that this sidecar serves: one that
// was registered for its host, or without a host by a registrar of its own
// process.
func (s *Sidecar) ours(i *discovery.Instance) bool {
	if !i.Registered() {
		return false
	}
	if _, err := loopback(i.Address); err != nil {
		return false
	}
	if host := i.Metadata[metaHost]; host != "" {
		return host == s.cfg.Host
	}
	server, client := s.bus.Conn.Identity()
	return server != "" && i.Server == server && i.Client == client
}

// keep follows the registry until ctx ends.
func (s *Sidecar) keep(ctx context.Context, view *discovery.View) {
	for {
		instances, seq := view.Snapshot()
		s.settle(ctx, instances)
		missed := false
		for c := range view.ChangesAfter(ctx, seq) {
			if missed = c.Action == discovery.Resync; missed {
				break
			}
			s.apply(ctx, c)
		}
		if !missed {
			return
		}
	}
}

// settle serves what is in a snapshot and nothing else.
func (s *Sidecar) settle(ctx context.Context, instances []discovery.Instance) {
	there := make(map[key]bool)
	for _, i := range instances {
		if s.ours(&i) {
			there[key{i.Service, i.ID}] = true
			s.put(ctx, i)
		}
	}
	for _, k := range s.keys() {
		if !there[k] {
			s.drop(k)
		}
	}
}

func (s *Sidecar) apply(ctx context.Context, c discovery.Change) {
	switch k := (key{c.Instance.Service, c.Instance.ID}); {
	case c.Action != discovery.Delete && s.ours(&c.Instance):
		s.put(ctx, c.Instance)
	default:
		s.drop(k)
	}
}

// put serves an app, or tells the one that is served what is new.
func (s *Sidecar) put(ctx context.Context, i discovery.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{i.Service, i.ID}
	a := s.apps[k]
	if a == nil {
		if len(s.apps) >= maxApps {
			s.cfg.Logger.Warn().Str("service", i.Service).Str("node", i.ID).Int("apps", len(s.apps)).Msg("an app is not served: there are too many")
			return
		}
		running, cancel := context.WithCancel(ctx)
		a = &app{
			side: s, key: k, log: s.cfg.Logger.With().Str("service", i.Service).Str("node", i.ID).Logger(),
			update: make(chan discovery.Instance, 1), kick: make(chan struct{}, 1), cancel: cancel,
			slots: make(chan struct{}, s.cfg.Concurrency),
		}
		s.apps[k] = a
		s.running.Go(func() { a.run(running) })
	}
	select {
	case <-a.update: // it is out of date
	default:
	}
	a.update <- i
}

// drop ends the serving of an app.
func (s *Sidecar) drop(k key) {
	s.mu.Lock()
	a := s.apps[k]
	delete(s.apps, k)
	s.mu.Unlock()
	if a != nil {
		a.cancel()
		s.changed()
	}
}

func (s *Sidecar) keys() []key {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]key, 0, len(s.apps))
	for k := range s.apps {
		all = append(all, k)
	}
	return all
}

func (s *Sidecar) app(k key) *app {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apps[k]
}

// callID is the id that calls of one node go to. Two nodes whose ids differ only
// in the service's name before them must not share it.
func (s *Sidecar) callID(i *discovery.Instance) string {
	short := i.CallID()
	if short != i.ID && (s.app(key{i.Service, short}) != nil || short == "") {
		return i.ID
	}
	return short
}

// changed wakes those who wait for a change of what is served.
func (s *Sidecar) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
}

// await waits until ok is true, looking again at every change of what is served,
// for a moment at most: what it waits for has been confirmed by the registry.
func (s *Sidecar) await(ctx context.Context, ok func() bool) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		s.mu.Lock()
		news := s.news
		s.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// serves reports whether a node is served as a definition has it.
func (s *Sidecar) serves(service string, n *discovery.Node) bool {
	a := s.app(key{service, n.ID})
	if a == nil {
		return false
	}
	p := a.served.Load()
	if p == nil || p.node.Address != n.Address || p.node.Port != n.Port {
		return false
	}
	for name, value := range n.Metadata {
		if p.node.Metadata[name] != value {
			return false
		}
	}
	return true
}

// register makes nodes known and returns once this sidecar serves them.
func (s *Sidecar) register(ctx context.Context, service discovery.Service, ttl time.Duration) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.prepare(&service); err != nil {
		return err
	}
	if err := discovery.Register(ctx, s.bus.Conn, service, ttl); err != nil {
		return err
	}
	s.await(ctx, func() bool {
		for n := range service.Nodes {
			if !s.serves(service.Name, &service.Nodes[n]) {
				return false
			}
		}
		return true
	})
	return nil
}

// prepare checks a definition and marks its nodes as this host's. Subscriptions
// that an app has made stay when it registers again.
func (s *Sidecar) prepare(service *discovery.Service) error {
	if err := service.Check(); err != nil {
		return err
	}
	for n := range service.Nodes {
		node := &service.Nodes[n]
		metadata := map[string]string{}
		if a := s.app(key{service.Name, node.ID}); a != nil {
			if p := a.now.Load(); p != nil {
				for name, value := range p.node.Metadata {
					if strings.HasPrefix(name, metaSubscribe) {
						metadata[name] = value
					}
				}
			}
		}
		for name, value := range node.Metadata {
			metadata[name] = value
		}
		metadata[metaHost] = s.cfg.Host
		node.Metadata = metadata
		p, err := s.place(discovery.Instance{
			Service: service.Name, ID: node.ID, Address: node.Address, Port: node.Port, Metadata: metadata, ServiceMetadata: service.Metadata,
		})
		if err == nil {
			_, err = subscriptionsOf(p.node.Metadata)
		}
		if err != nil {
			return bus.Errorf(bus.InvalidArgument, "node %s: %s", node.ID, bus.AsError(err).Message)
		}
	}
	return nil
}

// deregister takes nodes back and returns once they are no longer served here.
func (s *Sidecar) deregister(ctx context.Context, service discovery.Service) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var ending []*app
	for _, n := range service.Nodes {
		if a := s.app(key{service.Name, n.ID}); a != nil {
			ending = append(ending, a)
		}
	}
	if err := discovery.Deregister(ctx, s.bus.Conn, service); err != nil {
		return err
	}
	s.await(ctx, func() bool {
		return !slices.ContainsFunc(ending, func(a *app) bool { return !a.over.Load() })
	})
	return nil
}
