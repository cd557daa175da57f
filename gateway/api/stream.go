package api

import (
	"net/http"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/live"
)

// serveStream hands a method that streams to those who hold conversations. A
// client stream reads the body of the request as its messages. Over a WebSocket
// frames are the messages; where only the service sends, the first is the
// request, unless the URL has it.
func (a *API) serveStream(w http.ResponseWriter, r *http.Request, t *target) {
	if a.cfg.Live == nil {
		a.fail(w, r, bus.Errorf(bus.Unimplemented, "%s.%s is a stream, and this gateway serves none", t.service, t.method))
		return
	}
	ws := live.IsWebSocket(r)
	switch kind := t.endpoint.Kind; {
	case kind == discovery.KindServerStream && !(ws && r.URL.RawQuery == "" && len(t.params) == 0):
		in, err := a.input(w, r, t, &hold{})
		if err != nil {
			a.fail(w, r, err)
			return
		}
		a.cfg.Live.ServeStream(w, r, new(a.request(r, t, in)))
	case ws:
		a.cfg.Live.ServeWebSocket(w, r, new(a.request(r, t, input{})))
	case kind == discovery.KindClientStream:
		a.cfg.Live.ServeUpload(w, r, new(a.request(r, t, input{})))
	default:
		a.fail(w, r, status(http.StatusUpgradeRequired, "%s.%s sends and receives at once: open a WebSocket", t.service, t.method))
	}
}

// asksForStream reports whether a request comes from an EventSource or asks for a
// WebSocket, which nobody does by accident.
func asksForStream(r *http.Request) bool {
	for _, a := range acceptedBy(r) {
		if a.kind == "text" && a.sub == "event-stream" && a.q > 0 {
			return true
		}
	}
	return live.IsWebSocket(r)
}
