package registrar_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// gather collects the messages of one answer, up to the one that ends it.
func gather(t *testing.T, conn *bus.Conn, op, body string, last func(*nats.Msg) bool) []*nats.Msg {
	t.Helper()
	var all []*nats.Msg
	g := bus.Gather{MaxBytes: conn.MaxPayload(), Done: last}
	for m, err := range conn.Gather(bustest.Context(t), "mbus.registry."+op, nil, []byte(body), g) {
		if err != nil {
			t.Fatal(err)
		}
		if e := bus.ReplyError(m); e != nil {
			t.Fatal(e)
		}
		all = append(all, m)
	}
	return all
}

func empty(m *nats.Msg) bool { return len(m.Data) == 0 }

func TestAThousandInstancesAreListed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		const services, each = 200, 5
		var conns []*bus.Conn
		for range each {
			conns = append(conns, b.Conn(t))
		}
		for n := range services {
			for i := range each {
				announce(t, conns[i], discovery.AnnouncerConfig{
					Name: fmt.Sprintf("go.micro.srv.service-%03d", n), Version: "1.0.0", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}},
				})
			}
		}
		conn := b.Conn(t)
		time.Sleep(time.Second)
		count := make(map[string]int)
		messages := gather(t, conn, "list", "{}", empty)
		for n, m := range messages {
			var entries []json.RawMessage
			if n == len(messages)-1 {
				if len(m.Data) > 0 {
					t.Error("the list has no end")
				}
				break
			}
			if err := json.Unmarshal(m.Data, &entries); err != nil || len(m.Data) > 64<<10 {
				t.Fatalf("message %d: %d bytes, %v", n, len(m.Data), err)
			}
			for _, raw := range entries {
				var e struct{ Name, ID, Version, Address string }
				if err := json.Unmarshal(raw, &e); err != nil || len(raw) > 256 || !strings.HasPrefix(e.ID, e.Name+"-") || !strings.HasPrefix(e.Address, "mbus.node.") {
					t.Fatalf("entry %s: %v", raw, err)
				}
				count[e.Name]++
			}
		}
		if len(messages) < 3 || len(count) != services+1 {
			t.Errorf("%d messages and %d services, want more messages and %d services", len(messages), len(count), services+1)
		}
		for name, n := range count {
			if n != each && name != "mbus" {
				t.Errorf("%d instances of %s, want %d", n, name, each)
			}
		}
		for n := range services {
			name := fmt.Sprintf("go.micro.srv.service-%03d", n)
			if got := nodes(t, conn, name); len(got) != each {
				t.Errorf("%d nodes of %s, want %d", len(got), name, each)
			}
		}
	})
}

func TestAListKeepsUpWithChanges(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "worker", ID: "w1"})
		names := func() []string {
			names, err := discovery.List(bustest.Context(t), conn)
			if err != nil {
				t.Fatal(err)
			}
			return names
		}
		if got := names(); !slices.Equal(got, []string{"mbus", "worker"}) {
			t.Errorf("List = %q", got)
		}
		if err := a.Drain(t.Context(), "bye"); err != nil {
			t.Fatal(err)
		}
		if list := string(gather(t, conn, "list", "", empty)[0].Data); !strings.Contains(list, `{"name":"worker","id":"worker-w1","address":"mbus.node.worker.w1","state":"draining"}`) {
			t.Errorf("the list does not show that it drains: %s", list)
		}
		stop(t, a)
		if got := names(); !slices.Equal(got, []string{"mbus"}) {
			t.Errorf("List = %q", got)
		}
	})
}

func TestALongEntryIsShortened(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		s := app("app", strings.Repeat("i", 128))
		s.Version, s.Nodes[0].Address = strings.Repeat("v", 200), strings.Repeat("a", 200)
		register(t, conn, s, 0)
		list := string(gather(t, conn, "list", "", empty)[0].Data)
		if want := `{"name":"app","id":"` + strings.Repeat("i", 128) + `"}`; !strings.Contains(list, want) {
			t.Errorf("the list is %s, want %s in it", list, want)
		}
	})
}

func TestForeignServicesAreListed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		nc, err := nats.Connect("", nats.InProcessServer(b))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		service, err := micro.AddService(nc, micro.Config{Name: "echo_service", Version: "1.2.3", Endpoint: &micro.EndpointConfig{
			Subject: "echo.here", Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(r.Data()) }),
		}})
		if err != nil {
			t.Fatal(err)
		}
		conn := b.Conn(t)
		listed := func() bool {
			time.Sleep(200 * time.Millisecond)
			names, err := discovery.List(bustest.Context(t), conn)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Contains(names, "echo_service")
		}
		bustest.Eventually(t, 15*time.Second, "the foreign service", listed)
		got, err := discovery.Get(bustest.Context(t), conn, "echo_service")
		if err != nil || len(got) != 1 || got[0].Version != "1.2.3" || got[0].Nodes[0].Address != "echo.here" {
			t.Errorf("Get = %+v, %v", got, err)
		}
		if err := service.Stop(); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, 20*time.Second, "its end", func() bool { return !listed() })
	})
}

func TestGetDescribesMessagesAndRemembersTheirSchemas(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		asked := 0
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter", Endpoints: []discovery.Endpoint{{Name: "Say.Hello", Request: "h1", Response: "unknown"}}})
		l, err := conn.Listen(bus.Calls, "mbus.node.greeter."+a.ID()+".Debug.Schema", "", func(m *nats.Msg) {
			asked++
			_ = m.Respond([]byte(`{"schemas":{"h1":{"title":"HelloRequest","type":"object","properties":{"name":{"type":"string"}}}}}`))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Confirm(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			got, err := discovery.Get(bustest.Context(t), conn, "greeter")
			if err != nil || len(got) != 1 || got[0].Endpoints[0].Request.Type != "HelloRequest" || got[0].Endpoints[0].Request.Values[0].Name != "name" {
				t.Fatalf("Get = %+v, %v", got, err)
			}
		}
		if asked != 1 {
			t.Errorf("the instance was asked %d times, want once", asked)
		}
		time.Sleep(11 * time.Second)
		if _, err := discovery.Get(bustest.Context(t), conn, "greeter"); err != nil || asked != 2 {
			t.Errorf("asked %d times (%v), want again for what was missing", asked, err)
		}
	})
}

func TestGetDoesNotWaitForAnInstanceThatIsStuck(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "stuck", Endpoints: []discovery.Endpoint{{Name: "Say.Hello", Request: "h1"}}})
		if _, err := conn.Listen(bus.Calls, "mbus.node.stuck."+a.ID()+".Debug.Schema", "", func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		expectNodes(t, conn, "stuck", "stuck-"+a.ID())
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Errorf("get took %v", took)
		}
	})
}

func TestGetSaysWhatIsMissing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "go.micro.srv.greeter"})
		announce(t, conn, discovery.AnnouncerConfig{Name: "go.micro.srv.greetings"})
		stop(t, a)
		gone := time.Now()
		time.Sleep(9 * time.Minute)
		_, refused := ask(t, conn, "get", `{"service":"go.micro.srv.greeter"}`)
		var detail struct {
			LastSeen time.Time `json:"last_seen"`
			Near     []string
		}
		if refused == nil || refused.Code != bus.NotFound || json.Unmarshal(refused.Detail, &detail) != nil {
			t.Fatalf("get: %v", refused)
		}
		if gone.Sub(detail.LastSeen) > 3*time.Second || !slices.Equal(detail.Near, []string{"go.micro.srv.greetings"}) || !strings.Contains(refused.Message, "9m0s ago") {
			t.Errorf("get: %v, detail %s", refused, refused.Detail)
		}
		time.Sleep(2 * time.Minute)
		if _, refused = ask(t, conn, "get", `{"service":"go.micro.srv.greeter"}`); string(refused.Detail) != `{"near":["go.micro.srv.greetings"]}` {
			t.Errorf("eleven minutes later: %v, detail %s", refused, refused.Detail)
		}
		if _, err := discovery.Get(bustest.Context(t), conn, "greetings"); !errors.Is(err, bus.NotFound) || !strings.Contains(err.Error(), "go.micro.srv.greetings") {
			t.Errorf("Get of a part of a name: %v", err)
		}
	})
}

func TestABigServiceComesInSeveralMessages(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		var want []string
		for n := range 20 {
			s := app("big")
			s.Version = fmt.Sprint(n % 2)
			s.Endpoints = []discovery.ServiceEndpoint{{Name: "Say.Hello"}}
			for i := range 3 {
				id := fmt.Sprintf("%02d-%d", n, i)
				want = append(want, id)
				s.Nodes = append(s.Nodes, discovery.Node{ID: id, Address: "h", Metadata: map[string]string{"fill": strings.Repeat("x", 20_000)}})
			}
			register(t, conn, s, 0)
		}
		last := func(m *nats.Msg) bool { return !strings.Contains(string(m.Data), `"more":true`) }
		messages := gather(t, conn, "get", `{"service":"big"}`, last)
		for _, m := range messages {
			if len(m.Data) > 256<<10 {
				t.Errorf("a message of %d bytes", len(m.Data))
			}
		}
		if len(messages) < 5 {
			t.Errorf("%d messages for 1.2 MB", len(messages))
		}
		got, err := discovery.Get(bustest.Context(t), conn, "big")
		if err != nil || len(got) != 2 || len(got[0].Endpoints) != 1 || len(got[1].Endpoints) != 1 {
			t.Fatalf("Get = %d versions, %v", len(got), err)
		}
		var ids []string
		for _, s := range got {
			for _, n := range s.Nodes {
				ids = append(ids, n.ID)
			}
		}
		slices.Sort(ids)
		if !slices.Equal(ids, want) {
			t.Errorf("nodes %q", ids)
		}
	})
}

func TestWhatNoMessageCanCarryIsLeftOut(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		// 1000 endpoints are 17 kB announced, and ten times that in Micro's words.
		cfg := discovery.AnnouncerConfig{Name: "wide", ID: "w"}
		for n := range 1000 {
			cfg.Endpoints = append(cfg.Endpoints, discovery.Endpoint{Name: fmt.Sprint("E", n)})
		}
		announce(t, conn, cfg)
		// 40 messages of 300 fields each are more than an answer has room for.
		cfg = discovery.AnnouncerConfig{Name: "deep", ID: "d"}
		schemas := make(map[string]json.RawMessage)
		var fields []string
		for n := range 300 {
			fields = append(fields, fmt.Sprintf(`"field%d":{"type":"string"}`, n))
		}
		for n := range 40 {
			hash := fmt.Sprint("h", n)
			cfg.Endpoints = append(cfg.Endpoints, discovery.Endpoint{Name: fmt.Sprint("E", n), Request: hash})
			schemas[hash] = json.RawMessage(`{"type":"object","properties":{` + strings.Join(fields, ",") + `}}`)
		}
		l, err := conn.Listen(bus.Calls, "mbus.node.deep.d.Debug.Schema", "", func(m *nats.Msg) {
			data, _ := json.Marshal(map[string]any{"schemas": schemas})
			_ = m.Respond(data)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Confirm(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		announce(t, conn, cfg)
		time.Sleep(time.Second)
		for name, want := range map[string]int{"wide": 1000, "deep": 40} {
			got, err := discovery.Get(bustest.Context(t), conn, name)
			if err != nil || len(got) != 1 || len(got[0].Nodes) != 1 || len(got[0].Endpoints) != want || len(got[0].Endpoints[0].Request.Values) != 0 {
				t.Errorf("Get %s = %d versions, %v: want %d endpoints, undescribed", name, len(got), err, want)
			}
		}
		f := follow(t, conn, "wide", true, nil)
		f.expect(t, "create wide/wide-w") // without its endpoints, which are over 128 kB
	})
}

func TestAServiceOfAnotherLibraryIsThereAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		foreign := b.Conn(t)
		if _, err := micro.AddService(foreign.NATS(), micro.Config{Name: "fresh", Version: "1.0.0"}); err != nil {
			t.Fatal(err)
		}
		if err := foreign.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		services, err := discovery.Get(bustest.Context(t), b.Conn(t), "fresh")
		if err != nil || len(services) != 1 || len(services[0].Nodes) != 1 {
			t.Errorf("got %+v, %v, want the service that has just started", services, err)
		}
	})
}
