package web

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

const maxQueryNodes = 500

type queryData struct {
	Service  string        `json:"service"`
	Method   string        `json:"method"`
	Node     string        `json:"node"`
	Request  string        `json:"request"`
	Methods  []queryMethod `json:"methods"`
	Endpoint *endpointData `json:"endpoint"`
	Nodes    []queryNode   `json:"nodes"`
	Near     []string      `json:"near"`
	Commands commands      `json:"commands"`
}

type queryMethod struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Debug bool   `json:"debug"`
}

type queryNode struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	State   string `json:"state"`
}

// queryPage is the form for a call, as a link fills it in. It calls nothing.
func (w *Web) queryPage(r *http.Request) (*page, error) {
	q := r.URL.Query()
	d := &queryData{Service: r.PathValue("service"), Method: r.PathValue("method"), Node: q.Get("node"), Methods: []queryMethod{}, Nodes: []queryNode{}, Near: []string{}}
	if d.Service == "" {
		d.Service = q.Get("service")
	}
	if d.Method == "" {
		d.Method = q.Get("method")
	}
	if asksMicro(r) {
		return w.microPage(r, "")
	}
	if text := q.Get("req"); text != "" {
		if request, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "=")); err == nil {
			d.Request = string(request)
		}
	} else {
		d.Request = q.Get("request")
	}
	if d.Service != "" {
		w.fillQuery(r, d)
	}
	request := d.Request
	if request == "" && d.Endpoint != nil {
		request = string(compact(d.Endpoint.Example))
	}
	if d.Service != "" && d.Method != "" {
		stream := d.Endpoint != nil && d.Endpoint.Kind != discovery.KindUnary
		d.Commands = commandsOfCall(d.Service, d.Method, d.Node, string(compact([]byte(request))), stream, w.cfg.Links())
	}
	title := "Query"
	if d.Method != "" {
		title = d.Service + " " + d.Method
	}
	return &page{name: "query", title: title, data: d, text: d.text}, nil
}

// fillQuery adds what is known of the service.
func (w *Web) fillQuery(r *http.Request, d *queryData) {
	all := w.collect.queryService(d)
	for _, e := range all {
		d.Methods = append(d.Methods, queryMethod{e.Name, e.Kind, e.Debug})
		if e.Name == d.Method {
			d.Endpoint = e
		}
	}
	if d.Endpoint != nil {
		w.describe(r.Context(), d.Service, []*endpointData{d.Endpoint})
		return
	}
	if len(all) == 0 {
		d.Near = append(d.Near, discovery.Near(d.Service, w.collect.names())...)
		return
	}
	var names []string
	for _, m := range d.Methods {
		names = append(names, m.Name)
	}
	if d.Method != "" {
		d.Near = append(d.Near, discovery.Near(d.Method, names)...)
	}
}

func (c *collector) queryService(d *queryData) []*endpointData {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.t.services[d.Service]
	if s == nil {
		return nil
	}
	now := time.Now()
	for _, i := range s.instances {
		if len(d.Nodes) < maxQueryNodes {
			d.Nodes = append(d.Nodes, queryNode{i.info.NodeID(), i.info.Version, i.state(now)})
		}
	}
	slices.SortFunc(d.Nodes, func(a, b queryNode) int { return strings.Compare(a.ID, b.ID) })
	return s.endpointData(now)
}

func (d *queryData) text(b *bytes.Buffer) {
	if d.Service == "" {
		b.WriteString("mbus query SERVICE METHOD [JSON]\n")
		return
	}
	for _, m := range d.Methods {
		_, _ = fmt.Fprintf(b, "%s %s %s\n", d.Service, m.Name, m.Kind) // a Buffer takes everything
	}
	if d.Commands.Mbus != "" {
		b.WriteString(d.Commands.Mbus + "\n")
	}
	for _, n := range d.Near {
		b.WriteString("did you mean " + n + "\n")
	}
}
