package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/gateway/token"
)

func TestWhoMayNotCallLearnsNothingOfWhatThereIs(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	ok := func(http.ResponseWriter, *http.Request) {}
	h.greet(t)
	h.mirror(t)
	h.routed(t, "go.micro.srv.users", map[string]map[string]string{"Users.Get": {"path": "/users/{id}", "method": "GET"}})
	h.app(t, "go.micro.api.app", ok)
	h.app(t, "go.micro.api.open", ok)
	rules, err := token.NewRules([]token.Rule{
		{Services: []string{greeter}, Methods: []string{"Say.*"}, Public: true},
		{Services: []string{"go.micro.api.open"}, Methods: []string{"HTTP.GET"}, Public: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := b.Conn(t)
	gate := gateway.NewBus(conn, gateway.BusConfig{Rules: rules})
	if err := gate.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Stop(t.Context()) })
	if h.api, err = api.New(gate, api.Config{}); err != nil {
		t.Fatal(err)
	}
	<-gate.View().Ready()
	bustest.Eventually(t, 5*time.Second, "the gateway knows all", func() bool {
		return gate.Known(greeter) && gate.Known("go.micro.api.open") && gate.Known("go.micro.srv.users")
	})
	for _, c := range []struct {
		method, path string
		status       int
		calls        int
	}{
		{"POST", direct, 200, 1},
		{"GET", "/open/x", 200, 0},
		{"POST", "/open/x", 401, 0},
		{"GET", "/app/x", 401, 0},
		{"POST", "/go.micro.srv.greeter/Other.Method", 401, 0},
		{"GET", "/go.micro.srv.none/Other.Method", 401, 0},
		{"GET", "/nothing/here", 401, 0},
		{"GET", "/mirror/mirror/show", 401, 0},
		{"GET", "/users/5", 401, 0},
		{"POST", "/users/five", 401, 0},
	} {
		got := h.do(t, c.method, c.path, "", "Content-Type", "application/json")
		got.want(t, c.method+" "+c.path, c.status, "", c.calls)
		if c.status == 401 && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", c.path)
		}
	}
	if h.api, err = api.New(gate, api.Config{Handler: "event"}); err != nil {
		t.Fatal(err)
	}
	h.do(t, "POST", "/foo", "x").want(t, "an event", 401, "", 0)
}
