package rpc

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// findingLife is how long a finding serves the calls that fail alike, so
	// that a dead service does not cost a search for each call.
	findingLife = 500 * time.Millisecond
	// searchLimit bounds a search for the reason why nobody listens.
	searchLimit = 500 * time.Millisecond
	// rememberedFor is how long a service that is gone counts as coming back.
	rememberedFor = 10 * time.Minute
)

// A finding is what a search has found out about a service on which nobody
// listens.
type finding struct {
	at         time.Time
	instances  []discovery.Instance
	registered string   // address of an app of this name that is not on the bus
	appMethods []string // that such apps list
	appNodes   []string // the ids that they are called by
	recent     bool     // it was there not long ago
	near       []string // names that are like it
}

// A diagnosis is the latest finding about one service. One search at a time
// serves every call that wants to know.
type diagnosis struct {
	diagMu  sync.Mutex
	latest  *finding
	pending chan struct{} // closed when the search under way has ended
}

// diagnose returns a fresh finding, by a search or by waiting for one.
func (c *Client) diagnose(ctx context.Context, p *peer) *finding {
	for {
		p.diagMu.Lock()
		if p.latest != nil && time.Since(p.latest.at) < findingLife {
			defer p.diagMu.Unlock()
			return p.latest
		}
		pending := p.pending
		if pending == nil {
			p.pending = make(chan struct{})
			p.diagMu.Unlock()
			return c.search(ctx, p)
		}
		p.diagMu.Unlock()
		select {
		case <-pending:
		case <-ctx.Done():
			return &finding{recent: p.wasSeen()}
		}
	}
}

// search asks the bus, and a registrar if there is one, about a service.
func (c *Client) search(ctx context.Context, p *peer) *finding {
	f := &finding{recent: p.wasSeen()}
	limited, cancel := context.WithTimeout(ctx, searchLimit)
	defer cancel()
	// An answer to part of the question is better than none, so errors only
	// leave their part of the finding empty.
	found, _ := discovery.Query(limited, c.conn, p.service)
	for _, i := range found {
		if i.Registered() {
			f.registered = i.Address
			f.appNodes = append(f.appNodes, i.CallID())
			for _, e := range i.Endpoints {
				f.appMethods = append(f.appMethods, e.Name)
			}
		} else {
			f.instances = append(f.instances, i)
		}
	}
	if len(found) == 0 {
		c.askRegistrar(limited, p.service, f)
	}
	f.at = time.Now()
	p.diagMu.Lock()
	defer p.diagMu.Unlock()
	if ctx.Err() == nil {
		p.latest = f
	}
	close(p.pending)
	p.pending = nil
	return f
}

// askRegistrar fills in what only a registrar remembers; without one, near
// names come from the instances that are there.
func (c *Client) askRegistrar(ctx context.Context, service string, f *finding) {
	var known struct {
		Services []discovery.Service `json:"services"`
		LastSeen time.Time           `json:"last_seen"`
		Near     []string            `json:"near"`
	}
	question, err := json.Marshal(map[string]string{"service": service})
	if err != nil {
		return
	}
	m, err := c.conn.Request(ctx, wire.RegistrySubject(wire.RegistryGet), nil, question)
	if err != nil {
		all, err := discovery.Query(ctx, c.conn, "")
		if err == nil {
			f.near = discovery.Near(service, serviceNames(all))
		}
		return
	}
	answer := m.Data
	if e := bus.ReplyError(m); e != nil {
		answer = e.Detail
	}
	if json.Unmarshal(answer, &known) != nil {
		return
	}
	f.near = known.Near
	f.recent = f.recent || !known.LastSeen.IsZero() && time.Since(known.LastSeen) < rememberedFor
	for _, s := range known.Services {
		for _, n := range s.Nodes {
			// An instance on the bus that a registrar still lists has gone a
			// moment ago, or has just come.
			if onBus := n.Port == 0 && strings.HasPrefix(n.ID, service+"-"); onBus {
				f.recent = true
			} else if n.Address != "" {
				f.registered = n.Address
				f.appNodes = append(f.appNodes, strings.TrimPrefix(n.ID, service+"-"))
			}
		}
		for _, e := range s.Endpoints {
			f.appMethods = append(f.appMethods, e.Name)
		}
	}
}

func serviceNames(all []discovery.Instance) []string {
	var names []string
	for _, i := range all {
		if len(names) == 0 || names[len(names)-1] != i.Service {
			names = append(names, i.Service)
		}
	}
	return names
}

// seen remembers that a call was answered, as of when it began, which is near
// enough.
func (p *peer) seen(began time.Time) {
	if began.IsZero() {
		began = p.conn.Now()
	}
	now := began.UnixNano()
	if now-p.answered.Load() > int64(time.Second) {
		p.answered.Store(now)
	}
}

// wasSeen reports whether this client has had an answer not long ago.
func (p *peer) wasSeen() bool {
	at := p.answered.Load()
	return at != 0 && p.conn.Now().Sub(time.Unix(0, at)) < rememberedFor // by the same clock
}
