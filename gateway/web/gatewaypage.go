package web

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
)

const maxRoutes = 500

type gatewayData struct {
	Bus      link              `json:"bus"`
	API      *apiData          `json:"api"`
	Sidecar  *sidecarData      `json:"sidecar"`
	Routes   []routeData       `json:"routes"`
	More     int               `json:"more"`
	Match    *matchData        `json:"match"`
	Limits   map[string]string `json:"limits"`
	Commands map[string]string `json:"commands"`
}

type apiData struct {
	URL       string `json:"url"`
	Namespace string `json:"namespace"`
}

type sidecarData struct {
	URL string `json:"url"`
}

// A routeData is a way from HTTP to a method: one that an endpoint asks for, or
// that its name makes.
type routeData struct {
	Methods []string `json:"methods"`
	Path    string   `json:"path"`
	Hosts   []string `json:"hosts"`
	Service string   `json:"service"`
	Method  string   `json:"method"`
	Kind    string   `json:"kind"`
	Source  string   `json:"source"`
	Rate    numeral  `json:"rps"`
	P99     numeral  `json:"p99_ms"`
	Errors  numeral  `json:"errors_per_s"`
	Curl    string   `json:"curl"`
}

// A matchData says where the API gateway would send a request.
type matchData struct {
	Verb    string   `json:"verb"`
	Path    string   `json:"path"`
	Service string   `json:"service"`
	Method  string   `json:"method"`
	Source  string   `json:"source"`
	Known   bool     `json:"known"`
	Why     string   `json:"why"`
	Near    []string `json:"near"`
}

func (w *Web) gatewayPage(r *http.Request) (*page, error) {
	links := w.cfg.Links()
	d := &gatewayData{Bus: w.collect.state(), Limits: limits(), Commands: map[string]string{}}
	if links.API != "" {
		d.API = &apiData{links.API, cmp.Or(links.Namespace, "go.micro.api")}
		d.Commands["openapi"] = "curl " + shellQuote(links.API+"/openapi.json")
		d.Commands["rpc"] = "curl -H 'Content-Type: application/json' -d " +
			shellQuote(`{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`) + " " + shellQuote(links.API+"/rpc")
	}
	if links.Sidecar != "" {
		d.Sidecar = &sidecarData{links.Sidecar}
		d.Commands["register"] = "curl -X POST -H 'Content-Type: application/json' -d " +
			shellQuote(`{"name":"ruby.micro.srv.greeter","nodes":[{"id":"ruby-1","address":"127.0.0.1","port":9090}]}`) + " " + shellQuote(links.Sidecar+"/registry")
		d.Commands["publish"] = "curl -d " + shellQuote(`{"id":1}`) + " -H 'Content-Type: application/json' " + shellQuote(links.Sidecar+"/broker?topic=user.created")
	}
	d.Routes, d.More = w.collect.routes(links, time.Now())
	if path := r.URL.Query().Get("path"); path != "" {
		match, err := w.match(r)
		if err != nil {
			return nil, err
		}
		d.Match = match
	}
	return &page{name: "gateway", title: "Gateway", data: d, text: d.text}, nil
}

func limits() map[string]string {
	return map[string]string{
		"header": "32 KiB", "uri": "8 KiB", "json": "1 MiB", "upload": "64 MiB (--max-upload)", "connections": "16384 (--max-connections)",
	}
}

// routes lists the ways to methods, those that endpoints ask for first.
func (c *collector) routes(links Links, now time.Time) (all []routeData, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all = []routeData{}
	for name, s := range c.t.services {
		if s.kind == "app" || len(s.instances) == 0 {
			continue
		}
		for _, e := range s.endpointData(now) {
			if e.Debug {
				continue
			}
			one := routeData{
				Methods: []string{}, Hosts: []string{}, Service: name, Method: e.Name, Kind: e.Kind, Source: "name", Rate: e.Rate, P99: e.P99, Errors: e.Errors,
				Path: "/" + name + "/" + e.Name,
			}
			paths := fields(e.Metadata["path"])
			for _, path := range paths {
				asked := one
				asked.Path, asked.Source = path, "route"
				asked.Methods, asked.Hosts = fields(strings.ToUpper(e.Metadata["method"])), fields(e.Metadata["host"])
				all = append(all, asked)
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b routeData) int {
		return cmp.Or(strings.Compare(b.Source, a.Source), strings.Compare(a.Path, b.Path), strings.Compare(a.Service, b.Service))
	})
	if len(all) > maxRoutes {
		more, all = len(all)-maxRoutes, all[:maxRoutes]
	}
	for i := range all {
		all[i].Curl = curlOf(&all[i], links)
	}
	return all, more
}

// fields reads a list with commas.
func fields(text string) []string {
	all := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

func curlOf(r *routeData, l Links) string {
	if l.API == "" {
		return ""
	}
	verb := "POST"
	if len(r.Methods) > 0 {
		verb = r.Methods[0]
	}
	if verb == "GET" {
		return "curl " + shellQuote(l.API+r.Path)
	}
	text := "curl "
	if verb != "POST" {
		text += "-X " + verb + " "
	}
	return text + "-H 'Content-Type: application/json' -d '{}' " + shellQuote(l.API+r.Path)
}

// serveRoute tries a request without making it.
func (w *Web) serveRoute(rw http.ResponseWriter, r *http.Request) {
	match, err := w.match(r)
	if err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	writeJSON(rw, r, http.StatusOK, match)
}

// match is where the API gateway would send a request.
func (w *Web) match(r *http.Request) (*matchData, error) {
	q := r.URL.Query()
	m := &matchData{Verb: strings.ToUpper(cmp.Or(q.Get("method"), http.MethodGet)), Path: q.Get("path"), Near: []string{}}
	if !strings.HasPrefix(m.Path, "/") {
		return nil, bus.Errorf(bus.InvalidArgument, "path=%.80q: a path begins with /", m.Path)
	}
	found := api.Try(w.bus, api.Config{Namespace: w.cfg.Links().Namespace}, m.Verb, q.Get("host"), m.Path)
	m.Service, m.Method, m.Source, m.Known, m.Why = found.Service, found.Method, found.Source, found.Known, found.Why
	if !m.Known && m.Service != "" {
		if methods := w.collect.methods(m.Service); len(methods) > 0 {
			m.Near = append(m.Near, discovery.Near(m.Method, methods)...)
		} else {
			m.Near = append(m.Near, discovery.Near(m.Service, w.collect.names())...)
		}
	}
	return m, nil
}

func (d *gatewayData) text(b *bytes.Buffer) {
	for _, r := range d.Routes {
		_, _ = fmt.Fprintf(b, "%s %s -> %s %s\n", cmp.Or(strings.Join(r.Methods, ","), "*"), r.Path, r.Service, r.Method) // a Buffer takes everything
	}
	if d.Match != nil {
		_, _ = fmt.Fprintf(b, "\n%s %s -> %s %s (%s)\n", d.Match.Verb, d.Match.Path, d.Match.Service, d.Match.Method, d.Match.Why)
	}
}
