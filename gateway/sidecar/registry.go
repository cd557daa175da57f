package sidecar

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

// maxDefinition is the most bytes of a service definition.
const maxDefinition = 256 << 10

// serveRegistry serves Micro's registry: GET lists, or with ?service= shows one,
// POST registers, DELETE with a body deregisters.
func (s *Sidecar) serveRegistry(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete) {
		return
	}
	method, serve := "Registry.Read", s.serveServices
	switch r.Method {
	case http.MethodPost:
		method, serve = "Registry.Register", s.serveRegister
	case http.MethodDelete:
		method, serve = "Registry.Deregister", s.serveDeregister
	}
	err := s.may(r, method)
	if err == nil {
		err = serve(w, r)
	}
	if err != nil {
		s.failRegistry(w, r, err)
	}
}

func (s *Sidecar) serveServices(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel, err := gateway.WithTimeout(r)
	if err != nil {
		return err
	}
	defer cancel()
	services := []discovery.Service{}
	if name := r.URL.Query().Get("service"); name != "" {
		if services, err = discovery.Get(ctx, s.bus.Conn, name); err != nil {
			return err
		}
		return writeValue(w, http.StatusOK, services)
	}
	names, err := discovery.List(ctx, s.bus.Conn)
	if err != nil {
		return err
	}
	for _, name := range names {
		services = append(services, discovery.Service{Name: name})
	}
	return writeValue(w, http.StatusOK, services)
}

func (s *Sidecar) serveRegister(w http.ResponseWriter, r *http.Request) error {
	service, err := s.readDefinition(w, r)
	if err != nil {
		return err
	}
	var ttl time.Duration
	if text := r.URL.Query().Get("ttl"); text != "" {
		if ttl, err = time.ParseDuration(text); err != nil || ttl <= 0 {
			return bus.Errorf(bus.InvalidArgument, "the ttl %.40q is no length of time; write 30s or 1m", text)
		}
	}
	ctx, cancel, err := gateway.WithTimeout(r)
	if err != nil {
		return err
	}
	defer cancel()
	for _, n := range service.Nodes {
		all, err := subscriptionsOf(n.Metadata)
		if err != nil {
			return err
		}
		for _, def := range all {
			if err := s.bus.MaySubscribe(ctx, def.Topic); err != nil {
				return err
			}
		}
	}
	return s.register(ctx, service, ttl)
}

func (s *Sidecar) serveDeregister(w http.ResponseWriter, r *http.Request) error {
	service, err := s.readDefinition(w, r)
	if err != nil {
		return err
	}
	ctx, cancel, err := gateway.WithTimeout(r)
	if err != nil {
		return err
	}
	defer cancel()
	return s.deregister(ctx, service)
}

// readDefinition reads a service in Micro's JSON, under whatever content type;
// keys in any case.
func (s *Sidecar) readDefinition(w http.ResponseWriter, r *http.Request) (discovery.Service, error) {
	var service discovery.Service
	body, err := gateway.ReadBody(w, r, maxDefinition)
	if err == nil {
		err = codec.Guard(codec.JSON, body)
	}
	if err != nil {
		return service, err
	}
	if err := json.Unmarshal(body, &service); err != nil {
		return service, bus.Errorf(bus.InvalidArgument, "the service definition: %v", err)
	}
	if service.Name == "" {
		return service, bus.Errorf(bus.InvalidArgument, `the service definition has no "name"`)
	}
	if len(service.Nodes) == 0 {
		return service, bus.Errorf(bus.InvalidArgument, "Require at least one node")
	}
	return service, nil
}

// failRegistry answers with an error in words, as Micro's registry did, or as the
// other rooms do if the client asks for JSON.
func (s *Sidecar) failRegistry(w http.ResponseWriter, r *http.Request, err error) {
	if acceptsJSON(r) {
		s.fail(w, r, err)
		return
	}
	f := gateway.FailureOf(r, Service, err)
	text := f.Detail
	if f.Code == http.StatusNotFound {
		text = "Service not found"
	}
	e := bus.AsError(err)
	if e.End != 0 {
		w.Header().Set(gateway.HeaderEnd, e.End.String())
	}
	if errors.Is(err, bus.Unavailable) {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, text, f.Code)
}

// acceptsJSON reports whether the client names JSON among what it accepts.
func acceptsJSON(r *http.Request) bool {
	for _, list := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(list, ",") {
			if kind, _, err := mime.ParseMediaType(one); err == nil && kind == "application/json" {
				return true
			}
		}
	}
	return false
}

// writeValue answers with a value as JSON.
func writeValue(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: nobody to tell
	return nil
}
