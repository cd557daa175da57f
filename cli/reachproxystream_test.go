package cli

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
)

func TestAStreamThroughASidecarEndsAsItsSocketSays(t *testing.T) {
	const failure = `{"error":{"id":"x","code":409,"detail":"no","status":"Conflict","reason":"conflict"}}`
	for _, c := range []struct {
		name   string
		frames []string
		code   websocket.StatusCode
		want   []string
		end    error
	}{
		{"well", []string{"1", "2"}, websocket.StatusNormalClosure, []string{"1", "2"}, io.EOF},
		{"with a trailer", []string{"1", "", `{"trailer":{"rows":"3"}}`}, websocket.StatusNormalClosure, []string{"1"}, io.EOF},
		{"with more than we know", []string{"", `{"trailer":{}}`, "{}"}, websocket.StatusNormalClosure, nil, io.EOF},
		{"with a message like a failure", []string{"1", failure}, websocket.StatusNormalClosure, []string{"1", failure}, io.EOF},
		{"with such a message and a trailer", []string{failure, "", `{"trailer":{}}`}, websocket.StatusNormalClosure, []string{failure}, io.EOF},
		{"with such a message and another", []string{failure, "1"}, websocket.StatusNormalClosure, []string{failure, "1"}, io.EOF},
		{"with a failure", []string{"1", failure}, 4409, []string{"1"}, bus.Conflict},
		{"with the sidecar", []string{"1"}, websocket.StatusGoingAway, []string{"1"}, bus.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			side := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ws, err := websocket.Accept(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, frame := range c.frames {
					if err := ws.Write(r.Context(), websocket.MessageText, []byte(frame)); err != nil {
						t.Error(err)
					}
				}
				_ = ws.Close(c.code, "")
			}))
			defer side.Close()
			ws, _, err := websocket.Dial(t.Context(), strings.Replace(side.URL, "http", "ws", 1), nil) //nolint:bodyclose // the library closes it
			if err != nil {
				t.Fatal(err)
			}
			s := &proxyStream{ctx: t.Context(), ws: ws, service: "go.micro.srv.lab", method: "Lab.Chat"}
			defer func() { _ = s.Close() }()
			for _, want := range c.want {
				if _, body, err := s.Recv(); err != nil || string(body) != want {
					t.Fatalf("got %s, %v; want %s", body, err, want)
				}
			}
			if _, body, err := s.Recv(); !errors.Is(err, c.end) {
				t.Errorf("got %s, %v; want %v", body, err, c.end)
			}
		})
	}
}
