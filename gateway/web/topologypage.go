package web

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// maxDrawn bounds the nodes of a picture; the least busy of those that are well
	// are left out.
	maxDrawn     = 600
	maxDepth     = 4
	topologyPace = 2 * time.Second
)

type topologyData struct {
	At     int64          `json:"at"`
	Window int64          `json:"window_s"`
	Bus    link           `json:"bus"`
	Nodes  []topologyNode `json:"nodes"`
	Edges  []edgeView     `json:"edges"`
	Hidden int            `json:"hidden"`
	Focus  string         `json:"focus"`
	Depth  int            `json:"depth"`
	Note   string         `json:"note,omitempty"`
}

type topologyNode struct {
	Name      string  `json:"name"`
	Health    string  `json:"health"`
	Kind      string  `json:"kind"`
	Instances int     `json:"instances"`
	Rate      numeral `json:"rps"`

	ill health // down, degraded, or else starting: the worst comes first
}

func (w *Web) topologyPage(r *http.Request) (*page, error) {
	q := r.URL.Query()
	depth := 1
	if text := q.Get("depth"); text != "" {
		var err error
		if depth, err = strconv.Atoi(text); err != nil || depth < 0 || depth > maxDepth {
			return nil, bus.Errorf(bus.InvalidArgument, "depth=%.20q: want 0 to %d", text, maxDepth)
		}
	}
	focus := q.Get("focus")
	links := w.monitor.clients(r.Context(), w.bus.View())
	d := w.collect.topology(focus, depth, strings.Split(q.Get("hide"), ","), links, time.Now())
	if focus != "" && !slices.ContainsFunc(d.Nodes, func(n topologyNode) bool { return n.Name == focus }) {
		near := []way{}
		for _, n := range discovery.Near(focus, w.collect.names()) {
			near = append(near, way{n, "/topology?focus=" + n})
		}
		return w.missing(http.StatusNotFound, fmt.Sprintf("no service %s to look at", focus), near), nil
	}
	return &page{name: "topology", title: "Topology", data: d, text: d.text}, nil
}

// topology is who calls whom, around a service if there is a focus.
func (c *collector) topology(focus string, depth int, hide []string, links []edgeView, now time.Time) *topologyData {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &topologyData{At: now.UnixMilli(), Window: int64(edgeSpan / time.Second), Bus: c.link(now), Focus: focus, Depth: depth}
	all := append(c.t.liveEdges(now, nil), links...)
	hidden := make(map[string]bool, len(hide))
	for _, name := range hide {
		hidden[name] = true
	}
	all = slices.DeleteFunc(all, func(e edgeView) bool { return hidden[e.From] || hidden[e.To] })
	names := make(map[string]bool)
	if focus == "" {
		for name := range c.t.services {
			names[name] = !hidden[name]
		}
		for _, e := range all {
			names[e.From], names[e.To] = true, true
		}
	} else if c.t.services[focus] != nil || slices.ContainsFunc(all, func(e edgeView) bool { return e.From == focus || e.To == focus }) {
		names[focus] = true
		around(names, all, depth)
	}
	d.Nodes = []topologyNode{}
	for name, shown := range names {
		if shown {
			d.Nodes = append(d.Nodes, c.t.drawn(name))
		}
	}
	slices.SortFunc(d.Nodes, func(a, b topologyNode) int {
		return cmp.Or(cmp.Compare(a.ill, b.ill), cmp.Compare(b.Rate.or(-1), a.Rate.or(-1)), strings.Compare(a.Name, b.Name))
	})
	if len(d.Nodes) > maxDrawn {
		d.Hidden = len(d.Nodes) - maxDrawn
		for _, n := range d.Nodes[maxDrawn:] {
			delete(names, n.Name)
		}
		d.Nodes = d.Nodes[:maxDrawn]
	}
	d.Edges = slices.DeleteFunc(all, func(e edgeView) bool { return !names[e.From] || !names[e.To] })
	sortEdges(d.Edges)
	if len(d.Edges) == 0 {
		d.Note = "no calls between services in the last 5 minutes"
	}
	return d
}

// around adds the names that are up to depth calls away.
func around(names map[string]bool, edges []edgeView, depth int) {
	for range depth {
		var more []string
		for _, e := range edges {
			if names[e.From] != names[e.To] {
				more = append(more, e.From, e.To)
			}
		}
		for _, name := range more {
			names[name] = true
		}
	}
}

func (t *table) drawn(name string) topologyNode {
	s := t.services[name]
	if s == nil {
		return topologyNode{Name: name, Kind: "client", Health: ok.String(), Rate: unknownNumber(), ill: starting}
	}
	kind := "service"
	if s.kind == "app" {
		kind = "app"
	}
	return topologyNode{Name: name, Kind: kind, Health: s.health.String(), Instances: len(s.instances), Rate: s.now.rate, ill: min(s.health, starting)}
}

func (d *topologyData) text(b *bytes.Buffer) {
	for _, e := range d.Edges {
		_, _ = fmt.Fprintf(b, "%s -> %s  %s req/s\n", e.From, e.To, e.Rate.text()) // a Buffer takes everything
	}
	if len(d.Edges) == 0 {
		b.WriteString(d.Note + "\n")
	}
}

// publishSlow tells the pages of the topology and of the bus, now and then, and
// asks nodes about their processes.
func (c *collector) publishSlow(ctx context.Context, w *Web) {
	m := w.monitor
	tick := time.NewTicker(topologyPace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.measure(ctx, w, now)
		}
		if c.hub.wants(topicTopology) {
			d := c.topology("", 0, nil, m.clients(ctx, c.bus.View()), time.Now())
			c.hub.send(topicTopology, "topology", 0, struct {
				Topic string         `json:"topic"`
				At    int64          `json:"at"`
				Nodes []topologyNode `json:"nodes"`
				Edges []edgeView     `json:"edges"`
			}{topicTopology, d.At, d.Nodes, d.Edges})
		}
		if c.hub.wants(topicBus) {
			d := m.bus(ctx, false)
			d.Topic, d.At, d.Bus = topicBus, time.Now().UnixMilli(), c.state()
			c.hub.send(topicBus, "bus", 0, d)
		}
	}
}

// state is the link of this moment.
func (c *collector) state() link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link(time.Now())
}
