package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

// A target is what a request is for.
type target struct {
	service, method string
	// instances are those that are there. instance is one that has the method, and
	// endpoint what it says of it; known is false if none has.
	instances []discovery.Instance
	instance  *discovery.Instance
	endpoint  discovery.Endpoint
	known     bool
	// full says that the path named service and method in full.
	full bool
	// parts are those of the path, and route is what it has been found by, nil if
	// that was none; params are the fields that its path holds.
	parts  []string
	route  *route
	params map[string]string
	// app says that the service is reached by HTTP, with the method verb.
	app  bool
	verb string
}

// methodOfApp begins the method by which rights know a request to an app: HTTP.GET
// and so on.
const methodOfApp = "HTTP."

// safe reports whether a call changes nothing.
func (t *target) safe() bool { return t.endpoint.Metadata[metaSafe] == "true" }

func (t *target) streams() bool {
	return t.known && t.endpoint.Kind != "" && t.endpoint.Kind != discovery.KindUnary
}

// serve answers a request for a path that is nobody's own: by the route of an
// endpoint, by full names, or by Micro's rule, in this order.
func (a *API) serve(w http.ResponseWriter, r *http.Request, parts []string) {
	switch a.cfg.Handler {
	case handlerEvent:
		a.serveEvent(w, r, parts)
		return
	case handlerCloudEvents:
		a.serveCloudEvent(w, r, parts)
		return
	}
	a.settle(r.Context())
	t := target{parts: parts, verb: r.Method}
	one, fields, verbs := a.routes.find(r, parts)
	if one != nil {
		t.service, t.method, t.params, t.route = one.service, one.method, fields, one
		a.know(&t)
	} else {
		a.byPath(&t)
	}
	gateway.Note(r.Context(), t.service, t.method)
	// First of all, so that who may not call learns nothing of what there is.
	err := a.bus.MayCall(r.Context(), t.service, t.method)
	if err == nil && len(verbs) > 0 {
		slices.Sort(verbs)
		err = notAllowed(w, strings.Join(slices.Compact(verbs), ", ")+", OPTIONS", "%s is not for %s", r.URL.Path, r.Method)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.handle(w, r, &t)
}

// settleLimit is how long a gateway that has just started waits for the list of
// those who are there, which decides on routes and handlers.
const settleLimit = time.Second

// settle waits for the first list of who is there.
func (a *API) settle(ctx context.Context) {
	view := a.bus.View()
	if view == nil {
		return
	}
	select {
	case <-view.Ready():
		return
	default:
	}
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	select {
	case <-view.Ready():
	case <-limit.C:
	case <-ctx.Done():
	}
}

// byPath finds what a path without a route is for.
func (a *API) byPath(t *target) {
	ofApps := a.cfg.Handler == handlerHTTP || a.cfg.Handler == handlerProxy || a.cfg.Handler == handlerWeb
	if a.cfg.Handler == "" || a.cfg.Handler == handlerRPC {
		if t.service, t.method, t.full = gateway.DirectPath(t.parts); t.full {
			a.know(t)
			return
		}
		if len(t.parts) == 1 && strings.Contains(t.parts[0], ".") {
			t.service, t.full = t.parts[0], true // and no method, which is answered so
			return
		}
	}
	if !ofApps {
		t.service, t.method = gateway.MicroPath(a.cfg.Namespace, t.parts)
		a.know(t)
	}
	if t.known || a.cfg.Handler == handlerAPI || a.cfg.Handler == handlerRPC || onBus(t.instances) {
		return
	}
	if service, ok := gateway.AppPath(a.cfg.Namespace, t.parts); ok && len(a.bus.Apps(service)) > 0 || ofApps {
		*t = target{parts: t.parts, verb: t.verb, service: service, method: methodOfApp + t.verb, app: true}
	}
}

// onBus reports whether one of the instances takes calls over the bus.
func onBus(instances []discovery.Instance) bool {
	return slices.ContainsFunc(instances, func(i discovery.Instance) bool { return !i.Registered() })
}

// handle gives a request to the handler that serves t.
func (a *API) handle(w http.ResponseWriter, r *http.Request, t *target) {
	if t.method == "" {
		a.fail(w, r, a.missing(t))
		return
	}
	handler, err := a.handlerOf(r, t)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	switch handler {
	case handlerAPI:
		a.serveAPI(w, r, t)
	case handlerHTTP, handlerProxy:
		a.serveApp(w, r, t.service, false)
	case handlerWeb:
		a.serveApp(w, r, t.service, true)
	case handlerEvent:
		a.serveEvent(w, r, t.parts)
	case handlerCloudEvents:
		a.serveCloudEvent(w, r, t.parts)
	default:
		a.serveRPC(w, r, t)
	}
}

// handlerOf chooses the handler that serves t: the one that the API is
// restricted to, the one that the endpoint names, web for an app that is not on
// the bus, api for a method that takes a Request, else rpc. Who names a method in
// full calls it as it is.
func (a *API) handlerOf(r *http.Request, t *target) (string, error) {
	said := t.endpoint.Metadata[metaHandler]
	switch {
	case a.cfg.Handler != "":
		return a.cfg.Handler, nil
	case t.app:
		return handlerWeb, nil
	case t.full:
		return handlerRPC, nil
	case slices.Contains(handlers(), said):
		return said, nil
	case !t.known || t.streams():
		return handlerRPC, nil
	}
	shape, err := a.shapes.request(r.Context(), t)
	if err == nil && takesRequest(shape) {
		return handlerAPI, nil
	}
	return handlerRPC, err
}

// know fills in what the instances of a service say of the method.
func (a *API) know(t *target) {
	view := a.bus.View()
	if view == nil {
		return
	}
	t.instances = view.Instances(t.service)
	for i := range t.instances {
		if e, ok := t.instances[i].Endpoint(t.method); ok {
			t.instance, t.endpoint, t.known = &t.instances[i], e, true
			return
		}
	}
}

// takesMsgpack reports whether all instances do.
func (t *target) takesMsgpack() bool {
	for i := range t.instances {
		if !slices.Contains(t.instances[i].Codecs, codec.Msgpack.String()) {
			return false
		}
	}
	return true
}
