package sidecar

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// watchStall is how long a watcher may take nothing before it is cut off.
	watchStall = 30 * time.Second
	// maxWatched bounds the services that one watch names.
	maxWatched = 64
)

// A WatchLine is one change of the registry: what happened to one node of a
// service.
type WatchLine struct {
	// Action is create, update or delete; or ready, once, after the snapshot if
	// one was asked for; or resync, when the watcher was too slow: then everyone
	// who is there follows.
	Action  string             `json:"action"`
	Service *discovery.Service `json:"service,omitempty"`
	// At is RFC 3339 with milliseconds.
	At string `json:"at"`
}

// serveWatch sends changes of the registry as they come, one JSON document a
// line, or as server-sent events: of all services, or of those in ?service=.
// With ?snapshot=true those that are there come first.
func (s *Sidecar) serveWatch(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet) {
		return
	}
	query := r.URL.Query()
	names := query["service"]
	view := s.bus.View()
	switch {
	case len(names) > maxWatched:
		s.fail(w, r, bus.Errorf(bus.InvalidArgument, "%d services in one watch, at most %d are allowed; watch all", len(names), maxWatched))
		return
	case view == nil:
		s.fail(w, r, bus.Errorf(bus.Unavailable, "the sidecar is not ready"))
		return
	}
	if err := s.may(r, "Registry.Watch"); err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := gateway.Stream(w, r)
	defer cancel()
	stop := context.AfterFunc(s.leaving, cancel)
	defer stop()
	select {
	case <-view.Ready():
	case <-ctx.Done():
		return
	}
	out := &watchWriter{w: w, rc: http.NewResponseController(w), sse: strings.Contains(r.Header.Get("Accept"), "text/event-stream"), names: names}
	instances, seq := view.Snapshot()
	if err := out.begin(); err != nil {
		return
	}
	if query.Get("snapshot") == "true" && out.all(instances) != nil {
		return
	}
	if out.line(WatchLine{Action: "ready", At: stamp(time.Now())}) != nil {
		return
	}
	for c := range view.ChangesAfter(ctx, seq) {
		if out.change(view, c) != nil {
			return
		}
	}
}

// A watchWriter writes changes to a watcher.
type watchWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	sse   bool
	names []string
}

func (o *watchWriter) begin() error {
	_ = o.rc.SetReadDeadline(time.Time{}) // not every writer has deadlines
	kind := "application/x-ndjson"
	if o.sse {
		kind = "text/event-stream"
	}
	h := o.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would hold changes back
	o.w.WriteHeader(http.StatusOK)
	return o.flush()
}

// all writes instances as if they had just come.
func (o *watchWriter) all(instances []discovery.Instance) error {
	for _, i := range instances {
		if err := o.instance(string(discovery.Create), i, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func (o *watchWriter) change(view *discovery.View, c discovery.Change) error {
	if c.Action != discovery.Resync {
		return o.instance(string(c.Action), c.Instance, c.At)
	}
	if err := o.line(WatchLine{Action: string(c.Action), At: stamp(c.At)}); err != nil {
		return err
	}
	instances, _ := view.Snapshot()
	return o.all(instances)
}

func (o *watchWriter) instance(action string, i discovery.Instance, at time.Time) error {
	if len(o.names) > 0 && !slices.Contains(o.names, i.Service) {
		return nil
	}
	for _, service := range discovery.Services([]discovery.Instance{i}, nil) {
		if err := o.line(WatchLine{action, &service, stamp(at)}); err != nil {
			return err
		}
	}
	return nil
}

func (o *watchWriter) line(l WatchLine) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if o.sse {
		data = append([]byte("event: "+l.Action+"\ndata: "), data...)
		data = append(data, '\n')
	}
	_ = o.rc.SetWriteDeadline(time.Now().Add(watchStall))
	if _, err := o.w.Write(append(data, '\n')); err != nil {
		return err
	}
	return o.flush()
}

func (o *watchWriter) flush() error {
	_ = o.rc.SetWriteDeadline(time.Now().Add(watchStall))
	return o.rc.Flush()
}

// stamp is a moment as RFC 3339 with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
