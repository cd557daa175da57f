package sidecar_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestTheSidecarTakesNoInstanceOutOfRotation(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		s := rpc.NewServer(w.conn, rpc.ServerConfig{Name: "go.micro.srv.native", ID: "n"})
		start(t, s)
		for _, c := range []struct{ path, kind, body string }{
			{"/rpc", "application/json", `{"service":"go.micro.srv.native","method":"Debug.Drain","node":"n","request":{"drain":true}}`},
			{"/go.micro.srv.native/debug/drain", "application/json", `{"drain":true}`},
			{"/go.micro.srv.native/Debug.Drain", "application/json", `{"drain":true}`},
		} {
			if rec := w.do("POST", c.path, c.body, "Content-Type", c.kind); rec.Code != 403 || !strings.Contains(rec.Body.String(), "no gateway passes it on") {
				t.Errorf("%s: %d %s", c.path, rec.Code, rec.Body)
			}
		}
		health, err := rpc.Call[rpc.Health](t.Context(), w.client, s.Name(), rpc.MethodHealth, nil)
		if err != nil || health.Status != "ok" {
			t.Errorf("its health: %v, %v", health, err)
		}
	})
}

// Whether its methods are listed or not, an app never sees the call.
func TestAnAppBehindTheSidecarIsNotDrained(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		app := w.listen(t, "127.0.0.1:9000", sayHello)
		w.register("r1", "127.0.0.1:9000", "")
		w.await(5*time.Second, "the app is served", func() bool { _, err := w.call("Say.Hello", `{"name":"John"}`); return err == nil })
		before := len(app.requests())
		on := true
		_, err := rpc.Call[rpc.Draining](t.Context(), w.client, ruby, rpc.MethodDrain, &rpc.DrainRequest{Drain: &on}, rpc.WithNode("r1"))
		if e := wantError(t, err, bus.Unimplemented, bus.Handler); !strings.Contains(e.Message, "deregister") {
			t.Error(e)
		}
		if n := len(app.requests()); n != before {
			t.Errorf("the app got %d requests", n-before)
		}
	})
}
