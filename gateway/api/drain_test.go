package api_test

import (
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

func TestNoClientOfTheGatewayTakesAnInstanceOutOfRotation(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		s := h.greet(t)
		h.mirror(t)
		node := greeter + "-" + s.ID()
		for what, c := range map[string]struct{ target, kind, body string }{
			"/rpc":            {"/rpc", "application/json", `{"service":"` + greeter + `","method":"Debug.Drain","node":"` + node + `","request":{"drain":true}}`},
			"a form":          {"/rpc", "application/x-www-form-urlencoded", "service=" + greeter + "&method=Debug.Drain&address=" + node + "&request=%7B%22drain%22%3Atrue%7D"},
			"the direct form": {"/" + greeter + "/Debug.Drain", "application/json", `{"drain":true}`},
			"a path":          {"/mirror/debug/drain", "application/json", `{"drain":true}`},
			"no such service": {"/go.micro.srv.none/Debug.Drain", "application/json", `{"drain":true}`},
		} {
			got := h.do(t, "POST", c.target, c.body, "Content-Type", c.kind)
			got.want(t, what, 403, "no gateway passes it on", 0)
			if f := got.failure(t); f.Code != 403 || got.header.Get("Mbus-End") != "refused" {
				t.Errorf("%s: %+v, end %q", what, f, got.header.Get("Mbus-End"))
			}
		}
		if got := h.do(t, "POST", "/"+greeter+"/Debug.Drian", `{}`, "Content-Type", "application/json"); strings.Contains(got.body, "Debug.Drain") {
			t.Errorf("it is offered: %s", got.body)
		}
		h.do(t, "POST", "/"+greeter+"/Debug.Health", `{}`, "Content-Type", "application/json").want(t, "its health", 200, `{"status":"ok"}`, 0)
	})
}

func TestAServiceWhoseInstancesAllDrainIsUnavailable(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		s := h.greet(t)
		on := true
		_, err := rpc.Call[rpc.Draining](t.Context(), rpc.NewClient(h.conn, rpc.ClientConfig{}), greeter, rpc.MethodDrain, &rpc.DrainRequest{Drain: &on}, rpc.WithNode(s.ID()))
		if err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct{ target, body string }{
			"/rpc":            {"/rpc", `{"service":"` + greeter + `","method":"Say.Hello","request":{"name":"John"}}`},
			"the direct form": {direct, `{"name":"John"}`},
		} {
			got := h.do(t, "POST", c.target, c.body, "Content-Type", "application/json")
			got.want(t, what, 503, "draining", 0)
			if got.header.Get("Retry-After") == "" || got.header.Get("Mbus-End") != "nobody" {
				t.Errorf("%s: %v", what, got.header)
			}
		}
	})
}
