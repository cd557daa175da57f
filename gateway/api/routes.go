package api

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// maxRoutes bounds the routes of all services; later ones are left out.
	maxRoutes = 10_000
	// maxPaths bounds the paths, and the methods and hosts, of one endpoint.
	maxPaths = 16
	// routesAge is how old a list of routes may get while services change.
	routesAge = 100 * time.Millisecond
	// routesShare is the part of the time that building them may take.
	routesShare = 20
	// maxNoted bounds the conflicts and mistakes that are remembered as logged;
	// then they are logged anew.
	maxNoted = 1000
)

// Metadata of endpoints that routes are made of, as Micro has it.
const (
	metaPath    = "path"
	metaMethod  = "method"
	metaHost    = "host"
	metaHandler = "handler"
)

// A route leads from paths to an endpoint that asks for them.
type route struct {
	service, method string
	verbs           []string // none means all
	hosts           []string // none means all
	pattern         pattern
	rank            string // orders routes, the one that says most first
}

// routes are the routes of all services, the closest first; they follow what the
// services announce.
type routes struct {
	bus *gateway.Bus
	log zerolog.Logger

	mu      sync.Mutex
	next    time.Time // when to look for changes
	changes uint64
	all     []route
	first   map[string][]int // by the first part, if that is text
	open    []int            // the others
	noted   map[string]bool
}

func newRoutes(b *gateway.Bus, log zerolog.Logger) *routes {
	return &routes{bus: b, log: log, noted: make(map[string]bool)}
}

// find returns the route of a request, the fields that its path holds, and else
// the verbs that the path could be asked with.
func (rs *routes) find(r *http.Request, parts []string) (found *route, fields map[string]string, verbs []string) {
	all, first, open := rs.current()
	if len(all) == 0 || len(parts) == 0 {
		return nil, nil, nil
	}
	host := hostOf(r)
	path := "/" + strings.Join(parts, "/")
	at := first[parts[0]]
	for len(at)+len(open) > 0 {
		// Both lists are in the order of all.
		var i int
		if len(open) == 0 || len(at) > 0 && at[0] < open[0] {
			i, at = at[0], at[1:]
		} else {
			i, open = open[0], open[1:]
		}
		one := &all[i]
		if len(one.hosts) > 0 && !slices.Contains(one.hosts, host) {
			continue
		}
		fields, ok := one.pattern.match(path, parts)
		switch {
		case !ok:
		case len(one.verbs) == 0, slices.Contains(one.verbs, r.Method), r.Method == http.MethodHead && slices.Contains(one.verbs, http.MethodGet):
			return one, fields, nil
		default:
			verbs = append(verbs, one.verbs...)
		}
	}
	return nil, nil, verbs
}

func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(host)
}

// current returns the routes as they are now, at most routesAge old.
func (rs *routes) current() (all []route, first map[string][]int, open []int) {
	view := rs.bus.View()
	if view == nil {
		return nil, nil, nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if now := time.Now(); !now.Before(rs.next) {
		if changes := view.Stats().Changes; rs.first == nil || changes != rs.changes {
			instances, seq := view.Snapshot()
			rs.build(instances)
			rs.changes = seq
		}
		rs.next = now.Add(max(routesAge, routesShare*time.Since(now)))
	}
	return rs.all, rs.first, rs.open
}

// build makes the list anew. The slices of the old one stay as they are.
func (rs *routes) build(instances []discovery.Instance) {
	rs.all, rs.first, rs.open = nil, make(map[string][]int), nil
	seen := make(map[string]bool)
	for i := range instances {
		if instances[i].State != discovery.StateUp {
			continue
		}
		for _, e := range instances[i].Endpoints {
			if e.Metadata[metaPath] == "" {
				continue
			}
			// Instances of one version say the same.
			key := instances[i].Service + " " + e.Name + " " + e.Metadata[metaPath] + " " + e.Metadata[metaMethod] + " " + e.Metadata[metaHost]
			if seen[key] {
				continue
			}
			seen[key] = true
			rs.add(instances[i].Service, &e)
		}
	}
	slices.SortStableFunc(rs.all, func(a, b route) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.pattern.shape(), b.pattern.shape()), cmp.Compare(a.service, b.service), cmp.Compare(a.method, b.method))
	})
	for i := range rs.all {
		p := &rs.all[i].pattern
		if p.regular == nil && len(p.parts) > 0 && !p.parts[0].field {
			rs.first[p.parts[0].text] = append(rs.first[p.parts[0].text], i)
		} else {
			rs.open = append(rs.open, i)
		}
	}
	rs.conflicts()
}

// add adds the routes of an endpoint.
func (rs *routes) add(service string, e *discovery.Endpoint) {
	for _, path := range list(e.Metadata[metaPath]) {
		if len(rs.all) == maxRoutes {
			rs.note("routes are full", service, e.Name, path)
			return
		}
		p, err := parsePattern(path)
		if err != nil {
			rs.note(err.Error(), service, e.Name, path)
			continue
		}
		one := route{service: service, method: e.Name, pattern: p, hosts: list(strings.ToLower(e.Metadata[metaHost]))}
		for _, verb := range list(e.Metadata[metaMethod]) {
			one.verbs = append(one.verbs, strings.ToUpper(verb))
		}
		one.rank = "1" + p.closeness()
		if len(one.hosts) > 0 {
			one.rank = "0" + one.rank[1:]
		}
		rs.all = append(rs.all, one)
	}
}

// list reads a list with commas.
func list(text string) []string {
	var all []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" && len(all) < maxPaths {
			all = append(all, item)
		}
	}
	return all
}

// conflicts logs, once, routes of which one never gets what both ask for.
func (rs *routes) conflicts() {
	for i := 1; i < len(rs.all); i++ {
		a, b := &rs.all[i-1], &rs.all[i]
		if a.pattern.shape() == b.pattern.shape() && share(a.verbs, b.verbs) && slices.Equal(a.hosts, b.hosts) && (a.service != b.service || a.method != b.method) {
			rs.note("a route that another endpoint has already", b.service, b.method, b.pattern.text+" of "+a.service+"."+a.method)
		}
	}
}

// share reports whether two lists, of which an empty one means all, have
// something in common.
func share(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func (rs *routes) note(what, service, method, path string) {
	key := what + service + method + path
	if rs.noted[key] {
		return
	}
	if len(rs.noted) == maxNoted {
		clear(rs.noted)
	}
	rs.noted[key] = true
	rs.log.Warn().Str("service", service).Str("method", method).Str("path", path).Msg("route not served: " + what)
}
