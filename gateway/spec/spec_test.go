package spec_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/spec"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

type item struct {
	Name  string  `json:"name" jsonschema:"required,minLength=1,description=What it is"`
	Price float64 `json:"price" jsonschema:"minimum=0"`
	Next  *item   `json:"next"`
}

type order struct {
	ID    int64     `json:"id"`
	Items []item    `json:"items"`
	At    time.Time `json:"at"`
	Paid  bool      `json:"paid"`
}

// A message is what an endpoint of Micro's handler api takes.
type message struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header"`
	Get    map[string]string `json:"get"`
	Post   map[string]string `json:"post"`
	Body   string            `json:"body"`
	URL    string            `json:"url"`
}

// shop starts a service with endpoints of every kind.
func shop(t testing.TB, conn *bus.Conn, name string) *rpc.Server {
	t.Helper()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: name, Version: "1.0.0"})
	rpc.Handle(srv, "Order.Place", func(_ context.Context, r *order) (*order, error) { return r, nil }, rpc.Describe("Places an <b>order</b>."))
	rpc.Handle(srv, "Order.Read", func(_ context.Context, r *order) (*order, error) { return r, nil },
		rpc.Note("safe", "true"), rpc.Note("path", "/orders/{id},/old/{id}"), rpc.Note("method", "GET"), rpc.Note("handler", "rpc"))
	rpc.Handle(srv, "Order.Rename", func(_ context.Context, r *order) (*order, error) { return r, nil },
		rpc.Note("path", "/orders/{key},^/x/[0-9]+$,/files/{rest...}"), rpc.Note("method", "PUT,PATCH,GET"))
	rpc.Handle(srv, "Page.Show", func(_ context.Context, r *message) (*message, error) { return r, nil })
	srv.HandleRaw("Raw.Any", func(context.Context, *rpc.Request) (*rpc.Response, error) { return &rpc.Response{}, nil })
	rpc.HandleServerStream(srv, "Order.Watch", func(context.Context, *order, func(*order) error) error { return nil })
	rpc.HandleStream(srv, "Order.Chat", func(context.Context, *rpc.Stream[order, item]) error { return nil })
	if err := srv.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, srv) })
	return srv
}

func stop(t testing.TB, r bus.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// describe starts a Spec and waits until it has seen the bus.
func describe(t testing.TB, b *bustest.Bus, cfg spec.Config) *spec.Spec {
	t.Helper()
	gate := gateway.NewBus(b.Conn(t), gateway.BusConfig{})
	if err := gate.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, gate) })
	select {
	case <-gate.View().Ready():
	case <-bustest.Context(t).Done():
		t.Fatal("the view is not ready")
	}
	return spec.New(gate, cfg)
}

// A reply is what a handler answered.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func get(t testing.TB, s http.Handler, path string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(bustest.Context(t), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.Bytes()}
}

func read[T any](t testing.TB, res reply) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(res.body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

type openAPI struct {
	OpenAPI    string                          `json:"openapi"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas         map[string]json.RawMessage `json:"schemas"`
		SecuritySchemes map[string]any             `json:"securitySchemes"`
	} `json:"components"`
	Security []any `json:"security"`
	LeftOut  int   `json:"x-mbus-left-out"`
}

type operation struct {
	ID         string                     `json:"operationId"`
	Service    string                     `json:"x-mbus-service"`
	Method     string                     `json:"x-mbus-method"`
	Kind       string                     `json:"x-mbus-kind"`
	Instances  int                        `json:"x-mbus-instances"`
	Parameters []map[string]any           `json:"parameters"`
	Body       json.RawMessage            `json:"requestBody"`
	Responses  map[string]json.RawMessage `json:"responses"`
}

func TestEveryWayToAMethodIsInTheDocument(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		shop(t, b.Conn(t), "go.micro.api.shop")
		shop(t, b.Conn(t), "go.micro.api.shop")
		shop(t, b.Conn(t), "other")
		doc := read[openAPI](t, get(t, describe(t, b, spec.Config{}), "/openapi.json"))
		got := map[string]string{}
		for path, item := range doc.Paths {
			for verb, op := range item {
				got[strings.ToUpper(verb)+" "+path] = op.Service + " " + op.Method
			}
		}
		for want, target := range map[string]string{
			"POST /go.micro.api.shop/Order.Place": "go.micro.api.shop Order.Place",
			"POST /shop/order/place":              "go.micro.api.shop Order.Place",
			"GET /go.micro.api.shop/Order.Read":   "go.micro.api.shop Order.Read",
			"GET /orders/{id}":                    "go.micro.api.shop Order.Read",
			"GET /old/{id}":                       "go.micro.api.shop Order.Read",
			"PUT /files/{rest}":                   "go.micro.api.shop Order.Rename",
			"PATCH /files/{rest}":                 "go.micro.api.shop Order.Rename",
			"GET /shop/page/show":                 "go.micro.api.shop Page.Show",
			"POST /shop/page/show":                "go.micro.api.shop Page.Show",
			"POST /go.micro.api.shop/Order.Watch": "go.micro.api.shop Order.Watch",
			"POST /go.micro.api.shop/Raw.Any":     "go.micro.api.shop Raw.Any",
			"POST /other/Order.Place":             "other Order.Place",
		} {
			if got[want] != target {
				t.Errorf("%s is %q, want %q", want, got[want], target)
			}
		}
		for path := range got {
			if strings.Contains(path, "Debug.") || strings.Contains(path, "{key}") || strings.Contains(path, "[0-9]") {
				t.Errorf("%s is in the document", path)
			}
		}
		all := read[openAPI](t, get(t, describe(t, b, spec.Config{}), "/openapi.json?debug=1")).Paths
		if all["/go.micro.api.shop/Debug.Health"] == nil || all["/go.micro.api.shop/Debug.Drain"] != nil {
			t.Errorf("with debug=1 there are %q, want Debug.Health and not Debug.Drain", keys(all))
		}
		place := doc.Paths["/go.micro.api.shop/Order.Place"]["post"]
		if place.Instances != 2 || place.Kind != "unary" {
			t.Errorf("Order.Place has %d instances and is %s", place.Instances, place.Kind)
		}
		if id := doc.Paths["/orders/{id}"]["get"].Parameters; id[0]["name"] != "id" || id[0]["in"] != "path" || len(id) < 3 {
			t.Errorf("the parameters of a route are %v", id)
		}
		for _, name := range []string{"go.micro.api.shop.order", "go.micro.api.shop.order.item", "other.order", "Failure"} {
			if _, ok := doc.Components.Schemas[name]; !ok {
				t.Errorf("there is no schema %s; there are %q", name, keys(doc.Components.Schemas))
			}
		}
		ids := map[string]bool{}
		for _, item := range doc.Paths {
			for _, op := range item {
				if ids[op.ID] {
					t.Errorf("two operations are %s", op.ID)
				}
				ids[op.ID] = true
			}
		}
	})
}

func keys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func TestTheDocumentsFollowTheBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := describe(t, b, spec.Config{})
		for _, path := range []string{"/openapi.json", "/asyncapi.json"} {
			if res := get(t, s, path); res.status != http.StatusOK || res.header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s of an empty bus: %d %v", path, res.status, res.header)
			}
		}
		srv := shop(t, b.Conn(t), "shop")
		time.Sleep(2 * time.Second)
		first := get(t, s, "/openapi.json")
		tag := first.header.Get("ETag")
		if doc := read[openAPI](t, first); len(doc.Paths) == 0 {
			t.Error("the service is not in the document")
		}
		if res := get(t, s, "/openapi.json", "If-None-Match", tag); res.status != http.StatusNotModified {
			t.Errorf("the same document: %d, want 304", res.status)
		}
		stop(t, srv)
		time.Sleep(2 * time.Second)
		after := get(t, s, "/openapi.json", "If-None-Match", tag)
		if doc := read[openAPI](t, after); after.status != http.StatusOK || len(doc.Paths) != 0 {
			t.Errorf("the service has left: %d, %d paths", after.status, len(doc.Paths))
		}
	})
}

func TestStreamsAndTopicsAreChannels(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		shop(t, b.Conn(t), "shop")
		res := get(t, describe(t, b, spec.Config{Version: "7"}), "http://gate.test:8080/asyncapi.json")
		doc := read[struct {
			AsyncAPI   string
			Servers    map[string]struct{ Host string }
			Channels   map[string]struct{ Address string }
			Operations map[string]struct{ Action string }
		}](t, res)
		if doc.AsyncAPI != "3.0.0" || doc.Servers["gateway"].Host != "gate.test:8080" {
			t.Errorf("version %s, servers %v", doc.AsyncAPI, doc.Servers)
		}
		for name, address := range map[string]string{"shop.Order.Chat": "/shop/Order.Chat", "shop.Order.Watch": "/shop/Order.Watch", "events": "/events?topic={topic}"} {
			if doc.Channels[name].Address != address || doc.Operations[name+".send"].Action != "send" || doc.Operations[name+".receive"].Action != "receive" {
				t.Errorf("the channel %s is %+v", name, doc.Channels[name])
			}
		}
	})
}

// announce makes an instance known whose announcement and schemas are as given.
func announce(t testing.TB, conn *bus.Conn, name string, endpoints []discovery.Endpoint) {
	t.Helper()
	a, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{Name: name, Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, a) })
}

func TestHostileAnnouncementsBreakNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var many []discovery.Endpoint
		for n := range 300 {
			many = append(many, discovery.Endpoint{Name: fmt.Sprintf("M%d.Call", n)})
		}
		for n := range 20 {
			announce(t, conn, fmt.Sprintf("crowd%d", n), many)
		}
		announce(t, conn, "bad", []discovery.Endpoint{
			{Name: "A.B", Request: "nosuchhash", Metadata: map[string]string{
				"path": "no slash,/{,/{a}/{a},/{a}x,/%zz,/ok/{id},/<script>,/a b,/a#b,/a\"b", "method": "get,FETCH,<b>", "handler": "nonsense",
				"description": strings.Repeat("<script>alert(1)</script>", 100), "safe": "yes",
			}},
			{Name: "A.C", Kind: "nonsense", Metadata: map[string]string{"topic": "a b{c}\x00", "subscriber": "true"}},
		})
		s := describe(t, b, spec.Config{})
		doc := read[openAPI](t, get(t, s, "/openapi.json"))
		if len(doc.Paths) > 4200 || doc.LeftOut == 0 {
			t.Errorf("%d paths, %d left out", len(doc.Paths), doc.LeftOut)
		}
		var odd []string
		for path := range doc.Paths {
			if !strings.HasPrefix(path, "/crowd") && !strings.HasPrefix(path, "/bad/") {
				odd = append(odd, path)
			}
		}
		if !slices.Equal(odd, []string{"/ok/{id}"}) {
			t.Errorf("routes %q, want only the one that is right", odd)
		}
		if res := get(t, s, "/asyncapi.json"); res.status != http.StatusOK {
			t.Errorf("asyncapi: %d", res.status)
		}
	})
}

func TestThePageIsForBrowsersAndJSONForOthers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := describe(t, b, spec.Config{Version: "7"})
		for _, tc := range []struct{ accept, kind string }{
			{"", "application/json"},
			{"*/*", "application/json"},
			{"application/json, text/html", "application/json"},
			{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"},
		} {
			res := get(t, s, "/", "Accept", tc.accept)
			if res.status != http.StatusOK || res.header.Get("Content-Type") != tc.kind || res.header.Get("Vary") != "Accept" {
				t.Errorf("%q: %d %s, want %s", tc.accept, res.status, res.header.Get("Content-Type"), tc.kind)
			}
			if csp := res.header.Get("Content-Security-Policy"); strings.HasPrefix(tc.kind, "text/html") && !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("the page's policy is %q", csp)
			}
		}
		if got := read[map[string]any](t, get(t, s, "/")); got["version"] != "7" {
			t.Errorf("the summary is %v", got)
		}
		for _, file := range []string{"/page.js", "/page.css"} {
			if res := get(t, s, file); res.status != http.StatusOK || len(res.body) == 0 {
				t.Errorf("%s: %d", file, res.status)
			}
		}
		if res := get(t, s, "/nope"); res.status != http.StatusNotFound {
			t.Errorf("/nope: %d", res.status)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(bustest.Context(t), http.MethodPost, "/openapi.json", nil))
		if w.Code != 405 || w.Header().Get("Allow") == "" {
			t.Errorf("POST: %d %v", w.Code, w.Header())
		}
	})
}

func TestABearerTokenIsAskedForWhereItIsNeeded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		doc := read[openAPI](t, get(t, describe(t, b, spec.Config{Auth: true}), "/openapi.json"))
		if len(doc.Security) != 1 || doc.Components.SecuritySchemes["bearer"] == nil {
			t.Errorf("security %v, schemes %v", doc.Security, doc.Components.SecuritySchemes)
		}
	})
}

func TestTheDocumentsNeedARightWhereThereAreRules(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		rules, err := token.ParseRules([]byte(`{"rules":[{"services":["go.micro.srv.*"],"public":true}]}`))
		if err != nil {
			t.Fatal(err)
		}
		gate := gateway.NewBus(b.Conn(t), gateway.BusConfig{Rules: rules})
		if err := gate.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		defer stop(t, gate)
		s := spec.New(gate, spec.Config{Auth: true})
		for path, want := range map[string]int{"/": 401, "/openapi.json": 401, "/asyncapi.json": 401, "/page.js": 200} {
			if res := get(t, s, path); res.status != want {
				t.Errorf("%s: %d, want %d", path, res.status, want)
			}
		}
	})
}
