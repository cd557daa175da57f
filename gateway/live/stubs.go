package live

import (
	"net/http"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// IsWebSocket reports whether a request asks for a WebSocket, be it rightly or
// not.
func IsWebSocket(r *http.Request) bool {
	for _, v := range r.Header.Values("Upgrade") {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), "websocket") {
				return true
			}
		}
	}
	return false
}

// ServeUpload calls a client stream: each line of the NDJSON body is a message,
// and the answer of the service is that of the request.
func (s *Server) ServeUpload(w http.ResponseWriter, r *http.Request, _ *rpc.Request) {
	s.refuse(w, r, bus.Errorf(bus.Unimplemented, "not yet"))
}

// ServeWebSocket opens a stream of any kind over a WebSocket. With a Body in req,
// which may be empty but not nil, that is the only message the caller sends;
// without one its frames are the messages.
func (s *Server) ServeWebSocket(w http.ResponseWriter, r *http.Request, _ *rpc.Request) {
	s.refuse(w, r, bus.Errorf(bus.Unimplemented, "not yet"))
}

// ServeEvents serves topics: GET with ?topic= (several, with ?queue=) follows
// them as server-sent events, NDJSON or over a WebSocket, and POST with one
// ?topic= publishes the body byte for byte.
func (s *Server) ServeEvents(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, bus.Errorf(bus.Unimplemented, "not yet"))
}

// ServeBroker serves Micro's broker over a WebSocket: GET with ?topic= and
// ?queue=.
func (s *Server) ServeBroker(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, bus.Errorf(bus.Unimplemented, "not yet"))
}
