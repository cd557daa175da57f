package discovery_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const helloSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"HelloRequest","type":"object","properties":{"name":{"type":"string"}}}`

// serveSchemas answers Debug.Schema for an instance as an rpc server does.
func serveSchemas(t *testing.T, conn *bus.Conn, service, id string, bodies map[string]string) *[]string {
	t.Helper()
	var mu sync.Mutex
	asked := new([]string)
	l, err := conn.Listen(bus.Calls, wire.NodeSubject(service, id, "Debug.Schema"), "", func(m *nats.Msg) {
		var req struct{ Hashes []string }
		if err := json.Unmarshal(m.Data, &req); err != nil {
			t.Errorf("Debug.Schema got %s", m.Data)
		}
		mu.Lock()
		*asked = append(*asked, req.Hashes...)
		mu.Unlock()
		if len(req.Hashes) > 2 {
			e := bus.Errorf(bus.TooLarge, "too much at once")
			_ = m.RespondMsg(&nats.Msg{Header: e.Header()})
			return
		}
		reply := map[string]json.RawMessage{"unasked": json.RawMessage(helloSchema)}
		for _, h := range req.Hashes {
			if body, ok := bodies[h]; ok {
				reply[h] = json.RawMessage(body)
			}
		}
		data, err := json.Marshal(map[string]any{"schemas": reply})
		if err != nil {
			t.Error(err)
		}
		_ = m.Respond(data)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Confirm(bustest.Context(t), l); err != nil {
		t.Fatal(err)
	}
	return asked
}

func TestGetWithoutARegistrarAsksTheInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, asker := b.Conn(t), b.Conn(t)
		const name = "go.micro.srv.greeter"
		bodies := map[string]string{"h1": helloSchema, "h2": `{"title":"HelloResponse","type":"object","properties":{"msg":{"type":"string"}}}`}
		endpoints := []discovery.Endpoint{
			{Name: "Debug.Health", Response: "h9"},
			{Name: "Say.Hello", Request: "h1", Response: "h2", Metadata: map[string]string{"idempotent": "true"}},
			{Name: "Say.Stream", Kind: discovery.KindServerStream, Request: "h1"},
		}
		old := announce(t, conn, discovery.AnnouncerConfig{Name: name, ID: "b", Version: "1.0.0", Endpoints: endpoints[:2]})
		new1 := announce(t, conn, discovery.AnnouncerConfig{Name: name, ID: "c", Version: "2.0.0", Metadata: map[string]string{"zone": "eu"}, Endpoints: endpoints})
		announce(t, conn, discovery.AnnouncerConfig{Name: name, ID: "a", Version: "2.0.0", Endpoints: endpoints})
		asked := serveSchemas(t, conn, name, old.ID(), bodies)
		serveSchemas(t, conn, name, new1.ID(), bodies)

		got, err := discovery.Get(bustest.Context(t), asker, name)
		if err != nil {
			t.Fatal(err)
		}
		hello := func() *discovery.Value {
			return &discovery.Value{Name: "HelloRequest", Type: "HelloRequest", Values: []discovery.Value{{Name: "name", Type: "string", Values: []discovery.Value{}}}}
		}
		empty := &discovery.Value{Values: []discovery.Value{}}
		response := &discovery.Value{Name: "HelloResponse", Type: "HelloResponse", Values: []discovery.Value{{Name: "msg", Type: "string", Values: []discovery.Value{}}}}
		sayHello := discovery.ServiceEndpoint{Name: "Say.Hello", Request: hello(), Response: response, Metadata: map[string]string{"idempotent": "true", "stream": "false"}}
		health := discovery.ServiceEndpoint{Name: "Debug.Health", Request: empty, Response: empty, Metadata: map[string]string{"stream": "false"}}
		node := func(id string, meta map[string]string) discovery.Node {
			return discovery.Node{ID: name + "-" + id, Address: "mbus.node.go_micro_srv_greeter." + id, Metadata: meta}
		}
		none := map[string]string{}
		want := []discovery.Service{
			{Name: name, Version: "1.0.0", Metadata: none, Endpoints: []discovery.ServiceEndpoint{sayHello, health}, Nodes: []discovery.Node{node("b", none)}},
			{Name: name, Version: "2.0.0", Metadata: none, Endpoints: []discovery.ServiceEndpoint{
				sayHello, {Name: "Say.Stream", Request: hello(), Response: empty, Metadata: map[string]string{"stream": "true"}}, health,
			}, Nodes: []discovery.Node{node("a", none), node("c", map[string]string{"zone": "eu"})}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if !slices.Contains(*asked, "h9") || len(*asked) > 8 {
			t.Errorf("asked for %v, want each missing schema about once", *asked)
		}
	})
}

func TestListWithoutARegistrarAsksEveryone(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, asker := b.Conn(t), b.Conn(t)
		if names, err := discovery.List(bustest.Context(t), asker); err != nil || len(names) != 0 {
			t.Errorf("List on an empty bus = %v, %v", names, err)
		}
		for range 2 {
			announce(t, conn, discovery.AnnouncerConfig{Name: "go.micro.srv.greeter"})
		}
		announce(t, conn, discovery.AnnouncerConfig{Name: "a_b.c"})
		addForeign(t, conn, "EchoService")
		names, err := discovery.List(bustest.Context(t), asker)
		if want := []string{"EchoService", "a_b.c", "go.micro.srv.greeter"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("List = %v, %v, want %v", names, err, want)
		}
	})
}

func TestAnUnknownServiceIsNotFoundWithNearNames(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		announce(t, conn, discovery.AnnouncerConfig{Name: "go.micro.srv.greeter"})
		_, err := discovery.Get(bustest.Context(t), conn, "go.micro.srv.greter")
		e, ok := errors.AsType[*bus.Error](err)
		if !ok || e.Code != bus.NotFound || e.End != bus.Nobody || !strings.Contains(e.Message, "go.micro.srv.greeter") || string(e.Detail) != `{"near":["go.micro.srv.greeter"]}` {
			t.Errorf("Get = %+v", err)
		}
		if _, err = discovery.Get(bustest.Context(t), conn, "zebra"); !errors.Is(err, bus.NotFound) || strings.Contains(err.Error(), "mean") {
			t.Errorf("Get = %v, want not_found without a guess", err)
		}
	})
}

func entry() discovery.Service {
	return discovery.Service{
		Name: "py.app", Version: "1", Nodes: []discovery.Node{{ID: "host 1:8000", Address: "10.0.0.7", Port: 8000}},
		Endpoints: []discovery.ServiceEndpoint{{Name: "Say.Hello", Request: &discovery.Value{Name: "Req", Type: "Req"}}},
	}
}

func TestRegisterNeedsARegistrarAndSaysSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for what, err := range map[string]error{
			"register": discovery.Register(bustest.Context(t), conn, entry(), time.Minute), "deregister": discovery.Deregister(bustest.Context(t), conn, entry()),
		} {
			if !errors.Is(err, bus.Unavailable) || !errors.Is(err, bus.Nobody) || !strings.Contains(err.Error(), "mbus node") || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v, want what is missing and what to do", what, err)
			}
		}
	})
}

func TestBadRegistrationsAreRefusedBeforeTheyAreSent(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for name, change := range map[string]func(*discovery.Service){
			"name":     func(s *discovery.Service) { s.Name = "a..b" },
			"no nodes": func(s *discovery.Service) { s.Nodes = nil },
			"id":       func(s *discovery.Service) { s.Nodes[0].ID = "" },
			"address":  func(s *discovery.Service) { s.Nodes[0].Address = "" },
			"port":     func(s *discovery.Service) { s.Nodes[0].Port = -1 },
			"method":   func(s *discovery.Service) { s.Endpoints[0].Name = "a b" },
		} {
			s := entry()
			change(&s)
			if err := discovery.Register(t.Context(), conn, s, time.Minute); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%s: %v, want invalid_argument", name, err)
			}
		}
		if err := discovery.Register(t.Context(), conn, entry(), -1); !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("negative ttl: %v", err)
		}
	})
}

// fakeRegistrar answers the registry protocol with fixed bytes.
func fakeRegistrar(t *testing.T, conn *bus.Conn, op string, answers ...*nats.Msg) *recorder {
	t.Helper()
	r := record(t, conn, wire.RegistrySubject(op))
	l, err := conn.Listen(bus.Control, wire.RegistrySubject(op), wire.Queue, func(m *nats.Msg) {
		for _, a := range answers {
			_ = m.RespondMsg(&nats.Msg{Header: a.Header, Data: a.Data})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Confirm(bustest.Context(t), l); err != nil {
		t.Fatal(err)
	}
	return r
}

func body(s string) *nats.Msg { return &nats.Msg{Data: []byte(s)} }

func TestARegistrarAnswersInsteadOfTheInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		registrar, conn := b.Conn(t), b.Conn(t)
		announce(t, registrar, discovery.AnnouncerConfig{Name: "on.the.bus"})
		fakeRegistrar(t, registrar, "list", body(`[{"name":"b"},{"name":"a"}]`), body(`[{"name":"b"}]`), body(""))
		names, err := discovery.List(bustest.Context(t), conn)
		if err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("List = %v, %v", names, err)
		}

		e := bus.Errorf(bus.NotFound, "no service; did you mean b?")
		fakeRegistrar(t, registrar, "get", &nats.Msg{Header: e.Header(), Data: []byte(`{"near":["b"]}`)})
		if _, err := discovery.Get(bustest.Context(t), conn, "bb"); !errors.Is(err, bus.NotFound) || !strings.Contains(err.Error(), "mean b") {
			t.Errorf("Get = %v, want what the registrar said", err)
		}

		registered := fakeRegistrar(t, registrar, "register", body("{}"))
		if err := discovery.Register(bustest.Context(t), conn, entry(), 30*time.Second); err != nil {
			t.Fatal(err)
		}
		got := registered.all("")[0].data
		want := `{"service":{"name":"py.app","version":"1","metadata":null,"endpoints":[{"name":"Say.Hello","request":{"name":"Req","type":"Req","values":null},"response":null,"metadata":null}],"nodes":[{"id":"host 1:8000","address":"10.0.0.7","port":8000,"metadata":null}]},"ttl_ms":30000}`
		if got != want {
			t.Errorf("registered\n%s want\n%s", got, want)
		}
		deregistered := fakeRegistrar(t, registrar, "deregister", body("{}"))
		if err := discovery.Deregister(bustest.Context(t), conn, entry()); err != nil || len(deregistered.all("")) != 1 {
			t.Errorf("Deregister = %v", err)
		}
	})
}

func TestAnAnswerOfSeveralMessagesIsPutTogether(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		registrar, conn := b.Conn(t), b.Conn(t)
		fakeRegistrar(t, registrar, "get",
			body(`{"services":[{"name":"a","version":"1","endpoints":[{"name":"X"}],"nodes":[{"id":"a-1"}]}],"more":true}`),
			body(`{"services":[{"name":"a","version":"1","nodes":[{"id":"a-2"}]},{"name":"a","version":"2","nodes":[{"id":"a-3"}]}],"last_seen":"2026-01-01T00:00:00Z"}`))
		got, err := discovery.Get(bustest.Context(t), conn, "a")
		want := []discovery.Service{
			{Name: "a", Version: "1", Endpoints: []discovery.ServiceEndpoint{{Name: "X"}}, Nodes: []discovery.Node{{ID: "a-1"}, {ID: "a-2"}}},
			{Name: "a", Version: "2", Nodes: []discovery.Node{{ID: "a-3"}}},
		}
		if err != nil || !cmp.Equal(want, got) {
			t.Errorf("Get: %v\n%s", err, cmp.Diff(want, got))
		}
	})
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		fakeRegistrar(t, b.Conn(t), "get", body(`{"services":[{"name":"a","version":"1"}],"more":true}`))
		if got, err := discovery.Get(bustest.Context(t), b.Conn(t), "a"); !errors.Is(err, bus.DataLoss) {
			t.Errorf("Get = %v, %v, want data_loss: the rest never came", got, err)
		}
	})
}

func TestABrokenListIsAnErrorAndNotAShortOne(t *testing.T) {
	for name, answers := range map[string][]*nats.Msg{
		"no end": {body(`[{"name":"b"}]`)}, "no JSON": {body("x"), body("")}, "error": {{Header: bus.Errorf(bus.Internal, "broken").Header()}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				registrar := b.Conn(t)
				fakeRegistrar(t, registrar, "list", answers...)
				if names, err := discovery.List(bustest.Context(t), b.Conn(t)); err == nil {
					t.Errorf("List = %v, want an error", names)
				}
			})
		})
	}
}

func TestARegisteredAppIsInEveryViewButNotOnTheBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		view := watch(t, b.Conn(t))
		s := entry()
		s.Metadata = map[string]string{"lang": "py"}
		cfg := s.AnnouncerConfigs()[0]
		cfg.TTL = time.Minute
		a := announce(t, conn, cfg)
		bustest.Eventually(t, time.Second, "the app", func() bool { return len(view.Instances("py.app")) == 1 })
		i := view.Instances("py.app")[0]
		if !i.Registered() || i.NodeID() != "host 1:8000" || i.Port != 8000 || i.TTL != time.Minute {
			t.Errorf("%+v", i)
		}
		if subject, ok := i.CallSubject("Say.Hello"); ok {
			t.Errorf("it is said to be called at %s", subject)
		}
		if _, err := conn.Request(bustest.Context(t), "$SRV.PING.py_app", nil, nil); !errors.Is(err, bus.Nobody) {
			t.Errorf("it answers $SRV: %v", err)
		}
		got := discovery.Services([]discovery.Instance{i}, nil)
		s.Nodes[0].Metadata = map[string]string{}
		s.Endpoints[0].Response = &discovery.Value{Values: []discovery.Value{}}
		s.Endpoints[0].Request.Values = nil
		s.Endpoints[0].Metadata = map[string]string{"stream": "false"}
		if diff := cmp.Diff([]discovery.Service{s}, got); diff != "" {
			t.Errorf("-registered +shown\n%s", diff)
		}
		stop(t, a)
		bustest.Eventually(t, time.Second, "gone", func() bool { return len(view.All("py.app")) == 0 })
	})
}
