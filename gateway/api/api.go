package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

// name is who refuses a request that did not become a call.
const name = "go.micro.api"

const (
	defaultNamespace = "go.micro.api"
	defaultMaxUpload = 64 << 20
)

// Config configures an API. The zero value works.
type Config struct {
	// Namespace completes the names of services in Micro's paths. "" means
	// go.micro.api.
	Namespace string
	// Handler restricts the API to one of api, rpc, http, proxy, web, event and
	// cloudevents. "" serves them together.
	Handler string
	// MaxUpload is the most bytes of a body that is neither JSON nor a form. 0
	// means 64 MiB. All uploads together may hold four times as much; more are
	// refused.
	MaxUpload int64
	// Targets are the networks that apps may be reached in. None means loopback
	// only.
	Targets []netip.Prefix
	// HideAuthorization keeps the header Authorization from services and apps,
	// which is right where the gateway itself reads bearer tokens.
	HideAuthorization bool
	// Live holds streams and topics. Nil serves none.
	Live *live.Server
	// Documents answers /, /openapi.json, /asyncapi.json and the files of the
	// page at /. Nil answers not_found.
	Documents http.Handler
	// MCP answers /mcp. Nil answers not_found.
	MCP http.Handler
	// Logger gets what no client can be told. The zero value is silent.
	Logger zerolog.Logger
}

// An API is the API gateway: it turns requests into calls. It may be used from
// any goroutine.
type API struct {
	bus     *gateway.Bus
	cfg     Config
	rpc     http.Handler
	shapes  *shapes
	routes  *routes
	proxy   *proxy
	holds   holds
	packers sync.Pool // of *gzip.Writer
	usual   usual
}

// usual are the values of headers that most answers have. All share the slices:
// whoever sets or appends makes a new one.
type usual struct{ noStore, json, accept []string }

var _ http.Handler = (*API)(nil)

// New returns an API that calls through b. The error is that of a Handler that
// does not exist, a Namespace that is none, or a MaxUpload below zero.
func New(b *gateway.Bus, cfg Config) (*API, error) {
	if cfg.Namespace == "" {
		cfg.Namespace = defaultNamespace
	}
	if cfg.MaxUpload == 0 {
		cfg.MaxUpload = defaultMaxUpload
	}
	switch {
	case cfg.Handler != "" && !slices.Contains(handlers(), cfg.Handler):
		return nil, bus.Errorf(bus.InvalidArgument, "no handler %.60q: there are %s", cfg.Handler, strings.Join(handlers(), ", "))
	case !isName(cfg.Namespace):
		return nil, bus.Errorf(bus.InvalidArgument, "the namespace %.140q is no name: it is tokens of A-Z a-z 0-9 _ - joined by dots", cfg.Namespace)
	case cfg.MaxUpload < 0:
		return nil, bus.Errorf(bus.InvalidArgument, "the limit of uploads is %d bytes: want more than none", cfg.MaxUpload)
	}
	a := &API{bus: b, cfg: cfg, rpc: gateway.RPC(b), shapes: newShapes(b)}
	a.holds.limit = 4 * cfg.MaxUpload
	a.usual = usual{noStore: []string{"no-store"}, json: []string{codec.JSON.ContentType()}, accept: []string{"Accept"}}
	a.routes = newRoutes(b, cfg.Logger)
	a.proxy = newProxy(a)
	return a, nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !a.verb(w, r) {
		return
	}
	parts, err := gateway.Segments(r.URL)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if len(parts) < 2 && a.fixed(w, r, "/"+strings.Join(parts, "")) { // none of them has more
		return
	}
	a.serve(w, r, parts)
}

// verb answers OPTIONS, and refuses what is no method of HTTP.
func (a *API) verb(w http.ResponseWriter, r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	case http.MethodOptions:
		w.Header().Set("Allow", allVerbs)
		w.Header().Set("Content-Length", "0")
	default:
		a.fail(w, r, notAllowed(w, allVerbs, "%.20q is no method of this gateway", r.Method))
	}
	return false
}

const allVerbs = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// notAllowed is the error of a method of HTTP that does not go here.
func notAllowed(w http.ResponseWriter, allow, format string, args ...any) error {
	w.Header().Set("Allow", allow)
	return status(http.StatusMethodNotAllowed, format, args...)
}

// status is an error that has a status and no code of its own.
func status(status int, format string, args ...any) error {
	e := bus.Errorf(bus.InvalidArgument, format, args...)
	e.Status = status
	return e
}

// fixed serves the paths that belong to no service. The path is without empty
// parts.
func (a *API) fixed(w http.ResponseWriter, r *http.Request, path string) bool {
	var room http.Handler
	switch path {
	case "/rpc":
		room = a.rpc
	case "/", "/openapi.json", "/asyncapi.json", "/page.js", "/page.css":
		room = a.cfg.Documents
	case "/mcp":
		room = a.cfg.MCP
	case "/favicon.ico": // as in Micro: there is none
		w.Header().Set("Cache-Control", "max-age=86400")
		return true
	case "/events":
		if a.cfg.Live != nil {
			room = http.HandlerFunc(a.cfg.Live.ServeEvents)
		}
	case "/healthz", "/readyz", "/stats": // of the server, if anybody's
	default:
		return false
	}
	if room == nil {
		a.fail(w, r, bus.Errorf(bus.NotFound, "there is nothing at %s", path))
		return true
	}
	room.ServeHTTP(w, r)
	return true
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	gateway.WriteError(w, r, name, err)
}

// handlers are the values of Config.Handler.
func handlers() []string {
	return []string{handlerAPI, handlerRPC, handlerHTTP, handlerProxy, handlerWeb, handlerEvent, handlerCloudEvents}
}

// The names of handlers, in Config.Handler and in the metadata of endpoints.
const (
	handlerAPI         = "api"
	handlerRPC         = "rpc"
	handlerHTTP        = "http"
	handlerProxy       = "proxy" // another word for http
	handlerWeb         = "web"
	handlerEvent       = "event"
	handlerCloudEvents = "cloudevents"
)

// isName reports whether s can begin the name of a service.
func isName(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if token == "" || token[0] == '_' || token[len(token)-1] == '_' || strings.Trim(token, nameBytes) != "" {
			return false
		}
	}
	return true
}

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
