package sidecar

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// metaSubscribe begins the names of a node's metadata that hold its
	// subscriptions, so that they live as long as its registration and the next
	// sidecar finds them there.
	metaSubscribe = "subscribe."
	// maxSubscriptions bounds those of one node.
	maxSubscriptions = 32
	// maxSubscriptionName and maxSubscriptionText bound what is stored of each.
	maxSubscriptionName = 64
	maxSubscriptionText = 1 << 10
)

// A Subscription says which events are pushed to an app, and where.
type Subscription struct {
	Name string `json:"name"`
	// Service and Node are whose it is.
	Service string `json:"service"`
	Node    string `json:"node"`
	// Topic is a topic or a pattern.
	Topic string `json:"topic"`
	// Queue is the group that shares the events: each goes to one of its
	// members. "" means that the app gets them all.
	Queue string `json:"queue,omitempty"`
	// Path is where the app takes them.
	Path string `json:"path"`
}

// A SubscriptionStatus is a subscription and what has become of its events here.
type SubscriptionStatus struct {
	Subscription
	// Delivered counts the events that the app took, Retried the tries that were
	// repeated, Lost the events that it did not take or that came faster than it
	// took them.
	Delivered uint64 `json:"delivered"`
	Retried   uint64 `json:"retried"`
	Lost      uint64 `json:"lost"`
	// Error is the latest failure, "" if there was none.
	Error string `json:"error,omitempty"`
}

// stored is a subscription as the metadata of a node has it.
type stored struct {
	Topic string `json:"topic"`
	Queue string `json:"queue,omitempty"`
	Path  string `json:"path"`
}

// subscriptionsOf reads the subscriptions in the metadata of a node. Those that
// are right are there beside an error.
func subscriptionsOf(metadata map[string]string) (map[string]Subscription, error) {
	var wrong error
	all := make(map[string]Subscription)
	for key, text := range metadata {
		name, ok := strings.CutPrefix(key, metaSubscribe)
		if !ok {
			continue
		}
		var one stored
		err := codec.Guard(codec.JSON, []byte(text))
		if err == nil && json.Unmarshal([]byte(text), &one) != nil {
			err = bus.Errorf(bus.InvalidArgument, `it is not {"topic":…,"path":…}`)
		}
		def := Subscription{Name: name, Topic: one.Topic, Queue: one.Queue, Path: one.Path}
		if err == nil {
			err = def.check()
		}
		if err == nil && len(all) == maxSubscriptions {
			err = bus.Errorf(bus.InvalidArgument, "a node has at most %d", maxSubscriptions)
		}
		if err != nil {
			wrong = bus.Errorf(bus.InvalidArgument, "the subscription %.80q: %s", name, bus.AsError(err).Message)
			continue
		}
		all[name] = def
	}
	return all, wrong
}

// check says what is wrong, and spells the path in one way.
func (d *Subscription) check() error {
	switch {
	case d.Name == "" || len(d.Name) > maxSubscriptionName || strings.Trim(d.Name, nameBytes) != "":
		return bus.Errorf(bus.InvalidArgument, "the name %.80q: 1 to %d of A-Z a-z 0-9 . _ -", d.Name, maxSubscriptionName)
	case strings.ContainsFunc(d.Queue, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(d.Queue) > wire.MaxNameBytes:
		return bus.Errorf(bus.InvalidArgument, "the queue %.80q: a queue is one word", d.Queue)
	}
	if err := wire.CheckPattern(d.Topic); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	var err error
	d.Path, err = parsePath(d.Path)
	return err
}

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// serveSubscriptions serves /subscriptions, all of them, and
// /subscriptions/{name}, one: GET shows it, PUT makes or changes it, DELETE ends
// it.
func (s *Sidecar) serveSubscriptions(w http.ResponseWriter, r *http.Request, parts []string) {
	method := "Registry.Read"
	if r.Method == http.MethodPut || r.Method == http.MethodDelete {
		method = "Registry.Register"
	}
	if err := s.may(r, method); err != nil {
		s.fail(w, r, err)
		return
	}
	if len(parts) == 0 {
		if allow(w, r, http.MethodGet, http.MethodHead) {
			s.writeSubscriptions(w, r, s.subscriptions(r.URL.Query().Get("service"), r.URL.Query().Get("node")))
		}
		return
	}
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete) {
		return
	}
	def := Subscription{Name: parts[0], Service: r.URL.Query().Get("service"), Node: r.URL.Query().Get("node")}
	var err error
	switch r.Method {
	case http.MethodPut:
		err = s.putSubscription(w, r, def)
	case http.MethodDelete:
		err = s.deleteSubscription(r, def)
	default:
		var a *app
		if a, err = s.subscriber(&def); err == nil {
			if one := a.pushes.get(def.Name); one != nil {
				err = writeValue(w, http.StatusOK, one.status())
			} else {
				err = noSubscription(def)
			}
		}
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

func (s *Sidecar) writeSubscriptions(w http.ResponseWriter, r *http.Request, all []SubscriptionStatus) {
	if err := writeValue(w, http.StatusOK, all); err != nil {
		s.fail(w, r, err)
	}
}

// subscriptions lists those of the apps that are served here, in order; "" is
// any.
func (s *Sidecar) subscriptions(service, node string) []SubscriptionStatus {
	all := []SubscriptionStatus{}
	for _, k := range s.keys() {
		a := s.app(k)
		if a == nil || service != "" && service != k.service || node != "" && node != k.id {
			continue
		}
		for _, one := range a.pushes.list() {
			all = append(all, one.status())
		}
	}
	slices.SortFunc(all, func(a, b SubscriptionStatus) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (p *push) status() SubscriptionStatus {
	def := p.def
	def.Service, def.Node = p.app.key.service, p.app.key.id
	st := SubscriptionStatus{Subscription: def, Delivered: p.delivered.Load(), Retried: p.retried.Load(), Lost: p.lost.Load()}
	if p.sub != nil {
		st.Lost += p.sub.Dropped()
	}
	if text := p.failure.Load(); text != nil {
		st.Error = *text
	}
	return st
}

// subscriber finds the app that a subscription is for, and fills in whose it is.
func (s *Sidecar) subscriber(def *Subscription) (*app, error) {
	var found *app
	for _, k := range s.keys() {
		if def.Node != "" && def.Node != k.id || def.Service != "" && def.Service != k.service {
			continue
		}
		a := s.app(k)
		if a == nil || a.now.Load() == nil {
			continue
		}
		if found != nil {
			return nil, bus.Errorf(bus.InvalidArgument, "several apps are served here; say whose subscription it is, with service and node")
		}
		found = a
	}
	if found == nil {
		return nil, bus.Errorf(bus.NotFound, "no such app is served here: service %.80q, node %.80q; register it first", def.Service, def.Node)
	}
	def.Service, def.Node = found.key.service, found.key.id
	return found, nil
}

func noSubscription(def Subscription) error {
	return bus.Errorf(bus.NotFound, "node %s of %s has no subscription %.80q", def.Node, def.Service, def.Name)
}

// putSubscription makes or changes a subscription: it becomes part of the
// registration of its node, whose time to live begins anew.
func (s *Sidecar) putSubscription(w http.ResponseWriter, r *http.Request, def Subscription) error {
	body, err := gateway.ReadBody(w, r, maxSubscriptionText)
	if err == nil {
		err = codec.Guard(codec.JSON, body)
	}
	if err != nil {
		return err
	}
	asked := def
	if err := json.Unmarshal(body, &asked); err != nil {
		return bus.Errorf(bus.InvalidArgument, "the subscription: %v", err)
	}
	asked.Name = def.Name
	if err := asked.check(); err != nil {
		return err
	}
	if err := s.bus.MaySubscribe(r.Context(), asked.Topic); err != nil {
		return err
	}
	text, err := json.Marshal(stored{asked.Topic, asked.Queue, asked.Path})
	if err != nil {
		return err
	}
	a, err := s.restate(r, &asked, func(metadata map[string]string) error {
		count := 0
		for name := range metadata {
			if strings.HasPrefix(name, metaSubscribe) && name != metaSubscribe+asked.Name {
				count++
			}
		}
		if count >= maxSubscriptions {
			return bus.Errorf(bus.ResourceExhausted, "node %s has %d subscriptions, the most there are", asked.Node, count)
		}
		metadata[metaSubscribe+asked.Name] = string(text)
		return nil
	})
	if err != nil {
		return err
	}
	one := a.pushes.get(asked.Name)
	if one == nil || one.sub == nil {
		why := "it is not served yet"
		if one != nil && one.failure.Load() != nil {
			why = *one.failure.Load()
		}
		return bus.Errorf(bus.Unavailable, "the subscription %s is registered, but: %s", asked.Name, why)
	}
	return writeValue(w, http.StatusOK, one.status())
}

func (s *Sidecar) deleteSubscription(r *http.Request, def Subscription) error {
	_, err := s.restate(r, &def, func(metadata map[string]string) error {
		if _, there := metadata[metaSubscribe+def.Name]; !there {
			return noSubscription(def)
		}
		delete(metadata, metaSubscribe+def.Name)
		return nil
	})
	return err
}

// restate registers the node of a subscription anew, with metadata that change
// alters, and returns once that is served.
func (s *Sidecar) restate(r *http.Request, def *Subscription, change func(map[string]string) error) (*app, error) {
	ctx, cancel, err := gateway.WithTimeout(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	s.writing.Lock()
	defer s.writing.Unlock()
	a, err := s.subscriber(def)
	if err != nil {
		return nil, err
	}
	i := a.now.Load().node
	service := definitionOf(&i)
	metadata := service.Nodes[0].Metadata
	if err := change(metadata); err != nil {
		return nil, err
	}
	if err := discovery.Register(ctx, s.bus.Conn, service, i.TTL); err != nil {
		return nil, err
	}
	s.await(ctx, func() bool {
		p := a.served.Load()
		if p == nil || len(p.node.Metadata) != len(metadata) || !s.serves(i.Service, &service.Nodes[0]) {
			return false
		}
		_, wanted := metadata[metaSubscribe+def.Name]
		return (a.pushes.get(def.Name) != nil) == wanted
	})
	return a, nil
}

// definitionOf is what a node was registered as.
func definitionOf(i *discovery.Instance) discovery.Service {
	metadata := make(map[string]string, len(i.Metadata)+1)
	for name, value := range i.Metadata {
		metadata[name] = value
	}
	service := discovery.Service{
		Name: i.Service, Version: i.Version, Metadata: i.ServiceMetadata,
		Nodes: []discovery.Node{{ID: i.ID, Address: i.Address, Port: i.Port, Metadata: metadata}},
	}
	for _, e := range i.Endpoints {
		service.Endpoints = append(service.Endpoints, discovery.ServiceEndpoint{
			Name: e.Name, Request: e.RequestValue, Response: e.ResponseValue, Metadata: e.Metadata,
		})
	}
	return service
}
