package sidecar

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/rpc"
)

// ServeHTTP serves the endpoints of the package documentation.
func (s *Sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts, err := gateway.Segments(r.URL)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Content-Length", "0")
		return
	}
	switch path := "/" + strings.Join(parts, "/"); path {
	case "/registry":
		s.serveRegistry(w, r)
	case "/registry/watch":
		s.serveWatch(w, r)
	case "/rpc":
		s.rpc.ServeHTTP(w, r)
	case "/broker":
		s.live.ServeBroker(w, r)
	case "/events":
		s.live.ServeEvents(w, r)
	case "/health":
		s.serveHealth(w, r)
	case "/":
		s.fail(w, r, bus.Errorf(bus.NotFound, "there is nothing at /: /registry, /rpc, /broker, /events, /subscriptions and /health are, and POST /{service}/{method}"))
	default:
		switch {
		case parts[0] == "subscriptions" && len(parts) <= 2:
			s.serveSubscriptions(w, r, parts[1:])
		case s.cfg.Handler == handlerRPC:
			s.servePath(w, r, parts)
		default:
			s.serveProxy(w, r, parts)
		}
	}
}

func (s *Sidecar) fail(w http.ResponseWriter, r *http.Request, err error) {
	gateway.WriteError(w, r, Service, err)
}

// may returns nil if the request may do what is no call of a service: rules
// speak of it as of a method of the sidecar.
func (s *Sidecar) may(r *http.Request, method string) error {
	return s.bus.MayCall(r.Context(), Service, method)
}

// allow answers 405 to a method of HTTP that does not go here.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	list := strings.Join(methods, ", ")
	w.Header().Set("Allow", list)
	e := bus.Errorf(bus.InvalidArgument, "%.20q does not go here; %s does", r.Method, list)
	e.Status = http.StatusMethodNotAllowed
	gateway.WriteError(w, r, Service, e)
	return false
}

// servePath calls the method that a path names: in full, or by Micro's rule
// within the namespace. A stream is opened if the method is one, or if a
// WebSocket is asked for.
func (s *Sidecar) servePath(w http.ResponseWriter, r *http.Request, parts []string) {
	service, method, full := gateway.DirectPath(parts)
	if !full {
		service, method = gateway.MicroPath(s.cfg.Namespace, parts)
	}
	req := &rpc.Request{
		Service: service, Method: method, Codec: codec.JSON, Meta: gateway.Metadata(r),
		Instance: s.bus.InstanceID(service, r.URL.Query().Get("node")), Key: r.URL.Query().Get("key"),
	}
	if live.IsWebSocket(r) {
		s.live.ServeWebSocket(w, r, req)
		return
	}
	if !allow(w, r, http.MethodPost) {
		return
	}
	e, _ := s.bus.Endpoint(service, method)
	if e.Kind == discovery.KindClientStream {
		s.live.ServeUpload(w, r, req)
		return
	}
	if err := s.readRequest(w, r, req); err != nil {
		s.fail(w, r, err)
		return
	}
	if e.Kind != "" && e.Kind != discovery.KindUnary {
		s.live.ServeStream(w, r, req)
		return
	}
	ctx, cancel, err := gateway.WithTimeout(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer cancel()
	res, err := s.bus.Fetch(ctx, r, req)
	if err == nil {
		err = s.bus.WriteJSON(w, res)
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

// readRequest reads the body of a call: JSON under whatever type, or one of the
// other types of the bus, which goes to the service as it is.
func (s *Sidecar) readRequest(w http.ResponseWriter, r *http.Request, req *rpc.Request) error {
	limit := int64(gateway.MaxForm)
	kind, err := codec.Parse(r.Header.Get("Content-Type"))
	if err != nil {
		kind = codec.JSON // as Micro; what is none is refused below
	}
	if kind == codec.Raw {
		limit = int64(s.cfg.MaxBody)
	}
	body, err := gateway.ReadBody(w, r, limit)
	if err == nil {
		err = codec.Guard(kind, body)
	}
	if err != nil {
		return err
	}
	if len(body) == 0 && kind == codec.JSON {
		body = []byte("{}")
	}
	req.Codec, req.Body = kind, body
	return nil
}
