package web

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// A node is an instance on pages.
type node struct {
	ID       string            `json:"id"`
	Instance string            `json:"instance"`
	Service  string            `json:"service"`
	Version  string            `json:"version"`
	Kind     string            `json:"kind"`
	State    string            `json:"state"`
	Address  string            `json:"address"`
	Started  int64             `json:"started"`
	Interval int64             `json:"interval_ms"`
	Metadata map[string]string `json:"metadata"`
	Server   string            `json:"server,omitempty"`
	Client   uint64            `json:"client,omitempty"`
	Drains   bool              `json:"drains,omitempty"`
	nodeNumbers
}

// nodeNumbers are what changes all the time.
type nodeNumbers struct {
	Load     int     `json:"load"`
	InFlight int     `json:"in_flight"`
	LastSeen int64   `json:"last_seen"`
	Rate     numeral `json:"rps"`
	P99      numeral `json:"p99_ms"`
	Errors   numeral `json:"errors_per_s"`
	processNumbers
	Requests uint64 `json:"requests"`
	Failed   uint64 `json:"errors"`
}

func (n *nodeNumbers) same(o *nodeNumbers) bool {
	return n.Load == o.Load && n.InFlight == o.InFlight && n.LastSeen == o.LastSeen && n.Rate.same(o.Rate) && n.P99.same(o.P99) &&
		n.Errors.same(o.Errors) && n.Memory.same(o.Memory) && n.Threads.same(o.Threads) && n.GC.same(o.GC)
}

// processNumbers are those of Debug.Stats, unknown where nobody has asked.
type processNumbers struct {
	Memory  numeral `json:"memory"`
	Threads numeral `json:"threads"`
	GC      numeral `json:"gc_ms"`
}

func noProcess() processNumbers {
	return processNumbers{unknownNumber(), unknownNumber(), unknownNumber()}
}

// node makes a node of an instance.
func (i *instance) node(now time.Time) *node {
	n := &node{
		ID: i.info.NodeID(), Instance: i.info.CallID(), Service: i.info.Service, Version: i.info.Version, Kind: kindOfNode(&i.info),
		State: i.state(now), Address: addressOf(&i.info), Started: milli(i.info.Started), Interval: i.info.Interval.Milliseconds(),
		Metadata: brief(i.info.Metadata), Server: i.info.Server, Client: i.info.Client, Drains: drains(&i.info),
		nodeNumbers: nodeNumbers{
			Load: i.now.load, InFlight: i.now.inFlight, LastSeen: milli(i.info.LastSeen), Rate: i.now.rate, P99: i.now.p99, Errors: i.now.errors,
			processNumbers: i.process, Requests: i.requests, Failed: i.failed,
		},
	}
	return n
}

// maxBrief bounds the metadata of one node among others; its own page has it all.
const maxBrief = 1 << 10

// brief is metadata without what is too long for a list. It is not nil.
func brief(metadata map[string]string) map[string]string {
	size := 0
	for key, value := range metadata {
		size += len(key) + len(value)
	}
	if size <= maxBrief && metadata != nil {
		return metadata
	}
	short := make(map[string]string)
	left := maxBrief
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		value := cutText(metadata[key])
		if left -= len(key) + len(value); left < 0 {
			break
		}
		short[key] = value
	}
	return short
}

func kindOfNode(i *discovery.Instance) string {
	switch {
	case i.Registered():
		return "app"
	case i.Foreign:
		return "foreign"
	}
	return "mbus"
}

// state is the word for how an instance is.
func (i *instance) state(now time.Time) string {
	switch {
	case i.info.State != discovery.StateUp:
		return string(i.info.State)
	case i.info.Registered() && !i.info.Expires.IsZero() && now.After(i.info.Expires):
		return stale.String()
	case now.Sub(i.first) < startingFor:
		return starting.String()
	}
	return ok.String()
}

// addressOf is where one instance alone is reached.
func addressOf(i *discovery.Instance) string {
	switch {
	case i.Registered():
		return hostPort(i)
	case !i.Foreign:
		return strings.TrimSuffix(wire.NodeWildcard(i.Service, i.ID), ".>")
	case len(i.Endpoints) > 0:
		return i.Endpoints[0].Subject
	}
	return ""
}

// same reports whether two nodes differ in their numbers at most.
func (n *node) same(o *node) bool {
	return n.State == o.State && n.Version == o.Version && n.Address == o.Address && n.Started == o.Started && n.Interval == o.Interval &&
		n.Drains == o.Drains
}

type nodesDelta struct {
	Topic  string     `json:"topic"`
	Seq    uint64     `json:"seq"`
	Prev   uint64     `json:"prev"`
	At     int64      `json:"at"`
	Totals totals     `json:"totals"`
	Nodes  []*node    `json:"nodes"`
	Gone   []string   `json:"gone"`
	N      numberNode `json:"n"`
}

type numberNode []*node

// MarshalJSON writes [[id,load,in flight,last seen,rps,p99,errors,memory,threads,gc],…].
func (n numberNode) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 2+96*len(n))
	b = append(b, '[')
	for i, r := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = appendText(b, r.ID)
		b = numeral(r.Load).append(append(b, ','))
		b = numeral(r.InFlight).append(append(b, ','))
		b = appendInt(append(b, ','), r.LastSeen)
		for _, v := range [...]numeral{r.Rate, r.P99, r.Errors, r.Memory, r.Threads, r.GC} {
			b = v.append(append(b, ','))
		}
		b = append(b, ']')
	}
	return append(b, ']'), nil
}

// publishNodes tells the page of nodes, as publishRows does that of services.
func (c *collector) publishNodes(now time.Time) {
	d := nodesDelta{
		Topic: topicNodes, Seq: c.nodes.seq + 1, Prev: c.nodes.seq, At: now.UnixMilli(), Totals: c.t.all, Nodes: []*node{}, Gone: []string{},
	}
	c.nodes.seq++
	if !c.hub.wants(topicNodes) && now.Sub(c.nodesAsked) >= interest {
		c.t.left = nil
		return
	}
	for _, i := range c.t.nodes {
		n := i.node(now)
		switch {
		case i.shown == nil || !i.shown.same(n):
			d.Nodes = append(d.Nodes, n)
		case !i.shown.nodeNumbers.same(&n.nodeNumbers):
			d.N = append(d.N, n)
		default:
			continue
		}
		i.shown = n
	}
	if c.t.left != nil {
		d.Gone = c.t.left
		c.t.left = nil
	}
	c.hub.send(topicNodes, "nodes", d.Seq, d)
}

// nodeByID finds an instance by what people call it. Of two with one id it is the
// one that has been there longer.
func (t *table) nodeByID(id string) *instance {
	if all := t.byID[id]; len(all) > 0 {
		return all[0]
	}
	return nil
}
