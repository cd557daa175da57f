package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	liveComment = 15 * time.Second
	maxAsked    = 64 << 10 // bytes of a small request
)

// serveLive is the stream of one browser.
func (w *Web) serveLive(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		rw.Header().Set("Content-Type", "text/event-stream")
		rw.Header().Set("Cache-Control", "no-store")
		return // it would last for ever, and nobody could read it
	}
	wishes, err := w.wishes(r, strings.Split(r.URL.Query().Get("topics"), ","))
	if err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("last")
	}
	c, err := w.live.join(wishes, last)
	if err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	defer w.live.leave(c)
	ctx, cancel := gateway.Stream(rw, r)
	defer cancel()
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(rw)
	if _, err := rw.Write([]byte("retry: 1000\n\n")); err != nil {
		return
	}
	beat := time.NewTicker(liveComment)
	defer beat.Stop()
	for {
		for _, data := range w.live.take(c) {
			if _, err := rw.Write(data); err != nil {
				return
			}
		}
		if control.Flush() != nil {
			return
		}
		select {
		case <-c.wake:
		case <-beat.C:
			if _, err := rw.Write([]byte(": here\n\n")); err != nil {
				return
			}
		case <-ctx.Done():
			return
		case <-w.live.over:
			return
		}
	}
}

// changeLive gives a stream other topics.
func (w *Web) changeLive(rw http.ResponseWriter, r *http.Request) {
	var asked struct {
		ID     string   `json:"id"`
		Topics []string `json:"topics"`
	}
	err := readJSON(rw, r, maxAsked, &asked)
	var wishes []wish
	if err == nil {
		wishes, err = w.wishes(r, asked.Topics)
	}
	if err == nil && !w.live.change(asked.ID, wishes) {
		err = bus.Errorf(bus.NotFound, "no such stream; connect again")
	}
	if err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	rw.WriteHeader(http.StatusNoContent)
}

// wishes reads topics, and asks whether the caller may see those events.
func (w *Web) wishes(r *http.Request, list []string) ([]wish, error) {
	var named []string
	for _, text := range list {
		if text != "" {
			named = append(named, text)
		}
	}
	wishes, err := parseWishes(named)
	if err != nil {
		return nil, err
	}
	for _, one := range wishes {
		kind, pattern, _ := strings.Cut(one.topic, ":")
		switch {
		case kind != topicEvents:
		case pattern == allEvents:
			err = w.bus.MaySubscribeAll(r.Context())
		default:
			err = w.bus.MaySubscribe(r.Context(), pattern)
		}
		if err != nil {
			return nil, err
		}
	}
	return wishes, nil
}

// readJSON reads the body of a request to one of the own endpoints, which has to
// say that it is JSON: a form of another page cannot.
func readJSON(rw http.ResponseWriter, r *http.Request, limit int64, v any) error {
	if !asksMicro(r) {
		e := bus.Errorf(bus.InvalidArgument, "send application/json")
		e.Status = http.StatusUnsupportedMediaType
		return e
	}
	body, err := gateway.ReadBody(rw, r, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return bus.Errorf(bus.InvalidArgument, "the body, at byte %d: %v", syntax.Offset, err)
		}
		return bus.Errorf(bus.InvalidArgument, "the body: %v", err)
	}
	return nil
}
