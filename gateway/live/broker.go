package live

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/pubsub"
)

const (
	brokerReadLimit = 16384
	brokerPing      = 54 * time.Second
	brokerPatience  = 60 * time.Second
	brokerStall     = 10 * time.Second
)

// ServeBroker serves Micro's broker: GET with ?topic= and, for a queue group,
// ?queue= is a WebSocket that is both publisher and subscriber of the topic. What
// the client sends is published byte for byte, and comes back to it like what
// others publish, as
//
//	{"Header":{"Content-Type":"text/plain"},"Body":"aGVsbG8="}
//
// with the body in base64. An event has the Content-Type that the client asked
// for the WebSocket with. Without one a body that is JSON has none, since that is
// what events are, and any other is text/plain.
//
// Messages of the client have at most 16 KiB. It is pinged every 54 s and has 60 s
// for a pong, and 10 s to take a message.
func (s *Server) ServeBroker(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		return
	}
	topic := r.URL.Query().Get("topic")
	if topic == "" {
		http.Error(w, "Topic not specified", http.StatusBadRequest)
		return
	}
	if err := checkHandshake(w.Header(), r); err != nil {
		s.refuse(w, r, err)
		return
	}
	t, ok := s.begin(w, r)
	if !ok {
		return
	}
	defer t.end()
	f, err := t.follow([]string{topic})
	if err != nil {
		t.refuse(err)
		return
	}
	defer f.stop()
	kind := strings.TrimSpace(r.Header.Get("Content-Type"))
	t.socket(f, socketRules{
		readLimit: brokerReadLimit, ping: brokerPing, patience: brokerPatience, pongsOnly: true, stall: brokerStall,
	}, eventFrames{
		event: brokerFrame,
		receive: func(_ websocket.MessageType, body []byte) error {
			if err := s.bus.MayPublish(r.Context(), topic); err != nil {
				return err
			}
			var opts []pubsub.PublishOption
			switch {
			case kind != "":
				opts = append(opts, pubsub.WithHeader("Content-Type", kind))
			case !json.Valid(body):
				opts = append(opts, pubsub.WithHeader("Content-Type", "text/plain"))
			}
			return pubsub.Publish(t.ctx, s.bus.Conn, topic, body, opts...)
		},
	})
}

// brokerFrame is an event as Micro's broker sends it.
func brokerFrame(e *event) []byte {
	out := struct {
		Header map[string]string
		Body   []byte
	}{Header: make(map[string]string, len(e.header)), Body: e.body}
	for name, values := range e.header {
		if !gateway.Internal(name) {
			out.Header[name] = strings.Join(values, ", ")
		}
	}
	if out.Body == nil {
		out.Body = []byte{}
	}
	frame, err := json.Marshal(out)
	if err != nil {
		return nil // strings and bytes only: it cannot fail
	}
	return frame
}
