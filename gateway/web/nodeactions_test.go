package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/rpc"
)

const ruby = "ruby.micro.srv.greeter"

type Acted struct {
	OK           bool
	State        string
	Code, Detail string
}

// enlist makes an app known that is not on the bus, and waits until the
// dashboard knows it.
func (h *house) enlist(t testing.TB, ids ...string) {
	t.Helper()
	r, err := registrar.New(h.bus.Conn(t), registrar.Config{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, r)
	s := discovery.Service{Name: ruby, Version: "1.0.0"}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, discovery.Node{ID: id, Address: "10.0.0.1", Port: 9000 + i})
	}
	if err := discovery.Register(bustest.Context(t), h.conn, s, time.Hour); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, 5*time.Second, "the dashboard knows the app", func() bool { return len(h.gate.Apps(ruby)) == len(ids) })
}

func act(t testing.TB, h *house, target string, body map[string]any) Acted {
	t.Helper()
	w := h.post(target, body)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return decode[Acted](t, w.Body.Bytes())
}

func TestAnAppIsDeregisteredOnceTheListShowsIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		h.enlist(t, "ruby-1", "ruby-2")
		if a := act(t, h, "/-/deregister", map[string]any{"service": ruby, "node": "ruby-1"}); !a.OK {
			t.Fatalf("%+v", a)
		}
		// What the answer says the next page shows.
		d := page[struct{ Nodes []struct{ ID string } }](t, h, "/nodes?service="+ruby)
		if len(d.Nodes) != 1 || d.Nodes[0].ID != "ruby-2" {
			t.Errorf("afterwards %+v", d.Nodes)
		}
		if found, err := discovery.Get(bustest.Context(t), h.conn, ruby); err != nil || len(found) != 1 || len(found[0].Nodes) != 1 {
			t.Errorf("the registrar has %+v, %v", found, err)
		}
		for what, body := range map[string]map[string]any{
			"not_found":        {"service": ruby, "node": "ruby-1"},
			"invalid_argument": {"service": greeter, "node": greeter + "-" + page[struct{ Nodes []struct{ Instance string } }](t, h, "/nodes?service="+greeter).Nodes[0].Instance},
		} {
			if a := act(t, h, "/-/deregister", body); a.OK || a.Code != what || a.Detail == "" {
				t.Errorf("%v: %+v", body, a)
			}
		}
	})
}

// That a registrar has said yes is not enough.
func TestAnAppThatTheListStillHasIsNotDeregistered(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.register(t, ruby, "10.0.0.1", 9000) // announced by itself
		sub, err := h.conn.Subscribe(t.Context(), wire.RegistrySubject(wire.RegistryDeregister), "", bus.Limits{}, func(m *nats.Msg) { _ = m.Respond([]byte(`{"nodes":1}`)) })
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Drain(t.Context()) }()
		if a := act(t, h, "/-/deregister", map[string]any{"service": ruby, "node": ruby + "-9000"}); a.OK || a.Code != "deadline_exceeded" || !strings.Contains(a.Detail, "still has it") {
			t.Errorf("%+v", a)
		}
	})
}

func TestANodeIsNeverChangedByALinkOrByAnotherSite(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.enlist(t, "ruby-1")
		body := `{"service":"` + ruby + `","node":"ruby-1","drain":true}`
		for _, path := range []string{"/-/deregister", "/-/drain"} {
			for what, w := range map[string]int{
				"GET":           h.ask(http.MethodGet, path+"?service="+ruby+"&node=ruby-1", body, "Content-Type", "application/json").Code,
				"another site":  h.ask(http.MethodPost, path, body, "Content-Type", "application/json", "Origin", "https://example.org", "Sec-Fetch-Site", "cross-site").Code,
				"a form":        h.ask(http.MethodPost, path, body, "Content-Type", "text/plain").Code,
				"another host":  h.ask(http.MethodPost, path, body, "Content-Type", "application/json", "Host", "evil.example").Code,
				"a proxied app": h.ask(http.MethodPost, path, body, "Content-Type", "application/json", "Origin", "null").Code,
			} {
				if w < 400 {
					t.Errorf("%s from %s: %d", path, what, w)
				}
			}
		}
		if len(h.gate.Apps(ruby)) != 1 {
			t.Error("the app is gone")
		}
	})
}

// Who is to be asked is told by the rules: the dashboard has no rights beyond
// those of whoever looks at it.
func TestANodeIsChangedByThoseWhoMayOnly(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		rules, err := token.ParseRules([]byte(`{"rules":[{"services":["go.micro.srv.*"],"methods":["Say.Hello"]},{"topics":["users.>"]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		h := open(t, b, web.Config{})
		h.enlist(t, "ruby-1")
		s := h.drainable(t, false)
		guarded := gateway.NewBus(b.Conn(t), gateway.BusConfig{From: web.Service, Rules: rules})
		start(t, guarded)
		w, err := web.New(guarded, web.Config{})
		if err != nil {
			t.Fatal(err)
		}
		start(t, w)
		h.room = w
		bustest.Eventually(t, 5*time.Second, "it knows both", func() bool { return len(guarded.Apps(ruby)) == 1 && guarded.Known(greeter) })
		for path, body := range map[string]map[string]any{
			"/-/deregister": {"service": ruby, "node": "ruby-1"},
			"/-/drain":      {"service": greeter, "node": s.ID(), "drain": true},
		} {
			if a := act(t, h, path, body); a.OK || a.Code != "unauthenticated" {
				t.Errorf("%s: %+v", path, a)
			}
		}
		if w := h.ask(http.MethodGet, "/events?subject=orders.new&last=5", "", "Accept", "application/json"); w.Code != http.StatusUnauthorized {
			t.Errorf("what a stream has kept: %d %s", w.Code, w.Body)
		}
		if len(h.gate.Apps(ruby)) != 1 || !h.gate.Known(greeter) {
			t.Error("a node was changed")
		}
	})
}

// drainable starts a service with a Debug.Drain of its own, which announces what
// it says.
func (h *house) drainable(t testing.TB, deaf bool) *rpc.Server {
	t.Helper()
	conn := h.bus.Conn(t)
	s := rpc.NewServer(conn, rpc.ServerConfig{Name: greeter, Version: "1.0.0", Logger: conn.Logger()})
	rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
		return &HelloResponse{Msg: r.Name}, nil
	})
	type drain struct {
		Drain bool `json:"drain"`
	}
	type draining struct {
		Draining bool `json:"draining"`
	}
	rpc.Handle(s, "Debug.Drain", func(ctx context.Context, r *drain) (*draining, error) {
		if deaf {
			return &draining{r.Drain}, nil
		}
		if r.Drain {
			body, err := json.Marshal(map[string]string{"reason": "asked"})
			if err != nil {
				return nil, err
			}
			return &draining{true}, conn.Publish(ctx, wire.AnnounceSubject(greeter, s.ID(), wire.EventDrain), "", nil, body)
		}
		// A connection that is new has its instances announced anew.
		time.AfterFunc(100*time.Millisecond, func() { _ = conn.NATS().ForceReconnect() })
		return &draining{false}, nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	bustest.Eventually(t, 5*time.Second, "the dashboard knows the service", func() bool { return h.gate.Known(greeter) })
	return s
}

func TestANodeDrainsOnceTheListShowsIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.drainable(t, false)
		id := greeter + "-" + s.ID()
		type nodes struct {
			Nodes []struct {
				ID, State string
				Drains    bool
			}
		}
		if d := page[nodes](t, h, "/nodes"); len(d.Nodes) != 1 || !d.Nodes[0].Drains {
			t.Fatalf("at first %+v", d.Nodes)
		}
		a := act(t, h, "/-/drain", map[string]any{"service": greeter, "node": id, "drain": true})
		if !a.OK || a.State != "draining" {
			t.Fatalf("%+v", a)
		}
		if d := page[nodes](t, h, "/nodes"); d.Nodes[0].State != "draining" {
			t.Errorf("afterwards %+v", d.Nodes)
		}
		if a := act(t, h, "/-/drain", map[string]any{"service": greeter, "node": id, "drain": false}); !a.OK || a.State != "" {
			t.Errorf("back again: %+v", a)
		}
		if d := page[nodes](t, h, "/nodes"); d.Nodes[0].State == "draining" {
			t.Errorf("back again: %+v", d.Nodes)
		}
		if a := act(t, h, "/-/drain", map[string]any{"service": greeter, "node": id}); a.OK || a.Code != "invalid_argument" {
			t.Errorf("without a wish: %+v", a)
		}
	})
}

// That a node has said yes is not enough.
func TestANodeThatOnlySaysThatItDrainsIsNoSuccess(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.drainable(t, true)
		a := act(t, h, "/-/drain", map[string]any{"service": greeter, "node": s.ID(), "drain": true})
		if a.OK || a.Code != "deadline_exceeded" || !strings.Contains(a.Detail, "announces nothing") {
			t.Errorf("%+v", a)
		}
	})
}

func TestANodeWithoutTheMethodIsNotOfferedToDrain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.enlist(t, "ruby-1")
		w := h.ask(http.MethodGet, "/nodes", "", "Accept", "application/json")
		if strings.Contains(w.Body.String(), `"drains"`) {
			t.Error(w.Body)
		}
		if a := act(t, h, "/-/drain", map[string]any{"service": ruby, "node": "ruby-1", "drain": true}); a.OK || !strings.Contains(a.Detail, "offers no Debug.Drain") {
			t.Errorf("%+v", a)
		}
	})
}
