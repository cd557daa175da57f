package api

import (
	"net/http"

	"github.com/mbus-dev/mbus/discovery"
)

// A target is what a request is for.
type target struct {
	service, method string
	// endpoint is what is known of the method; known is false if no instance
	// that is there has it.
	endpoint discovery.Endpoint
	known    bool
	// full says that the path named service and method in full.
	full bool
}

// resolve finds what a path that is nobody's own is for.
func (a *API) resolve(r *http.Request, parts []string) (target, error) {
	t := target{}
	if t.service, t.method, t.full = direct(parts); !t.full {
		t.service, t.method = byMicro(a.cfg.Namespace, parts)
	}
	t.endpoint, t.known = a.bus.Endpoint(t.service, t.method)
	return t, nil
}

// serve answers a request for t.
func (a *API) serve(w http.ResponseWriter, r *http.Request, t target) {
	a.serveRPC(w, r, t)
}
