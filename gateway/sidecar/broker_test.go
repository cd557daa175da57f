package sidecar_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// socket opens a WebSocket to the sidecar, in virtual time.
func (w *world) socket(path string) *websocket.Conn {
	w.t.Helper()
	l := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	server := &http.Server{Handler: w.sidecar}
	go func() { _ = server.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		l.conn <- there
		return here, nil
	}}}
	ws, _, err := websocket.Dial(w.t.Context(), "ws://sidecar"+path, &websocket.DialOptions{HTTPClient: client}) //nolint:bodyclose // the library has it
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = ws.CloseNow()
		client.CloseIdleConnections()
		close(l.done)
		_ = server.Close()
	})
	return ws
}

func TestMicrosBrokerIsASocketThatHearsItself(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		ws := w.socket("/broker?topic=user.created")
		next := func() (body string) {
			t.Helper()
			kind, data, err := ws.Read(t.Context())
			if err != nil || kind != websocket.MessageText {
				t.Fatalf("%v, %v", kind, err)
			}
			var frame struct {
				Header map[string]string
				Body   []byte
			}
			if err := json.Unmarshal(data, &frame); err != nil || !strings.Contains(string(data), `"Body":"`) {
				t.Fatalf("%s: %v", data, err)
			}
			return string(frame.Body)
		}
		time.Sleep(100 * time.Millisecond)
		w.publish("user.created", `{"id":"1"}`)
		if got := next(); got != `{"id":"1"}` {
			t.Errorf("got %q", got)
		}
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("raw bytes")); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != "raw bytes" {
			t.Errorf("its own event: %q", got)
		}
	})
}

func TestStreamsOfServicesPassTheSidecar(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		srv := rpc.NewServer(w.conn, rpc.ServerConfig{Name: "test.count"})
		rpc.HandleServerStream(srv, "Count.Up", func(_ context.Context, n *int, send func(*int) error) error {
			for i := range *n {
				if err := send(&i); err != nil {
					return err
				}
			}
			return bus.Errorf(bus.Conflict, "counted enough")
		})
		start(t, srv)
		time.Sleep(time.Second)
		rec := w.do("POST", "/test.count/Count.Up", `2`)
		lines := strings.Split(strings.TrimSpace(rec.Body.String()), "\n")
		if rec.Code != 200 || len(lines) != 3 || lines[0] != "0" || lines[1] != "1" || !strings.Contains(lines[2], `"end":"handler"`) || !strings.Contains(lines[2], "counted enough") {
			t.Errorf("%d %q", rec.Code, lines)
		}
		stop(t, w.sidecar)
		if rec := w.do("POST", "/test.count/Count.Up", `2`); rec.Code != 503 {
			t.Errorf("after the stop: %d %s", rec.Code, rec.Body)
		}
	})
}
