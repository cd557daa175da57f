package web

import (
	"context"
	"html/template"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

const (
	appHostSuffix = ".localhost"
	// headerBasePath tells an app below which path it is shown.
	headerBasePath = "X-Micro-Web-Base-Path"
	// sandbox keeps what an app sends from the origin of the dashboard.
	sandbox = "sandbox allow-scripts allow-forms"

	maxAppFailures = 200
)

// appHost is the alias in the host of a request, if that is one of an app.
func appHost(hostport string) (alias string, ok bool) {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	alias, ok = strings.CutSuffix(host, appHostSuffix)
	return alias, ok && alias != ""
}

// apps show the web apps that are registered with an address.
type apps struct {
	web       *Web
	transport *gateway.AppTransport
	reverse   httputil.ReverseProxy

	mu     sync.Mutex
	failed map[string]problem // by service: what went wrong last
}

// A visit is one request to an app.
type visit struct {
	service string
	alias   string
	base    string // the prefix of the path form, "" at its own host
	targets []string
	nodes   []string
	tried   string // the node that was tried last
	lasts   func() // says that the answer lasts as long as it lasts
	edge    http.Header
}

type visitKey struct{}

func newApps(w *Web) *apps {
	a := &apps{web: w, transport: gateway.NewAppTransport(maxAppConns, netip.Addr.IsLoopback), failed: make(map[string]problem)}
	a.reverse = httputil.ReverseProxy{
		Rewrite: a.rewrite, Transport: a, ModifyResponse: a.modify, ErrorHandler: a.unanswered,
		FlushInterval: -1, ErrorLog: log.New(discard{}, "", 0), // the access log has the status
	}
	return a
}

// discard takes the log of the proxy.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// serveHost answers for the host of an app. Nothing of the dashboard is there.
func (a *apps) serveHost(rw http.ResponseWriter, r *http.Request, alias string) {
	service := a.service(alias)
	v := &visit{service: service, alias: alias}
	if !a.find(v) {
		a.say(rw, r, v, http.StatusNotFound, "there is no web app "+alias+"; the dashboard lists those that there are")
		return
	}
	a.pass(rw, r, v)
}

// servePath answers for the path of an app, if the path is one.
func (a *apps) servePath(rw http.ResponseWriter, r *http.Request) bool {
	first, _, slash := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if first == "" || reserved(first) {
		return false
	}
	v := &visit{service: a.service(first), alias: first, base: "/" + first}
	if !a.find(v) {
		return false
	}
	if !slash && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// Links in the app are relative to this.
		to := url.URL{Path: "/" + first + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(rw, r, to.String(), http.StatusFound)
		return true
	}
	a.pass(rw, r, v)
	return true
}

func (a *apps) service(alias string) string { return a.web.cfg.Namespace + "." + alias }

// find looks for the nodes of an app; there may be none while it is known.
func (a *apps) find(v *visit) bool {
	all := a.web.bus.Apps(v.service)
	start := 0
	if len(all) > 0 {
		start = int(time.Now().UnixNano() % int64(len(all)))
	}
	for n := range all {
		i := &all[(start+n)%len(all)]
		if len(v.targets) < maxAppTries {
			v.targets, v.nodes = append(v.targets, hostPort(i)), append(v.nodes, i.NodeID())
		}
	}
	return len(all) > 0 || a.web.collect.was(v.service)
}

// was reports whether an app with an address is in the table, also one that has
// gone.
func (c *collector) was(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.t.services[service]
	return s != nil && s.kind == "app"
}

// pass hands a request to the app.
func (a *apps) pass(rw http.ResponseWriter, r *http.Request, v *visit) {
	if err := a.web.bus.MayCall(r.Context(), v.service, "HTTP."+r.Method); err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	if len(v.targets) == 0 {
		a.fail(rw, r, v, http.StatusServiceUnavailable, "the app "+v.alias+" has no node at the moment")
		return
	}
	ctx, giveUp := context.WithCancelCause(r.Context())
	defer giveUp(nil)
	v.edge = rw.Header()
	v.lasts = func() {
		stream, over := gateway.Stream(rw, r)
		context.AfterFunc(ctx, over)
		context.AfterFunc(stream, func() { giveUp(context.Cause(stream)) })
	}
	in := r.WithContext(context.WithValue(ctx, visitKey{}, v))
	if r.Body != nil && r.Body != http.NoBody {
		in.Body = http.MaxBytesReader(rw, r.Body, maxAppBody)
	}
	if live.IsWebSocket(r) {
		v.lasts()
	} else {
		in.Header = in.Header.Clone()
		in.Header.Del("Upgrade")
	}
	a.reverse.ServeHTTP(rw, in)
}

// A webApp is one on the page of web apps.
type webApp struct {
	Name     string   `json:"name"`
	Alias    string   `json:"alias"`
	Title    string   `json:"title"`
	Icon     string   `json:"icon"`
	Health   health   `json:"health"`
	Why      string   `json:"why,omitempty"`
	HostURL  string   `json:"host_url"`
	PathURL  string   `json:"path_url"`
	Reserved bool     `json:"reserved"`
	Nodes    []*node  `json:"nodes"`
	Error    *problem `json:"error"`
}

// list returns the apps in order.
func (a *apps) list(host string, secure bool, now time.Time) []webApp {
	_, port, err := net.SplitHostPort(host)
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	suffix := appHostSuffix
	if err == nil {
		suffix += ":" + port
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.web.collect.webApps(a.web.cfg.Namespace+".", now)
	for i := range all {
		one := &all[i]
		one.Reserved = reserved(one.Alias)
		one.HostURL = scheme + one.Alias + suffix + "/"
		if !one.Reserved {
			one.PathURL = "/" + one.Alias + "/"
		}
		if p, failed := a.failed[one.Name]; failed {
			one.Error = &p
		}
	}
	return all
}

// note remembers what went wrong with an app.
func (a *apps) note(v *visit, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.failed) >= maxAppFailures {
		clear(a.failed)
	}
	a.failed[v.service] = problem{At: time.Now().UnixMilli(), Node: v.tried, Text: text}
}

var downPage = template.Must(template.New("down").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="3">
<title>{{.Alias}} is away</title>
<h1>{{.Alias}}</h1>
<p role="alert">{{.Detail}}.</p>
{{with .Node}}<p>Tried: <code>{{.}}</code></p>{{end}}
<p>This page asks again every 3 seconds. <a href="">Ask now</a></p>
</html>
`))

// fail answers for an app that does not, and remembers why.
func (a *apps) fail(rw http.ResponseWriter, r *http.Request, v *visit, status int, detail string) {
	a.note(v, detail)
	a.say(rw, r, v, status, detail)
}

// say answers in place of an app.
func (a *apps) say(rw http.ResponseWriter, r *http.Request, v *visit, status int, detail string) {
	if formOf(r) != formHTML {
		e := bus.Errorf(bus.CodeOfStatus(status), "%s", detail)
		e.Status, e.Service = status, v.service
		gateway.WriteError(rw, r, Service, e)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_ = downPage.Execute(rw, struct{ Alias, Detail, Node string }{v.alias, detail, v.tried}) // the browser has gone
}

func titleOf(metadata map[string]string, alias string) string {
	if title := metadata["title"]; title != "" {
		return cutText(title)
	}
	return alias
}
