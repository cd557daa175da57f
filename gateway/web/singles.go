package web

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// publishSingle tells the pages about one service or one node.
func (c *collector) publishSingle(now time.Time) {
	for _, topic := range c.hub.singles() {
		switch kind, name, _ := strings.Cut(topic, ":"); kind {
		case topicService:
			if s := c.t.services[name]; s != nil {
				s.watched = now.Add(fineSpan)
				c.hub.send(topic, "service", 0, s.update(topic, now))
			}
		case topicVersions:
			if s := c.t.services[name]; s != nil {
				c.hub.send(topic, "versions", 0, versionsUpdate{topic, now.UnixMilli(), s.versionData(now)})
			}
		case topicNode:
			if i := c.t.nodeByID(name); i != nil {
				c.hub.send(topic, "node", 0, struct {
					Topic string `json:"topic"`
					At    int64  `json:"at"`
					Node  *node  `json:"node"`
				}{topic, now.UnixMilli(), i.node(now)})
			}
		}
	}
}

// A serviceUpdate is what changes on the page of a service.
type serviceUpdate struct {
	Topic     string            `json:"topic"`
	At        int64             `json:"at"`
	Row       *row              `json:"row"`
	Nodes     []*node           `json:"nodes"`
	Endpoints []endpointNumbers `json:"endpoints"`
}

// endpointNumbers are what changes all the time at an endpoint.
type endpointNumbers struct {
	Name      string  `json:"name"`
	Rate      numeral `json:"rps"`
	P50       numeral `json:"p50_ms"`
	P99       numeral `json:"p99_ms"`
	Errors    numeral `json:"errors_per_s"`
	Percent   numeral `json:"error_percent"`
	Requests  uint64  `json:"requests"`
	Failed    uint64  `json:"errors"`
	Refused   uint64  `json:"refused"`
	LastError string  `json:"last_error"`
}

// maxUpdated bounds the nodes and the endpoints in one update of a service: it has
// the first nodes, and the busiest endpoints.
const maxUpdated = 500

func (s *service) update(topic string, now time.Time) serviceUpdate {
	u := serviceUpdate{Topic: topic, At: now.UnixMilli(), Row: s.row(), Nodes: s.nodes(now), Endpoints: []endpointNumbers{}}
	u.Nodes = u.Nodes[:min(len(u.Nodes), maxUpdated)]
	for _, e := range s.endpoints {
		u.Endpoints = append(u.Endpoints, e.numbers(now))
	}
	slices.SortFunc(u.Endpoints, func(a, b endpointNumbers) int {
		return cmp.Or(cmp.Compare(b.Rate.or(-1), a.Rate.or(-1)), strings.Compare(a.Name, b.Name))
	})
	u.Endpoints = u.Endpoints[:min(len(u.Endpoints), maxUpdated)]
	return u
}

// nodes are the instances of a service in order.
func (s *service) nodes(now time.Time) []*node {
	all := make([]*node, 0, len(s.instances))
	for _, i := range s.instances {
		all = append(all, i.node(now))
	}
	slices.SortFunc(all, func(a, b *node) int { return strings.Compare(a.ID, b.ID) })
	return all
}

func (e *endpoint) numbers(now time.Time) endpointNumbers {
	w := e.recent(now)
	n := endpointNumbers{
		Name: e.name, Rate: e.rate, P50: w.calls.quantile(0.50), P99: w.calls.quantile(0.99), Errors: e.errorRate, Percent: unknownNumber(),
		Requests: e.requests, Failed: e.errors, Refused: e.refused, LastError: e.lastError,
	}
	if w.taken > 0 {
		n.Percent = numeral(100 * float64(w.failed) / float64(w.taken))
	} else if e.rate.known() {
		n.Percent = 0
	}
	return n
}
