package live

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/pubsub"
)

// ServeEvents serves topics. GET with ?topic=NAME, up to 16 of them, and perhaps
// ?queue=GROUP follows them: as server-sent events, as NDJSON if the client
// prefers that, or over a WebSocket if it asks for one. POST with one topic
// publishes the body byte for byte, and answers 202 once the broker has it.
//
// Topics and patterns are those of package pubsub; others are refused with the
// reason.
func (s *Server) ServeEvents(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		if IsWebSocket(r) {
			s.eventSocket(w, r)
		} else {
			s.eventStream(w, r)
		}
	case http.MethodPost:
		if err := s.publish(w, r); err != nil {
			s.refuse(w, r, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Allow", "GET, POST")
		s.refuse(w, r, wrong(http.StatusMethodNotAllowed, "GET follows topics, POST publishes; there is no %s", r.Method))
	}
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) error {
	topics, err := topicsOf(r.URL.Query()["topic"])
	if err != nil {
		return err
	}
	if len(topics) > 1 {
		return bus.Errorf(bus.InvalidArgument, "%d topics; an event has one", len(topics))
	}
	if err := s.bus.MayPublish(r.Context(), topics[0]); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxMessage)))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return bus.Errorf(bus.TooLarge, "an event has at most %d bytes", s.cfg.MaxMessage)
	}
	if err != nil {
		return bus.Errorf(bus.InvalidArgument, "the body broke off")
	}
	opts := []pubsub.PublishOption{pubsub.WithConfirm()}
	if c, err := codec.Parse(r.Header.Get("Content-Type")); err == nil && c != codec.JSON {
		opts = append(opts, pubsub.WithHeader("Content-Type", c.ContentType()))
	}
	return pubsub.Publish(r.Context(), s.bus.Conn, topics[0], body, opts...)
}

// An eventFeed is the way in which events go to an HTTP client.
type eventFeed struct {
	contentType string
	head        []byte
	event       func(b []byte, e *event) []byte
	ping        []byte
	gap         []byte
	lost        []byte
	shutdown    []byte
	fail        func(gateway.Failure) []byte
}

func sseEvents(resumed string) eventFeed {
	head := "retry: 2000\n: listening\n\n"
	if resumed != "" {
		head = "retry: 2000\n: listening; topics keep nothing, so what came while you were away is not repeated\n\n"
	}
	return eventFeed{
		contentType: typeSSE, head: []byte(head), event: appendEvent, ping: []byte(": ping\n\n"),
		gap:      []byte("event: mbus.gap\ndata: {\"reason\":\"broker\"}\n\n"),
		lost:     []byte("event: mbus.lost\ndata: {\"reason\":\"slow\"}\n\n"),
		shutdown: []byte("event: mbus.end\ndata: {\"reason\":\"shutdown\"}\n\n"),
		fail:     func(f gateway.Failure) []byte { return namedEvent("mbus.error", f) },
	}
}

func lineEvents() eventFeed {
	return eventFeed{
		contentType: typeNDJSON,
		event:       func(b []byte, e *event) []byte { return append(append(b, e.json()...), '\n') },
		gap:         []byte("{\"gap\":{\"reason\":\"broker\"}}\n"),
		lost:        []byte("{\"lost\":{\"reason\":\"slow\"}}\n"),
		shutdown:    []byte("{\"end\":{\"reason\":\"shutdown\"}}\n"),
		fail:        func(f gateway.Failure) []byte { return failureLine(f) },
	}
}

// appendEvent appends an event as a server-sent one. Text goes as it is; what the
// format would change, or cannot carry, goes as base64 under a name that no topic
// can have.
func appendEvent(b []byte, e *event) []byte {
	b = append(b, "event: "...)
	b = append(b, e.topic...)
	if plain(e.body) {
		b = append(b, '\n')
		return appendData(b, e.body)
	}
	b = append(b, " base64\ndata: "...)
	b = base64.StdEncoding.AppendEncode(b, e.body)
	return append(b, "\n\n"...)
}

// plain reports whether a server-sent event gives these bytes back as they are: a
// CR would come out as a LF.
func plain(body []byte) bool {
	return utf8.Valid(body) && !strings.ContainsRune(string(body), '\r')
}

// json is an event as one line.
func (e *event) json() []byte {
	out := struct {
		Topic       string `json:"topic"`
		Data        string `json:"data"`
		Encoding    string `json:"encoding,omitempty"`
		ContentType string `json:"content_type,omitempty"`
	}{Topic: e.topic, Data: string(e.body)}
	if !utf8.Valid(e.body) {
		out.Data, out.Encoding = base64.StdEncoding.EncodeToString(e.body), "base64"
	}
	if c := e.header["Content-Type"]; len(c) > 0 {
		out.ContentType = c[0]
	} else if c, err := codec.OfEvent("", e.body); err == nil && c != codec.JSON {
		out.ContentType = c.ContentType()
	}
	line, err := json.Marshal(out)
	if err != nil {
		return nil // strings only: it cannot fail
	}
	return line
}

func (s *Server) eventStream(w http.ResponseWriter, r *http.Request) {
	kind, err := choose(r, typeSSE, typeNDJSON)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	out := lineEvents()
	if kind == typeSSE {
		out = sseEvents(r.Header.Get("Last-Event-ID"))
	}
	t, ok := s.begin(w, r)
	if !ok {
		return
	}
	defer t.end()
	f, err := t.follow(r.URL.Query()["topic"])
	if err != nil {
		t.refuse(err)
		return
	}
	defer f.stop()
	t.stream(f, out)
}

// stream sends events until one side has enough.
func (t *talk) stream(f *following, out eventFeed) {
	o, release := t.outlet()
	defer release()
	o.lasting()
	if o.begin(out.contentType) != nil || o.write(out.head) != nil {
		return
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	changed := f.changed()
	var b []byte
	for {
		b = b[:0]
		over := false
		select {
		case <-f.ready:
			batch, lost := f.pop()
			for i := range batch {
				if batch[i].gap {
					b = append(b, out.gap...)
				} else {
					b = out.event(b, &batch[i])
				}
			}
			if lost {
				b, over = append(b, out.lost...), true
			}
		case <-changed:
			changed = f.changed()
			f.look(f.epoch())
		case <-ping.C:
			b = append(b, out.ping...)
		case <-t.told.Done():
			switch why := t.parting(); {
			case errors.Is(why, errShutdown):
				b = append(b, out.shutdown...)
			case !errors.Is(why, errGone):
				b = append(b, out.fail(t.failure(why))...)
			}
			over = true
		case <-f.conn.Closed():
			b, over = append(b, out.shutdown...), true
		}
		if len(b) > 0 && o.write(b) != nil || over {
			return
		}
	}
}

func (s *Server) eventSocket(w http.ResponseWriter, r *http.Request) {
	if err := checkHandshake(w.Header(), r); err != nil {
		s.refuse(w, r, err)
		return
	}
	t, ok := s.begin(w, r)
	if !ok {
		return
	}
	defer t.end()
	f, err := t.follow(r.URL.Query()["topic"])
	if err != nil {
		t.refuse(err)
		return
	}
	defer f.stop()
	rules := s.rules(subprotocolJSON)
	t.socket(f, rules, eventFrames{
		event: (*event).json,
		gap:   []byte(`{"gap":{"reason":"broker"}}`),
		receive: func(websocket.MessageType, []byte) error {
			return &closing{websocket.StatusPolicyViolation, "this socket only sends"}
		},
	})
}
