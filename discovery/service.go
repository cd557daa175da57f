package discovery

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// A Service is one version of a service in the shape that Micro's registry
// gave it. It is what get prints and what register takes.
type Service struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []ServiceEndpoint `json:"endpoints"`
	Nodes     []Node            `json:"nodes"`
}

// A ServiceEndpoint is one method of a Service.
type ServiceEndpoint struct {
	Name     string            `json:"name"`
	Request  *Value            `json:"request"`
	Response *Value            `json:"response"`
	Metadata map[string]string `json:"metadata"`
}

// A Node is one instance of a Service. For an instance on the bus Address is
// the subject under which it alone is called, and Port is 0. Of one that takes no
// calls for any instance, Metadata has the State as "mbus.state".
type Node struct {
	ID       string            `json:"id"`
	Address  string            `json:"address"`
	Port     int               `json:"port"`
	Metadata map[string]string `json:"metadata"`
}

// debugPrefix is how the methods begin that every mbus service has. They are
// listed last.
const debugPrefix = "Debug."

// Services groups instances into Services: one for each name and version,
// ordered by them. The endpoints are those of the instance that started last.
// schemas are the bodies behind the hashes of endpoints; a message whose schema
// is missing is an empty Value.
func Services(instances []Instance, schemas map[string]json.RawMessage) []Service {
	type version struct{ name, version string }
	groups := make(map[version][]Instance)
	for _, i := range instances {
		v := version{i.Service, i.Version}
		groups[v] = append(groups[v], i)
	}
	out := make([]Service, 0, len(groups))
	for v, group := range groups {
		slices.SortFunc(group, byName)
		newest := slices.MaxFunc(group, func(a, b Instance) int { return a.Started.Compare(b.Started) })
		s := Service{
			Name: v.name, Version: v.version, Metadata: orEmpty(newest.ServiceMetadata),
			Endpoints: serviceEndpoints(&newest, schemas), Nodes: make([]Node, 0, len(group)),
		}
		for _, i := range group {
			s.Nodes = append(s.Nodes, i.node())
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Service) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Version, b.Version)
	})
	return out
}

func serviceEndpoints(i *Instance, schemas map[string]json.RawMessage) []ServiceEndpoint {
	out := make([]ServiceEndpoint, 0, len(i.Endpoints))
	for _, e := range i.Endpoints {
		meta := maps.Clone(orEmpty(e.Metadata))
		if e.Subject != "" {
			meta["subject"] = e.Subject
		}
		if _, said := meta["stream"]; !said {
			meta["stream"] = "false"
			if e.Kind != "" && e.Kind != KindUnary {
				meta["stream"] = "true"
			}
		}
		out = append(out, ServiceEndpoint{
			Name: e.Name, Request: message(e.RequestValue, e.Request, schemas),
			Response: message(e.ResponseValue, e.Response, schemas), Metadata: meta,
		})
	}
	slices.SortStableFunc(out, func(a, b ServiceEndpoint) int { return isDebug(a.Name) - isDebug(b.Name) })
	return out
}

func isDebug(method string) int {
	if strings.HasPrefix(method, debugPrefix) {
		return 1
	}
	return 0
}

func message(v *Value, hash string, schemas map[string]json.RawMessage) *Value {
	if v != nil {
		return v
	}
	if body, ok := schemas[hash]; ok {
		described := ValueOf(body)
		return &described
	}
	return &Value{Values: []Value{}}
}

func (i *Instance) node() Node {
	n := Node{ID: i.NodeID(), Address: i.Address, Port: i.Port, Metadata: orEmpty(i.Metadata)}
	if i.State != StateUp {
		n.Metadata = maps.Clone(n.Metadata)
		n.Metadata[metaState] = string(i.State)
	}
	switch {
	case i.Registered():
	case !i.Foreign:
		n.Address = strings.TrimSuffix(wire.NodeWildcard(i.Service, i.ID), ".>")
	case len(i.Endpoints) > 0:
		n.Address = i.Endpoints[0].Subject
	}
	return n
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// Check returns nil if s can be registered. The error is invalid_argument and
// says what is wrong.
func (s *Service) Check() error {
	if err := wire.CheckService(s.Name); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	if len(s.Nodes) == 0 {
		return bus.Errorf(bus.InvalidArgument, "service %s: at least one node is required", s.Name)
	}
	for _, n := range s.Nodes {
		if err := wire.CheckID(n.ID); err != nil {
			return bus.Errorf(bus.InvalidArgument, "service %s: %w", s.Name, err)
		}
		if n.Address == "" {
			return bus.Errorf(bus.InvalidArgument, "service %s: node %s has no address", s.Name, n.ID)
		}
	}
	for _, a := range s.announcements() {
		if err := a.check(); err != nil {
			return bus.Errorf(bus.InvalidArgument, "service %s: %w", s.Name, err)
		}
	}
	return nil
}

func (s *Service) announcements() []announcement {
	endpoints := s.announced()
	out := make([]announcement, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		out = append(out, announcement{
			V: ProtocolVersion, Name: s.Name, ID: n.ID, Version: s.Version, Endpoints: endpoints, Address: n.Address, Port: n.Port,
		})
	}
	return out
}

func (s *Service) announced() []Endpoint {
	out := make([]Endpoint, 0, len(s.Endpoints))
	for _, e := range s.Endpoints {
		kind := KindUnary
		if e.Metadata["stream"] == "true" {
			kind = KindBidi
		}
		out = append(out, Endpoint{Name: e.Name, Kind: kind, Metadata: e.Metadata, RequestValue: e.Request, ResponseValue: e.Response})
	}
	return out
}

// AnnouncerConfigs returns what a registrar announces for the nodes of s.
func (s *Service) AnnouncerConfigs() []AnnouncerConfig {
	endpoints := s.announced()
	out := make([]AnnouncerConfig, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		out = append(out, AnnouncerConfig{
			Name: s.Name, ID: n.ID, Version: s.Version, Metadata: n.Metadata, ServiceMetadata: s.Metadata,
			Endpoints: endpoints, Address: n.Address, Port: n.Port,
		})
	}
	return out
}
