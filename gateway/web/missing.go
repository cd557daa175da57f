package web

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/mbus-dev/mbus/discovery"
)

// A way is somewhere to go on.
type way struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

type missingData struct {
	Detail string `json:"detail"`
	Near   []way  `json:"near"`
	Ways   []way  `json:"ways"`
}

// ways are the pages that everything can be reached from.
func ways() []way {
	return []way{{"Services", "/services"}, {"Nodes", "/nodes"}, {"Query", "/query"}, {"Events", "/events"}, {"Web apps", "/webapps"}}
}

// missing is the page of what is not there, with ways on.
func (w *Web) missing(status int, detail string, near []way) *page {
	if near == nil {
		near = []way{}
	}
	d := missingData{Detail: detail, Near: near, Ways: ways()}
	title := "Not found"
	if status != http.StatusNotFound {
		title = http.StatusText(status)
	}
	return &page{name: "missing", title: title, status: status, data: d, text: func(b *bytes.Buffer) {
		_, _ = fmt.Fprintf(b, "%s\n", detail) // a Buffer takes everything
		for _, n := range append(near, d.Ways...) {
			_, _ = fmt.Fprintf(b, "  %s\n", n.Path)
		}
	}}
}

// pages are the first parts of the paths that the dashboard has for itself.
func pages() []string {
	return []string{
		"services", "nodes", "query", "topology", "stats", "events", "terminal", "cli", "webapps", "gateway", "bus", "registry",
		"rpc", "favicon.ico", "healthz", "readyz", "-", "client", "traces", "logs", "config", "login", "call",
	}
}

// reserved reports whether a path cannot be that of a web app.
func reserved(first string) bool {
	for _, name := range pages() {
		if name == first {
			return true
		}
	}
	return false
}

// missingPage is what a path leads to that is nobody's.
func (w *Web) missingPage(r *http.Request) (*page, error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	near := []way{}
	if p, ok := strings.CutPrefix(r.URL.Path, "/services/"); ok {
		first = p
	} else {
		for _, name := range discovery.Near(first, []string{"services", "nodes", "query", "topology", "stats", "events", "terminal", "webapps", "gateway", "bus"}) {
			near = append(near, way{name, "/" + name})
		}
	}
	if rest == "" {
		for _, name := range discovery.Near(first, w.collect.names()) {
			near = append(near, way{name, "/services/" + url.PathEscape(name)})
		}
	}
	return w.missing(http.StatusNotFound, fmt.Sprintf("there is nothing at %s", r.URL.Path), near), nil
}
