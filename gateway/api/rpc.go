package api

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// noPage is the policy of bytes from a service: whatever they are, they are no page
// of the gateway's site.
const noPage = "default-src 'none'; frame-ancestors 'none'; sandbox"

// HeaderNode names the one instance that a request is for, as registries show
// it.
const HeaderNode = "X-Node"

// serveRPC calls a method with the body of the request, or with its query.
func (a *API) serveRPC(w http.ResponseWriter, r *http.Request, t *target) {
	if err := a.callable(w, r, t); err != nil {
		a.fail(w, r, err)
		return
	}
	if t.streams() {
		a.serveStream(w, r, t)
		return
	}
	h := hold{of: &a.holds}
	defer h.release()
	err := a.call(w, r, t, &h)
	if err != nil {
		a.fail(w, r, err)
	}
}

func (a *API) call(w http.ResponseWriter, r *http.Request, t *target, held *hold) error {
	list := acceptedBy(r)
	if err := acceptable(t, list); err != nil {
		return err
	}
	in, err := a.input(w, r, t, held)
	if err != nil {
		return err
	}
	want := choose(list, in.codec, len(in.body) == 0)
	switch {
	case want == codec.Protobuf && len(in.body) == 0:
		in.codec = want
	case want == 0 && in.codec != codec.Raw && weight(list, typeRaw) == 0 && !a.mayGiveBytes(r.Context(), t):
		return notAcceptable(t)
	}
	ctx, cancel, err := a.patience(r, t)
	if err != nil {
		return err
	}
	defer cancel()
	req := a.request(r, t, in)
	res, err := a.bus.Fetch(ctx, r, &req)
	if err != nil {
		return err
	}
	if res.Parts != nil {
		return a.download(w, r, t, res, want, list)
	}
	body, kind, err := convert(res, want, list)
	if err != nil {
		return err
	}
	headers(w.Header(), res.Meta)
	if res.Codec == codec.Raw {
		w.Header().Set("Content-Security-Policy", noPage)
	}
	h := w.Header()
	if kind == a.usual.json[0] {
		h["Content-Type"] = a.usual.json
	} else {
		h.Set("Content-Type", kind)
	}
	if len(h["Vary"]) == 0 {
		h["Vary"] = a.usual.accept
	} else {
		h.Add("Vary", "Accept")
	}
	a.write(w, r, answer{status: http.StatusOK, body: body, packed: res.Codec != codec.Raw, safe: t.safe() && reads(r)})
	return nil
}

// request makes the call that an HTTP request is.
func (a *API) request(r *http.Request, t *target, in input) rpc.Request {
	meta, node := gateway.Metadata(r), ""
	if said := r.Header.Get(HeaderNode); said != "" {
		node = a.bus.InstanceID(t.service, said)
	}
	delete(meta, HeaderNode)
	delete(meta, gateway.HeaderRequestTimeout)
	maps.Copy(meta, in.meta)
	return rpc.Request{
		Service: t.service, Method: t.method, Instance: node,
		Codec: in.codec, Body: in.body, Meta: meta, Idempotent: reads(r) && t.safe(),
	}
}

// reads reports whether a request only asks, by its method of HTTP.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// callable refuses the methods of HTTP that must not call t.
//
// A GET calls what is declared safe. In Micro's paths, as in Micro, and by a route
// it calls the rest too, unless that is declared unsafe: pages of other sites have
// been stopped before.
func (a *API) callable(w http.ResponseWriter, r *http.Request, t *target) error {
	if !reads(r) || t.safe() || t.streams() && asksForStream(r) {
		return nil
	}
	if t.full && !t.known {
		return a.missing(t)
	}
	if t.full || t.endpoint.Metadata[metaSafe] == "false" {
		return notAllowed(w, "POST, PUT, PATCH, DELETE, OPTIONS", "%s.%s is not declared safe to be called with %s: use POST", t.service, t.method, r.Method)
	}
	return nil
}

// acceptable refuses a client that will take no answer there can be.
func acceptable(t *target, list []accepted) error {
	if list == nil {
		return nil
	}
	for _, c := range list {
		if c.q > 0 {
			return nil
		}
	}
	return notAcceptable(t)
}

func notAcceptable(t *target) error {
	return status(http.StatusNotAcceptable, "%s answers with application/json, application/msgpack, or application/protobuf to the same; the request accepts none of them", t.method)
}

// mayGiveBytes reports whether the answer of t may be of any type.
func (a *API) mayGiveBytes(ctx context.Context, t *target) bool {
	shape, err := a.shapes.answer(ctx, t)
	return err == nil && t.known && isBytes(shape)
}

const (
	// defaultPatience is that of the client.
	defaultPatience = 5 * time.Second
	// maxPatience bounds what a client may ask for, unless the method says that
	// it takes longer.
	maxPatience = 30 * time.Second
)

// patience bounds the time of a call: what the client says, at most half a minute;
// else 5 s. A method that announces a longer time gets it.
func (a *API) patience(r *http.Request, t *target) (context.Context, context.CancelFunc, error) {
	own := time.Duration(0)
	if text := t.endpoint.Metadata[metaTimeout]; text != "" {
		if ms, err := strconv.ParseInt(text, 10, 32); err == nil && ms > 0 {
			own = time.Duration(ms) * time.Millisecond
		}
	}
	if r.Header.Get(gateway.HeaderRequestTimeout) == "" {
		if own <= defaultPatience { // as the client has it, at less cost
			return r.Context(), func() {}, nil
		}
		ctx, cancel := context.WithTimeout(r.Context(), own)
		return ctx, cancel, nil
	}
	asked, stop, err := gateway.WithTimeout(r)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(asked, max(maxPatience, own))
	return ctx, func() { cancel(); stop() }, nil
}

// Metadata of endpoints.
const (
	metaSafe    = "safe"
	metaTimeout = "timeout" // in milliseconds
)

// missing is the error of a method that is not there, found without a call.
func (a *API) missing(t *target) error {
	view := a.bus.View()
	e := bus.Errorf(bus.NotFound, "no service %s", t.service)
	if view != nil {
		instances := view.Instances(t.service)
		var names []string
		for i := range instances {
			for _, one := range instances[i].Endpoints {
				if !gateway.Withheld(one.Name) {
					names = append(names, one.Name)
				}
			}
		}
		_, seen := view.LastSeen(t.service)
		switch {
		case len(instances) > 0 && t.method == "":
			e = bus.Errorf(bus.NotFound, "%s is a service: name a method behind it, as in /%s/%s", t.service, t.service, first(names))
		case len(instances) > 0:
			e = bus.Errorf(bus.NotFound, "%s has no method %s%s", t.service, t.method, meant(t.method, names))
		case seen:
			e = bus.Errorf(bus.Unavailable, "%s was here in the last minutes and is gone", t.service)
			e.Retry = bus.RetryAfter(time.Second)
		default:
			e = bus.Errorf(bus.NotFound, "no service %s%s", t.service, meant(t.service, view.Services()))
		}
	}
	e.Service, e.Method, e.End = t.service, t.method, bus.Nobody
	return e
}

// first is one of the methods that a service has for others, METHOD if there is
// none.
func first(names []string) string {
	for _, name := range names {
		if !strings.HasPrefix(name, "Debug.") {
			return name
		}
	}
	return "METHOD"
}

// meant lists what a name may have been meant to be.
func meant(name string, names []string) string {
	text := ""
	for i, near := range discovery.Near(name, names) {
		if i == 0 {
			text = "; did you mean " + near
		} else {
			text += ", " + near
		}
	}
	if text != "" {
		text += "?"
	}
	return text
}
