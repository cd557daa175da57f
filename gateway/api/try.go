package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/gateway"
)

// A Found says where an API would send a request.
type Found struct {
	Service, Method string
	// Source is "route" for the route of an endpoint, "name" for a path that names
	// service and method in full, "path" for Micro's rule, and "app" for an app.
	Source string
	// Known says that a live instance has the method.
	Known bool
	// Why says so in words.
	Why string
}

// Try finds out where an API with cfg would send a request, without sending it.
func Try(b *gateway.Bus, cfg Config, verb, host, path string) Found {
	if cfg.Namespace == "" {
		cfg.Namespace = defaultNamespace
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return Found{Why: "this is no path of a URL"}
	}
	r := &http.Request{Method: verb, Host: host, URL: u}
	parts, err := gateway.Segments(u)
	if err != nil {
		return Found{Why: "the gateway refuses this path"}
	}
	a := &API{bus: b, cfg: cfg, routes: newRoutes(b, zerolog.Nop())}
	t := target{parts: parts, verb: verb}
	one, _, verbs := a.routes.find(r, parts)
	if one != nil {
		t.service, t.method = one.service, one.method
		a.know(&t)
		return Found{t.service, t.method, "route", t.known, "the endpoint asks for " + one.pattern.text}
	}
	if len(verbs) > 0 {
		slices.Sort(verbs)
		return Found{Why: "an endpoint asks for this path with " + strings.Join(slices.Compact(verbs), ", ") + " only"}
	}
	if len(parts) == 0 {
		return Found{Why: "the path is that of the gateway's own page"}
	}
	a.byPath(&t)
	switch {
	case t.app:
		return Found{t.service, t.method, "app", true, "an app is registered under this name"}
	case t.full:
		return Found{t.service, t.method, "name", t.known, "the path names service and method in full"}
	case t.service == "":
		return Found{Why: "the path names no service"}
	}
	return Found{t.service, t.method, "path", t.known, "Micro's rule in the namespace " + cfg.Namespace}
}
