package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// registryLimit bounds a request to a registrar whose context has no end.
	registryLimit = 5 * time.Second
	// registryQuiet ends an answer whose last message is lost.
	registryQuiet = 2 * time.Second
	// maxRegistryMessages bounds the messages of one answer: far more than a
	// registrar needs for all that it may know.
	maxRegistryMessages = 10_000
	// schemaTries is how many instances of a version are asked for schemas.
	schemaTries = 3
	// schemaLimit bounds how long Get looks for schemas.
	schemaLimit = 2 * time.Second
)

// The bodies of the registry protocol.
type (
	registration struct {
		Service Service `json:"service"`
		TTLMS   int64   `json:"ttl_ms,omitempty"`
	}
	getRequest struct {
		Service string `json:"service"`
	}
	getReply struct {
		Services []Service `json:"services"`
		More     bool      `json:"more,omitempty"` // another message follows
	}
	listEntry struct {
		Name string `json:"name"`
	}
)

// Register makes an app known that is not on the bus, until ttl has passed; it
// must be registered again before that. With ttl 0 the registrar chooses. The
// nodes of s need an id and an address. A read after Register sees it.
//
// Registering needs a registrar, which every node has: without one the error is
// unavailable with End Nobody.
func Register(ctx context.Context, conn *bus.Conn, s Service, ttl time.Duration) error {
	if ttl < 0 {
		return bus.Errorf(bus.InvalidArgument, "register %s: a ttl of %v; give a positive one", s.Name, ttl)
	}
	if err := s.Check(); err != nil {
		return err
	}
	_, err := registry(ctx, conn, wire.RegistryRegister, registration{Service: s, TTLMS: ttl.Milliseconds()})
	return noRegistrar(err, "register")
}

// Deregister takes back what Register has made known. Nodes are told by name and
// id, whatever their version; an entry that is not there is no error. It needs
// a registrar as Register does.
func Deregister(ctx context.Context, conn *bus.Conn, s Service) error {
	if err := wire.CheckService(s.Name); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	_, err := registry(ctx, conn, wire.RegistryDeregister, registration{Service: s})
	return noRegistrar(err, "deregister")
}

func noRegistrar(err error, what string) error {
	if !errors.Is(err, bus.Nobody) {
		return err
	}
	e := *bus.AsError(err)
	e.Message = fmt.Sprintf("no registrar on this bus, and %s needs one: start \"mbus node\"", what)
	return &e
}

// Get returns a service in Micro's shape, one Service for each version. A
// registrar answers if there is one; else the instances themselves are asked.
// An unknown service is not_found, and the message names the nearest ones.
func Get(ctx context.Context, conn *bus.Conn, name string) ([]Service, error) {
	if err := checkAsked(name); err != nil {
		return nil, err
	}
	request, err := json.Marshal(getRequest{Service: name})
	if err != nil {
		return nil, bus.AsError(err)
	}
	ctx, cancel := withLimit(ctx)
	defer cancel()
	var services []Service
	for m, err := range conn.Gather(ctx, wire.RegistrySubject(wire.RegistryGet), nil, request, registryGather(conn)) {
		if errors.Is(err, bus.Nobody) {
			return getDirectly(ctx, conn, name)
		}
		if err == nil {
			err = registryError(m)
		}
		if err != nil {
			return nil, err
		}
		var reply getReply
		if err := readReply(m, &reply); err != nil {
			return nil, err
		}
		services = merge(services, reply.Services)
		if !reply.More {
			return services, nil
		}
	}
	return nil, bus.Errorf(bus.DataLoss, "the registrar's answer has no end; try again")
}

// merge puts together what a registrar has spread over several messages: the
// nodes of one version.
func merge(services, more []Service) []Service {
	for _, s := range more {
		i := slices.IndexFunc(services, func(o Service) bool { return o.Name == s.Name && o.Version == s.Version })
		if i < 0 {
			services = append(services, s)
			continue
		}
		services[i].Nodes = append(services[i].Nodes, s.Nodes...)
		if len(services[i].Endpoints) == 0 {
			services[i].Endpoints = s.Endpoints
		}
	}
	return services
}

func getDirectly(ctx context.Context, conn *bus.Conn, name string) ([]Service, error) {
	instances, err := Query(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		names, err := listDirectly(ctx, conn)
		if err != nil {
			return nil, err
		}
		return nil, NotFound(name, names)
	}
	return Services(instances, schemasOf(ctx, conn, instances)), nil
}

// NotFound is the error for a service that nobody serves. It names the nearest
// of the names, and its detail is {"near":[…]}.
func NotFound(name string, names []string) error {
	near := Near(name, names)
	e := bus.Errorf(bus.NotFound, "no service %q on this bus", cut(name, wire.MaxNameBytes))
	if len(near) > 0 {
		e.Message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	e.End = bus.Nobody
	if near == nil {
		near = []string{}
	}
	e.Detail, _ = json.Marshal(map[string][]string{"near": near}) // strings always marshal
	return e
}

// schemasOf asks the instances of each version for what describes their
// messages. What cannot be had is left out: the list is worth more than that.
func schemasOf(ctx context.Context, conn *bus.Conn, instances []Instance) map[string]json.RawMessage {
	ctx, cancel := context.WithTimeout(ctx, schemaLimit)
	defer cancel()
	out := make(map[string]json.RawMessage)
	tries := make(map[string]int)
	for i := range instances {
		missing := slices.DeleteFunc(instances[i].hashes(), func(h string) bool { return out[h] != nil })
		version := instances[i].Version
		if len(missing) == 0 || tries[version] == schemaTries {
			continue
		}
		tries[version]++
		got, err := Schemas(ctx, conn, instances[i], missing...)
		if err != nil && ctx.Err() != nil {
			break
		}
		for hash, body := range got {
			out[hash] = body
		}
	}
	return out
}

// List returns the names of all services, in order. A registrar answers if
// there is one, also for apps that are not on the bus; else everyone is asked.
func List(ctx context.Context, conn *bus.Conn) ([]string, error) {
	ctx, cancel := withLimit(ctx)
	defer cancel()
	names := make(map[string]bool)
	for m, err := range conn.Gather(ctx, wire.RegistrySubject(wire.RegistryList), nil, []byte("{}"), registryGather(conn)) {
		if errors.Is(err, bus.Nobody) {
			return listDirectly(ctx, conn)
		}
		if err == nil {
			err = registryError(m)
		}
		if err != nil {
			return nil, err
		}
		if len(m.Data) == 0 {
			return sorted(names), nil
		}
		var entries []listEntry
		if err := readReply(m, &entries); err != nil {
			return nil, err
		}
		for _, e := range entries {
			names[e.Name] = true
		}
	}
	return nil, bus.Errorf(bus.DataLoss, "the registrar's list has no end; try again")
}

// registryGather reads answers of several messages, up to the one that says it
// is the last. What ends without it was lost on the way.
func registryGather(conn *bus.Conn) bus.Gather {
	return bus.Gather{Quiet: registryQuiet, Max: maxRegistryMessages, MaxBytes: conn.MaxPayload()}
}

func registryError(m *nats.Msg) error {
	if e := bus.ReplyError(m); e != nil {
		return e
	}
	return nil
}

func readReply(m *nats.Msg, v any) error {
	if err := codec.Guard(codec.JSON, m.Data); err != nil {
		return err
	}
	if err := json.Unmarshal(m.Data, v); err != nil {
		return bus.Errorf(bus.DataLoss, "the registrar's answer: %w", err)
	}
	return nil
}

func listDirectly(ctx context.Context, conn *bus.Conn) ([]string, error) {
	names := make(map[string]bool)
	s := survey{
		gathering: newGathering(conn), plan: codec.PlanOf(conn), bad: func(string, error) {},
		found: func(i Instance, _ bool) { names[i.Service] = true },
	}
	if _, err := s.everyone(ctx); err != nil {
		return nil, err
	}
	return sorted(names), nil
}

// registry asks a registrar.
func registry(ctx context.Context, conn *bus.Conn, op string, body any) (*nats.Msg, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, bus.AsError(err)
	}
	ctx, cancel := withLimit(ctx)
	defer cancel()
	m, err := conn.Request(ctx, wire.RegistrySubject(op), nil, data)
	if err != nil {
		return nil, err
	}
	if e := bus.ReplyError(m); e != nil {
		return nil, e
	}
	return m, nil
}

func withLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, registryLimit)
}

func sorted(names map[string]bool) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
