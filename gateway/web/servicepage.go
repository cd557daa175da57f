package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc/schema"
)

const (
	// schemaPatience bounds how long a page waits for schemas.
	schemaPatience = 2 * time.Second
	// maxDescribed bounds the bytes of schemas, trees and examples on one page.
	maxDescribed = 4 << 20
	// maxCharted is how many endpoints of a service have a history on its page.
	maxCharted = 24
)

// A serviceData is the page of a service.
type serviceData struct {
	At         int64             `json:"at"`
	Seq        uint64            `json:"seq"`
	Bus        link              `json:"bus"`
	Row        *row              `json:"row"`
	Metadata   map[string]string `json:"metadata"`
	Endpoints  []*endpointData   `json:"endpoints"`
	Nodes      []*node           `json:"nodes"`
	Series     series            `json:"series"`
	ByEndpoint map[string]series `json:"endpoint_series,omitempty"`
	ByVersion  []versionData     `json:"by_version,omitempty"`
	Compare    *comparison       `json:"compare,omitempty"`
	Callers    []edgeView        `json:"callers"`
	Callees    []edgeView        `json:"callees"`
	Errors     []problem         `json:"errors"`
	Gone       bool              `json:"gone"`
	Tab        string            `json:"tab"`
	Commands   commands          `json:"commands"`
}

// An endpointData is a method with all that is known of it.
type endpointData struct {
	endpointNumbers
	Kind         string            `json:"kind"`
	Description  string            `json:"description,omitempty"`
	Idempotent   bool              `json:"idempotent"`
	Timeout      int64             `json:"timeout_ms,omitempty"`
	Metadata     map[string]string `json:"metadata"`
	Subject      string            `json:"subject"`
	Instances    int               `json:"instances"`
	Request      json.RawMessage   `json:"request"`
	Response     json.RawMessage   `json:"response"`
	RequestTree  *discovery.Value  `json:"request_tree"`
	ResponseTree *discovery.Value  `json:"response_tree"`
	Example      json.RawMessage   `json:"example"`
	LeftOut      bool              `json:"left_out,omitempty"`
	Debug        bool              `json:"debug"`
	Commands     commands          `json:"commands"`

	endpoint discovery.Endpoint
}

func (w *Web) servicePage(r *http.Request) (*page, error) {
	name, tab := r.PathValue("name"), r.PathValue("tab")
	switch tab {
	case "", "endpoints", "nodes", "stats":
	case "raw":
		return w.rawPage(r, name)
	default:
		return w.missing(http.StatusNotFound, fmt.Sprintf("a service has no page %q", tab), nil), nil
	}
	span, step, err := rangeOf(r.URL.Query().Get("range"))
	if err != nil {
		return nil, err
	}
	compare, err := comparisonOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	d := w.collect.service(name, now, span, step, tab == "stats")
	if d == nil {
		return w.noService(name), nil
	}
	d.Tab = cmp.Or(tab, "endpoints")
	if tab == "stats" && compare != nil {
		compare.fill(d.ByVersion)
		d.Compare = compare
	}
	d.Commands = commandsOfService(name, w.cfg.Links())
	w.describe(r.Context(), name, d.Endpoints)
	return &page{name: "service", title: name, data: d, text: d.text}, nil
}

// noService is the page of a service that nobody has seen lately, or that has no
// node to be asked.
func (w *Web) noService(name string) *page {
	if w.collect.has(name) {
		return w.missing(http.StatusNotFound, fmt.Sprintf("%s has no node any more", name), []way{{name, "/services/" + name}})
	}
	near := []way{}
	for _, n := range discovery.Near(name, w.collect.names()) {
		near = append(near, way{n, "/services/" + n})
	}
	return w.missing(http.StatusNotFound, fmt.Sprintf("no service %s has been seen in the last ten minutes", name), near)
}

// service is the page of a service, nil if there is none.
func (c *collector) service(name string, now time.Time, span, step time.Duration, each bool) *serviceData {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.t.services[name]
	if s == nil {
		return nil
	}
	s.watched = now.Add(fineSpan)
	d := &serviceData{
		At: now.UnixMilli(), Seq: c.rows.seq, Bus: c.link(now), Row: s.full(), Metadata: s.metadata, Nodes: s.nodes(now),
		Errors: s.problems, Gone: len(s.instances) == 0,
	}
	if d.Metadata == nil {
		d.Metadata = map[string]string{}
	}
	if d.Errors == nil {
		d.Errors = []problem{}
	}
	d.Errors = slices.Clone(d.Errors)
	from, to := slots(span, step, now)
	d.Series = pick(step, s.ring, s.fine).read(from, to, true)
	if each {
		d.ByEndpoint = make(map[string]series)
		for _, e := range s.charted() {
			d.ByEndpoint[e.name] = pick(step, e.ring, e.fine).read(from, to, false)
		}
		d.ByVersion = s.versionData(now)
	}
	d.Endpoints = s.endpointData(now)
	d.Callers = c.t.liveEdges(now, func(k edgeKey) bool { return k.to == name })
	d.Callees = c.t.liveEdges(now, func(k edgeKey) bool { return k.from == name })
	return d
}

// charted are the endpoints with a history, those with most requests.
func (s *service) charted() []*endpoint {
	var all []*endpoint
	for method, e := range s.endpoints {
		if !isDebug(method) && (e.ring != nil || e.fine != nil) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *endpoint) int {
		return cmp.Or(cmp.Compare(b.rate.or(-1), a.rate.or(-1)), cmp.Compare(b.requests, a.requests), strings.Compare(a.name, b.name))
	})
	return all[:min(len(all), maxCharted)]
}

// pick is the history with the given step; either may be nil. Where nobody watched
// the fine one has what the coarse one has.
func pick(step time.Duration, coarse, fine *ring) *ring {
	if step != fineStep {
		if coarse == nil {
			coarse = newRing(0, historyStep)
		}
		return coarse
	}
	r := &ring{step: int64(step / time.Second), chunks: make([]*chunk, 1), under: coarse}
	if fine != nil {
		r.chunks = fine.chunks
	}
	return r
}

// endpointData lists the methods, without their schemas. Of instances that differ
// the youngest describes a method.
func (s *service) endpointData(now time.Time) []*endpointData {
	instances := make([]*instance, 0, len(s.instances))
	for _, i := range s.instances {
		instances = append(instances, i)
	}
	slices.SortFunc(instances, func(a, b *instance) int { return a.info.Started.Compare(b.info.Started) })
	known := make(map[string]*endpointData)
	all := []*endpointData{}
	for _, i := range instances {
		for _, e := range i.info.Endpoints {
			d := known[e.Name]
			if d == nil {
				d = &endpointData{endpointNumbers: s.endpoint(e.Name).numbers(now), Debug: isDebug(e.Name)}
				known[e.Name] = d
				all = append(all, d)
			}
			d.endpoint = e
			d.Subject, _ = i.info.CallSubject(e.Name)
			d.Instances++
		}
	}
	for _, d := range all {
		d.fill(s)
	}
	slices.SortFunc(all, func(a, b *endpointData) int { return orderMethods(a.Name, b.Name) })
	return all
}

func (d *endpointData) fill(s *service) {
	e := d.endpoint
	d.Kind = cmp.Or(e.Kind, discovery.KindUnary)
	d.Description, d.Idempotent, d.Metadata = e.Metadata["description"], e.Metadata[discovery.MetaIdempotent] == "true", e.Metadata
	if d.Metadata == nil {
		d.Metadata = map[string]string{}
	}
	if ms, err := strconv.ParseInt(e.Metadata["timeout"], 10, 64); err == nil {
		d.Timeout = ms
	}
	if d.Subject == "" && s.kind == "mbus" {
		d.Subject = wire.CallSubject(s.name, e.Name)
	}
	d.RequestTree, d.ResponseTree = e.RequestValue, e.ResponseValue
}

// describe adds schemas, an example and commands to endpoints.
func (w *Web) describe(ctx context.Context, service string, all []*endpointData) {
	ctx, cancel := context.WithTimeout(ctx, schemaPatience)
	defer cancel()
	var hashes []string
	requests := make(map[string]bool)
	for _, d := range all {
		hashes = append(hashes, d.endpoint.Request, d.endpoint.Response)
		requests[d.endpoint.Request] = true
	}
	bodies := w.schemas.Get(ctx, service, hashes...)
	known := make(map[string]*described, len(bodies)) // methods share types
	for hash, body := range bodies {
		known[hash] = describeSchema(body, requests[hash])
	}
	links := w.cfg.Links()
	left := maxDescribed
	for _, d := range all {
		request, response := known[d.endpoint.Request], known[d.endpoint.Response]
		if left -= request.size() + response.size(); left < 0 {
			request, response, d.LeftOut = nil, nil, true
		}
		d.Example = json.RawMessage("{}")
		if request != nil {
			d.Request, d.Example = request.body, request.example
			d.RequestTree = cmp.Or(d.RequestTree, &request.tree)
		}
		if response != nil {
			d.Response = response.body
			d.ResponseTree = cmp.Or(d.ResponseTree, &response.tree)
		}
		d.Commands = commandsOfCall(service, d.Name, "", string(compact(d.Example)), d.Kind != discovery.KindUnary, links)
	}
}

// described is a schema with what pages make of it.
type described struct {
	body    json.RawMessage
	tree    discovery.Value
	example json.RawMessage
}

func describeSchema(body json.RawMessage, request bool) *described {
	d := &described{body: body, tree: discovery.ValueOf(body), example: json.RawMessage("{}")}
	if request {
		if example, err := schema.Skeleton(body); err == nil {
			d.example = example
		}
	}
	return d
}

// size is about how many bytes of a page it takes.
func (d *described) size() int {
	if d == nil {
		return 0
	}
	return len(d.body) + 4*len(d.example) + sizeOfTree(&d.tree) // the example is in the commands too
}

func sizeOfTree(v *discovery.Value) int {
	n := len(v.Name) + len(v.Type) + len(`{"name":"","type":"","values":[]},`)
	for i := range v.Values {
		n += sizeOfTree(&v.Values[i])
	}
	return n
}

func compact(text json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

func (d *serviceData) text(b *bytes.Buffer) {
	_, _ = fmt.Fprintf(b, "%s  %s", d.Row.Name, d.Row.Health) // a Buffer takes everything
	if d.Row.Why != "" {
		_, _ = fmt.Fprintf(b, " (%s)", d.Row.Why)
	}
	b.WriteString("\n\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "METHOD\tKIND\tREQ/S\tP50 ms\tP99 ms\tERR %")
	for _, e := range d.Endpoints {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Kind, e.Rate.text(), e.P50.text(), e.P99.text(), e.Percent.text())
	}
	_ = w.Flush()
	if d.Compare != nil {
		d.Compare.text(b)
	}
	b.WriteString("\n")
	nodesText(b, d.Nodes)
	for _, e := range d.Errors {
		_, _ = fmt.Fprintf(b, "\n%s %s %s: %s", time.UnixMilli(e.At).UTC().Format(time.TimeOnly), e.Node, e.Method, e.Text)
	}
	_, _ = fmt.Fprintf(b, "\n%s\n", d.Commands.Mbus)
}

func nodesText(b *bytes.Buffer, nodes []*node) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NODE\tSTATE\tVERSION\tREQ/S\tIN FLIGHT\tADDRESS")
	for _, n := range nodes {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", n.ID, n.State, n.Version, n.Rate.text(), n.InFlight, n.Address)
	}
	_ = w.Flush() // a Buffer takes everything
}

// rawPage is a service in Micro's shape, as mbus get prints it in JSON.
func (w *Web) rawPage(r *http.Request, name string) (*page, error) {
	services := w.micro(r.Context(), name)
	if len(services) == 0 {
		return w.noService(name), nil
	}
	data := microServices{services}
	return &page{name: "service", title: name, data: struct {
		microServices
		Tab string `json:"tab"`
	}{data, "raw"}, text: func(b *bytes.Buffer) {
		text, err := json.MarshalIndent(services, "", "  ")
		if err == nil { // it is made of what JSON has
			b.Write(text)
			b.WriteByte('\n')
		}
	}}, nil
}

type microServices struct {
	Services []discovery.Service `json:"services"`
}

// micro is a service as Micro's registry gave it, one for each version.
func (w *Web) micro(ctx context.Context, name string) []discovery.Service {
	view := w.bus.View()
	if view == nil {
		return nil
	}
	instances := view.All(name)
	var hashes []string
	for _, i := range instances {
		for _, e := range i.Endpoints {
			hashes = append(hashes, e.Request, e.Response)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, schemaPatience)
	defer cancel()
	return discovery.Services(instances, w.schemas.Get(ctx, name, hashes...))
}

func sortEdges(all []edgeView) {
	slices.SortFunc(all, func(a, b edgeView) int {
		return cmp.Or(cmp.Compare(b.Calls.or(0), a.Calls.or(0)), strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
}
