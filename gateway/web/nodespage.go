package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	firstNodes = 500
	// nodePatience bounds the questions to one node for its page.
	nodePatience = time.Second
)

type nodesData struct {
	At      int64   `json:"at"`
	Seq     uint64  `json:"seq"`
	Bus     link    `json:"bus"`
	Totals  totals  `json:"totals"`
	Nodes   []*node `json:"nodes"`
	Offset  int     `json:"offset"`
	Matched int     `json:"matched"`
	Service string  `json:"service,omitempty"`
	Filter  string  `json:"q,omitempty"`
}

func (w *Web) nodesPage(r *http.Request) (*page, error) {
	q := r.URL.Query()
	p, err := partOf(q, firstNodes)
	if err != nil {
		return nil, err
	}
	d := w.collect.nodesData(p, q.Get("service"), time.Now())
	return &page{name: "nodes", title: "Nodes", data: d, text: func(b *bytes.Buffer) {
		nodesText(b, d.Nodes)
		if left := d.Matched - d.Offset - len(d.Nodes); left > 0 {
			_, _ = fmt.Fprintf(b, "%d more; ?limit=0 shows all\n", left) // a Buffer takes everything
		}
	}}, nil
}

func (c *collector) nodesData(p part, service string, now time.Time) *nodesData {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodesAsked = now
	d := &nodesData{At: now.UnixMilli(), Seq: c.nodes.seq, Bus: c.link(now), Totals: c.t.all, Offset: p.offset, Service: service, Filter: p.text, Nodes: []*node{}}
	var found []*node
	for _, i := range c.t.nodes {
		if service != "" && i.info.Service != service {
			continue
		}
		if n := i.node(now); p.query.node(n) {
			found = append(found, n)
		}
	}
	d.Matched = len(found)
	slices.SortFunc(found, func(a, b *node) int {
		n := orderNodes(p.sort, a, b)
		if p.desc {
			n = -n
		}
		return cmp.Or(n, strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID))
	})
	d.Nodes = append(d.Nodes, cutOut(found, p)...)
	return d
}

// orderNodes compares by a column; without one the worst comes first.
func orderNodes(column string, a, b *node) int {
	number := func(x, y numeral) int { return cmp.Compare(x.or(-1), y.or(-1)) }
	switch column {
	case "id", "node":
		return strings.Compare(a.ID, b.ID)
	case "service":
		return strings.Compare(a.Service, b.Service)
	case "version":
		return strings.Compare(a.Version, b.Version)
	case "rps":
		return number(a.Rate, b.Rate)
	case "p99", "p99_ms":
		return number(a.P99, b.P99)
	case "errors_per_s":
		return number(a.Errors, b.Errors)
	case "load":
		return cmp.Compare(a.Load, b.Load)
	case "in_flight":
		return cmp.Compare(a.InFlight, b.InFlight)
	case "started":
		return cmp.Compare(a.Started, b.Started)
	case "last_seen":
		return cmp.Compare(a.LastSeen, b.LastSeen)
	case "memory":
		return number(a.Memory, b.Memory)
	case "threads":
		return number(a.Threads, b.Threads)
	}
	return cmp.Compare(stateRank(a.State), stateRank(b.State))
}

func stateRank(state string) int {
	return slices.Index([]string{"suspect", "stale", "draining", "starting", "ok"}, state)
}

type nodeData struct {
	At        int64           `json:"at"`
	Seq       uint64          `json:"seq"`
	Bus       link            `json:"bus"`
	Node      *node           `json:"node"`
	Endpoints []*endpointData `json:"endpoints"`
	Health    string          `json:"health"`
	Stats     *rpc.Stats      `json:"stats"`
	Error     string          `json:"error,omitempty"`
	Commands  commands        `json:"commands"`
}

func (w *Web) nodePage(r *http.Request) (*page, error) {
	id := r.PathValue("id")
	now := time.Now()
	d, info := w.collect.node(id, now)
	if d == nil {
		near := []way{}
		for _, n := range discovery.Near(id, w.collect.nodeIDs()) {
			near = append(near, way{n, "/nodes/" + url.PathEscape(n)})
		}
		return w.missing(http.StatusNotFound, fmt.Sprintf("no node %s is there; it may have left", id), near), nil
	}
	w.describe(r.Context(), info.Service, d.Endpoints)
	w.askNode(r.Context(), d, info)
	d.Commands = commandsOfCall(info.Service, rpc.MethodHealth, d.Node.ID, "{}", false, w.cfg.Links())
	return &page{name: "node", title: id, data: d, text: func(b *bytes.Buffer) {
		nodesText(b, []*node{d.Node})
		_, _ = fmt.Fprintf(b, "\nhealth %s\n", cmp.Or(d.Health, d.Error)) // a Buffer takes everything
		if d.Stats != nil {
			_, _ = fmt.Fprintf(b, "memory %d threads %d uptime %ds\n", d.Stats.Memory, d.Stats.Threads, d.Stats.Uptime)
		}
	}}, nil
}

func (c *collector) node(id string, now time.Time) (*nodeData, discovery.Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.t.nodeByID(id)
	if i == nil {
		return nil, discovery.Instance{}
	}
	d := &nodeData{At: now.UnixMilli(), Seq: c.nodes.seq, Bus: c.link(now), Node: i.node(now), Endpoints: []*endpointData{}}
	// A service of this one instance alone.
	s := &service{name: i.info.Service, kind: kindOfNode(&i.info), instances: map[string]*instance{i.info.ID: i}, endpoints: make(map[string]*endpoint)}
	for method, c := range i.counters {
		e := s.endpoint(method)
		e.requests, e.errors, e.refused = c.requests, c.errors, c.refused
		if i.now.rate.known() {
			e.rate, e.errorRate = numeral(c.rate), numeral(c.errorRate)
		}
		w := e.at(now)
		w.taken, w.failed, w.calls = c.taken, c.failed, c.calls
	}
	d.Endpoints = s.endpointData(now)
	if i.info.Metadata != nil {
		d.Node.Metadata = i.info.Metadata
	}
	return d, i.info
}

func (c *collector) nodeIDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.t.byID))
	for id := range c.t.byID {
		ids = append(ids, id)
	}
	return ids
}

// askNode asks a node itself how it is.
func (w *Web) askNode(ctx context.Context, d *nodeData, i discovery.Instance) {
	if _, ok := i.Endpoint(rpc.MethodStats); !ok {
		d.Error = "it has no Debug.Stats to be asked"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nodePatience)
	defer cancel()
	var health rpc.Health
	err := w.askOne(ctx, i, rpc.MethodHealth, "{}", &health)
	if err == nil {
		d.Health = health.Status
		d.Stats = &rpc.Stats{}
		err = w.askOne(ctx, i, rpc.MethodStats, "{}", d.Stats)
	}
	if err != nil {
		d.Stats, d.Error = nil, bus.AsError(err).Message
		return
	}
	d.Node.processNumbers = processOf(d.Stats)
}

func processOf(s *rpc.Stats) processNumbers {
	return processNumbers{Memory: numeral(s.Memory), Threads: numeral(s.Threads), GC: numeral(float64(s.GC) / float64(time.Millisecond))}
}

// askOne calls a method of one instance that may be called twice, as the caller
// of the page may.
func (w *Web) askOne(ctx context.Context, i discovery.Instance, method, request string, answer any) error {
	res, err := w.bus.Client.Do(ctx, &rpc.Request{
		Service: i.Service, Method: method, Instance: i.CallID(), Codec: codec.JSON, Body: []byte(request), Idempotent: true,
	})
	if err != nil {
		return err
	}
	body := res.Body
	if res.Codec == codec.Msgpack {
		if body, err = codec.Transcode(codec.Msgpack, codec.JSON, body); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return bus.Errorf(bus.DataLoss, "%s answers something else", method)
	}
	return nil
}

func hostPort(i *discovery.Instance) string {
	if i.Port == 0 {
		return i.Address
	}
	return net.JoinHostPort(i.Address, strconv.Itoa(i.Port))
}
