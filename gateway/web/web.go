package web

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

// Service is what the dashboard announces itself as.
const Service = "go.micro.web"

const defaultNamespace = "go.micro.web"

// Config configures a Web. The zero value works.
type Config struct {
	// Namespace is that of the web apps. "" means "go.micro.web".
	Namespace string
	// Version is that of the program. "" means "devel".
	Version string
	// System is a connection in the broker's system account, for the page about
	// the bus. Nil leaves out what only that account may see.
	System *bus.Conn
	// Links are where the other listeners of the process are, asked for when a page
	// shows them. Nil means that there are none.
	Links func() Links
	// HideAuthorization keeps the header Authorization from web apps, where it is
	// for the dashboard.
	HideAuthorization bool
	// Dir is served instead of the files in the program, for those who change
	// them. "" means the files in the program.
	Dir string
	// Logger gets what no page can tell. The zero value is silent.
	Logger zerolog.Logger
}

// Links are URLs; "" is what is not there.
type Links struct {
	API     string `json:"api,omitempty"`
	Sidecar string `json:"sidecar,omitempty"`
	Bus     string `json:"bus,omitempty"`
	// Namespace is that of the API gateway's paths.
	Namespace string `json:"namespace,omitempty"`
}

// A Web is the dashboard: an http.Handler, to be behind a gateway.Edge, and a
// bus.Runner, which must run after the gateway.Bus. It may be used from any
// goroutine.
type Web struct {
	bus     *gateway.Bus
	cfg     Config
	log     zerolog.Logger
	assets  *assets
	schemas *gateway.Schemas
	talks   *live.Server
	rpc     http.Handler
	mux     *http.ServeMux
	collect *collector
	live    *hub
	tails   *tails
	apps    *apps
	monitor *monitor

	started time.Time
	cancel  context.CancelFunc
}

var _ bus.Runner = (*Web)(nil)

// New returns a dashboard of what b sees. The error is about Dir.
func New(b *gateway.Bus, cfg Config) (*Web, error) {
	cfg.Namespace = cmp.Or(cfg.Namespace, defaultNamespace)
	cfg.Version = cmp.Or(cfg.Version, "devel")
	if cfg.Links == nil {
		cfg.Links = func() Links { return Links{} }
	}
	w := &Web{bus: b, cfg: cfg, log: cfg.Logger, schemas: gateway.NewSchemas(b), rpc: gateway.RPC(b), started: time.Now()}
	var files fs.FS
	if cfg.Dir != "" {
		if _, err := os.Stat(cfg.Dir); err != nil {
			return nil, bus.Errorf(bus.InvalidArgument, "the files of the dashboard: %w", err)
		}
		files = os.DirFS(cfg.Dir)
	}
	var err error
	if w.assets, err = loadAssets(files); err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "the files of the dashboard: %w", err)
	}
	w.talks = live.New(b, live.Config{From: Service, Logger: cfg.Logger})
	w.live = newHub(w.assets.hash)
	w.tails = newTails(b, w.live)
	w.monitor = newMonitor(b.Conn, cfg.System)
	w.collect = newCollector(b, w.live, func() string { return cfg.Links().Bus }, cfg.Logger)
	w.apps = newApps(w)
	w.routes()
	return w, nil
}

// Start begins to collect numbers.
func (w *Web) Start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	w.collect.start(gateway.Own(running), w)
	w.tails.start(running)
	return nil
}

// Stop ends the streams to browsers and the collecting.
func (w *Web) Stop(ctx context.Context) error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	w.live.end()
	w.collect.wait()
	w.apps.transport.CloseIdleConnections()
	return errors.Join(w.tails.stop(ctx), w.talks.Stop(ctx))
}

// ServeHTTP answers: for the host of an app the app, for any other the
// dashboard.
func (w *Web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if alias, ok := appHost(r.Host); ok {
		w.apps.serveHost(rw, r, alias)
		return
	}
	if !strings.HasPrefix(r.URL.Path, assetsPath) {
		w.collect.touch()
	}
	w.mux.ServeHTTP(rw, r)
}

// Hosts are the names that an Edge before a dashboard has to let in: those of
// web apps.
func Hosts() []string { return []string{"*.localhost"} }

// Page reports whether a link on a page of another site may lead to a path: to all
// but the dashboard's own endpoints.
func Page(path string) bool { return !strings.HasPrefix(path, "/-/") && path != "/rpc" }

// Public reports whether a path is that of a web app, of which any page may load
// scripts and pictures as it may from the app itself.
func Public(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first != "" && first != "-" && !reserved(first)
}

// routes are the paths of the dashboard.
func (w *Web) routes() {
	m := http.NewServeMux()
	w.mux = m
	m.HandleFunc("GET /-/a/{hash}/{file...}", w.serveAsset)
	m.HandleFunc("GET /-/live", w.serveLive)
	m.HandleFunc("POST /-/live", w.changeLive)
	m.HandleFunc("GET /-/index", w.serveIndex)
	m.HandleFunc("POST /-/call", w.serveCall)
	m.HandleFunc("/-/stream", w.serveStream)
	m.HandleFunc("POST /-/publish", w.servePublish)
	m.HandleFunc("GET /-/subscribers", w.serveSubscribers)
	m.HandleFunc("POST /-/deregister", w.serveDeregister)
	m.HandleFunc("POST /-/drain", w.serveDrain)
	m.HandleFunc("POST /-/terminal", w.serveTerminal)
	m.HandleFunc("GET /-/route", w.serveRoute)
	m.Handle("/rpc", w.rpc)
	m.HandleFunc("GET /favicon.ico", w.serveIcon)

	m.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "/services", http.StatusFound)
	})
	for pattern, page := range map[string]func(*http.Request) (*page, error){
		"/services": w.servicesPage, "/services/{name}": w.servicePage, "/services/{name}/{tab}": w.servicePage,
		"/registry": w.registryPage, "/nodes": w.nodesPage, "/nodes/{id...}": w.nodePage,
		"/query": w.queryPage, "/query/{service}": w.queryPage, "/query/{service}/{method}": w.queryPage,
		"/topology": w.topologyPage, "/stats": w.statsPage, "/events": w.eventsPage,
		"/terminal": w.terminalPage, "/cli": w.terminalPage, "/webapps": w.webappsPage,
		"/gateway": w.gatewayPage, "/bus": w.busPage,
	} {
		m.HandleFunc("GET "+pattern, func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r, page) })
	}
	m.HandleFunc("/", w.serveRest)
}

// serveRest answers what no page has: the path of a web app, or a page that says
// where to go.
func (w *Web) serveRest(rw http.ResponseWriter, r *http.Request) {
	if w.apps.servePath(rw, r) {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		gateway.WriteError(rw, r, Service, bus.Errorf(bus.NotFound, "there is nothing at %s", r.URL.Path))
		return
	}
	w.serve(rw, r, w.missingPage)
}

// now is the time in the unit of the pages.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
