package gateway

import (
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway/token"
)

// EdgeConfig configures an Edge. Only Name is required.
type EdgeConfig struct {
	// Name is who answers for errors that come from no call, such as
	// "go.micro.api".
	Name string
	// Hosts are the names that requests may come for, besides localhost, the
	// loopback addresses and the address that the client connected to;
	// "*.example.com" stands for all names below it. Ports do not count.
	Hosts []string
	// Origins is a comma list of the sites whose pages may use the room, such as
	// "https://example.com"; "*" stands for all, without credentials. "" means
	// the room's own pages only.
	Origins string
	// OriginsFlag is the flag of the mbus command that sets Origins, for
	// messages. "" means "--api-cors".
	OriginsFlag string
	// Pages reports the paths that a link on a page of another site may lead to:
	// those that only show something. Nil means "/" alone.
	Pages func(path string) bool
	// Public reports the paths that a page of another site may read scripts,
	// pictures and the like from, as it may from most sites: those of apps that a
	// room shows, which are no part of it. Nil means none.
	Public func(path string) bool
	// Proxies are the networks whose X-Forwarded-For and X-Forwarded-Proto
	// count. Others' are dropped. See [ParseProxies].
	Proxies []netip.Prefix
	// Tokens verifies the header Authorization of every request. Nil leaves it to
	// the room.
	Tokens *token.Verifier
	// Limits are the rates of requests. None means that there are no limits.
	Limits []Limit
	// Stats adds Micro's page of statistics at /stats, for everybody with a token
	// if there are Tokens.
	Stats bool
	// Logger gets the access log, at the level info, and panics. The zero value
	// is silent.
	Logger zerolog.Logger
}

// An Edge is what stands between clients and a room. It may be used from any
// goroutine, for several rooms.
type Edge struct {
	cfg     EdgeConfig
	hosts   hosts
	origins origins
	proxies proxies
	limits  limits
	stats   *stats
	safety  []safety
}

// A safety is a header field of every answer. The slice is shared by all: whoever
// sets or appends makes a new one.
type safety struct {
	name  string
	value []string
}

// NewEdge returns an Edge. The error is a *bind.ConfigError.
func NewEdge(cfg EdgeConfig) (*Edge, error) {
	e := &Edge{cfg: cfg, proxies: cfg.Proxies, safety: []safety{
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"Referrer-Policy", []string{"no-referrer"}},
		{"Cross-Origin-Resource-Policy", []string{"same-origin"}},
		{"Content-Security-Policy", []string{"default-src 'none'; frame-ancestors 'none'"}},
	}}
	e.cfg.Logger = cfg.Logger.With().Str("gateway", cfg.Name).Logger()
	if e.cfg.OriginsFlag == "" {
		e.cfg.OriginsFlag = "--api-cors"
	}
	if e.cfg.Pages == nil {
		e.cfg.Pages = func(path string) bool { return path == "/" }
	}
	if e.cfg.Public == nil {
		e.cfg.Public = func(string) bool { return false }
	}
	var err error
	if e.hosts, err = newHosts(cfg.Hosts); err != nil {
		return nil, err
	}
	if e.origins, err = newOrigins(e.cfg.OriginsFlag, cfg.Origins); err != nil {
		return nil, err
	}
	if e.limits, err = newLimits(cfg.Limits); err != nil {
		return nil, err
	}
	if cfg.Stats {
		e.stats = newStats()
	}
	return e, nil
}

// Wrap returns room behind the edge.
func (e *Edge) Wrap(room http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, r := exchangeFor(w, r)
		x.id, x.start = requestID(r), time.Now()
		x.client, x.secure = e.proxies.client(r)
		defer e.end(x, r)
		e.headers(x)
		if err := e.admit(x, r); err != nil {
			WriteError(x, r, e.cfg.Name, err)
			return
		}
		if r.Method == http.MethodOptions {
			e.origins.preflight(x, r)
			return
		}
		if err := e.origins.check(x, r, x.secure, e.cfg.Pages, e.cfg.Public); err != nil {
			WriteError(x, r, e.cfg.Name, err)
			return
		}
		if err := e.identify(x, r); err != nil {
			WriteError(x, r, e.cfg.Name, err)
			return
		}
		strip(r)
		x.pace(r)
		if e.stats != nil && r.URL.Path == "/stats" {
			if e.cfg.Tokens != nil && x.caller == nil {
				WriteError(x, r, e.cfg.Name, bus.Errorf(bus.Unauthenticated, "the statistics need a token: Authorization: Bearer TOKEN"))
				return
			}
			e.stats.ServeHTTP(x, r)
			return
		}
		room.ServeHTTP(x, r)
	})
}

// admit refuses what is no fit request for this gateway, whoever sent it.
func (e *Edge) admit(x *exchange, r *http.Request) error {
	if err := hygiene(x, r); err != nil {
		return err
	}
	return e.hosts.check(x, r)
}

// identify finds out who asks, and whether it is too often.
func (e *Edge) identify(x *exchange, r *http.Request) error {
	if e.cfg.Tokens == nil && len(e.limits) == 0 {
		return nil
	}
	who := whoOf(x.client)
	var refusal error
	if e.cfg.Tokens != nil {
		if x.caller, refusal = e.cfg.Tokens.Header(r.Context(), r.Header["Authorization"]); x.caller != nil && x.caller.Subject != "" {
			who = "sub " + x.caller.Subject
		}
	}
	// Those who try out tokens have the rate of their address.
	if err := e.limits.check(r.URL.Path, who, x.start); err != nil {
		return err
	}
	return refusal
}

// headers are on every answer; a room may replace them.
func (e *Edge) headers(x *exchange) {
	h := x.Header()
	x.ids[0] = x.id
	h[HeaderRequestID] = x.ids[:]
	for _, s := range e.safety {
		h[s.name] = s.value
	}
}

// strip takes out what only the bus may say.
func strip(r *http.Request) {
	for name := range r.Header {
		if Internal(name) {
			delete(r.Header, name)
		}
	}
	for name := range r.Trailer {
		if Internal(name) {
			delete(r.Trailer, name)
		}
	}
}

// end makes an answer of a panic, and writes the line of the access log.
func (e *Edge) end(x *exchange, r *http.Request) {
	defer e.done(x, r)
	fault := recover()
	if fault == nil {
		if x.status == 0 {
			x.status = http.StatusOK // what net/http makes of silence
		}
		return
	}
	if fault == http.ErrAbortHandler { //nolint:errorlint // it is compared so by net/http
		panic(fault)
	}
	e.cfg.Logger.Error().Str("id", x.id).Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a handler has panicked")
	if x.status != 0 || x.taken {
		// Half an answer is out: the client must not take it for a whole one.
		panic(http.ErrAbortHandler)
	}
	WriteError(x, r, e.cfg.Name, bus.Errorf(bus.Internal, "panic"))
}

// done counts and logs an answer that is out.
func (e *Edge) done(x *exchange, r *http.Request) {
	if e.stats != nil {
		e.stats.count(x.status)
	}
	x.log(&e.cfg.Logger, r)
}
