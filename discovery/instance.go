package discovery

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

// A State says whether new calls should go to an instance.
type State string

// The states of an instance.
const (
	StateUp       State = ""         // takes calls
	StateDraining State = "draining" // finishes what it has and takes no more
	StateSuspect  State = "suspect"  // three beats are missing; it is being asked
)

// An Instance is one running copy of a service as a View or a Query knows it.
// Its maps and slices are shared: do not change them.
type Instance struct {
	Service string `json:"service"`
	// ID is the instance's own; NodeID is what people see.
	ID      string `json:"id"`
	Version string `json:"version"`
	// Metadata is fixed for the life of the instance.
	Metadata map[string]string `json:"metadata,omitempty"`
	// ServiceMetadata is only there for registered apps.
	ServiceMetadata map[string]string `json:"service_metadata,omitempty"`
	Endpoints       []Endpoint        `json:"endpoints,omitempty"`
	// Codecs are the encodings it takes, by their short names.
	Codecs []string `json:"codecs,omitempty"`
	// V is the newest version of the mbus protocol it speaks, 0 for a foreign
	// service.
	V int `json:"v"`
	// Foreign services speak NATS' services API and no mbus: they are called
	// plainly, on their own subjects.
	Foreign bool `json:"foreign,omitempty"`
	// Address and Port are set for apps that are registered and not on the bus.
	Address string `json:"address,omitempty"`
	Port    int    `json:"port,omitempty"`
	// TTL is how long the registration of such an app lasts, and Expires when
	// it ends by the clock of this machine; zero means never.
	TTL     time.Duration `json:"ttl,omitempty"`
	Expires time.Time     `json:"expires,omitzero"`
	// Server and Client are the ids that the broker has given its connection.
	Server string `json:"server,omitempty"`
	Client uint64 `json:"client,omitempty"`
	// Rev grows with each change of the announcement.
	Rev uint64 `json:"rev"`
	// Load is 0 to 100, InFlight the calls and streams being served: as of
	// the last beat.
	Load     int   `json:"load"`
	InFlight int   `json:"in_flight"`
	State    State `json:"state,omitempty"`
	// Interval is the time between its beats.
	Interval time.Duration `json:"interval,omitempty"`
	Started  time.Time     `json:"started,omitzero"`
	LastSeen time.Time     `json:"last_seen,omitzero"`
}

// Registered reports whether the instance is an app that is not on the bus and
// that a registrar announces.
func (i *Instance) Registered() bool { return i.Address != "" }

// NodeID is the id that people see: <service>-<id> for what is on the bus, and
// the id itself for registered apps.
func (i *Instance) NodeID() string {
	if i.Registered() {
		return i.ID
	}
	return i.Service + "-" + i.ID
}

// CallID is the id that the instance is called by, in a Request and in subjects:
// its own, or for a registered app the node's without the service's name before
// it, since that is how people's ids are shortened for all.
func (i *Instance) CallID() string {
	if i.Registered() {
		return strings.TrimPrefix(i.ID, i.Service+"-")
	}
	return i.ID
}

// Endpoint returns the endpoint of a method, by its name and, for a foreign
// service, by the name that an mbus method would have there.
func (i *Instance) Endpoint(method string) (Endpoint, bool) {
	for n := range i.Endpoints { // without a copy of each
		if e := &i.Endpoints[n]; e.Name == method || i.Foreign && e.Name == wire.Escape(method) {
			return *e, true
		}
	}
	return Endpoint{}, false
}

// CallSubject returns where calls of a method go. It is false if the instance
// does not offer the method or is not on the bus.
func (i *Instance) CallSubject(method string) (string, bool) {
	e, ok := i.Endpoint(method)
	switch {
	case !ok || i.Registered():
		return "", false
	case e.Subject != "":
		return e.Subject, true
	}
	return wire.CallSubject(i.Service, e.Name), true
}

// instance turns what was announced into an Instance, without what only beats
// tell.
func (a *announcement) instance() Instance {
	var expires time.Time
	if a.Left > 0 {
		expires = time.Now().Add(duration(a.Left))
	}
	return Instance{
		Service: a.Name, ID: a.ID, Version: a.Version, Metadata: a.Metadata, ServiceMetadata: a.ServiceMetadata,
		Endpoints: a.Endpoints, Codecs: a.Codecs, V: a.V, Address: a.Address, Port: a.Port,
		TTL: duration(a.TTL), Expires: expires, Server: a.Server, Client: a.Client, Rev: a.Rev,
		State: a.State, Interval: interval(a.Interval), Started: a.Started,
	}
}

// duration reads a part of a ttl, in milliseconds.
func duration(ms int64) time.Duration {
	return time.Duration(min(ms, int64(maxTTL/time.Millisecond))) * time.Millisecond
}

// same reports whether two states of one instance look alike to a watcher.
// Beats, connections and intervals are no change.
func (i *Instance) same(o *Instance) bool {
	return i.Version == o.Version && i.State == o.State && i.Address == o.Address && i.Port == o.Port && i.V == o.V &&
		i.Foreign == o.Foreign && i.TTL == o.TTL && i.Started.Equal(o.Started) &&
		maps.Equal(i.Metadata, o.Metadata) && maps.Equal(i.ServiceMetadata, o.ServiceMetadata) &&
		slices.Equal(i.Codecs, o.Codecs) && sameEndpoints(i.Endpoints, o.Endpoints)
}

func sameEndpoints(a, b []Endpoint) bool {
	return slices.EqualFunc(a, b, func(x, y Endpoint) bool {
		return x.Name == y.Name && x.Kind == y.Kind && x.Request == y.Request && x.Response == y.Response && x.Subject == y.Subject &&
			maps.Equal(x.Metadata, y.Metadata) && x.RequestValue.equal(y.RequestValue) && x.ResponseValue.equal(y.ResponseValue)
	})
}

// byName orders instances by service and id.
func byName(a, b Instance) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID))
}
