package registrar_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// app is a service that is not on the bus.
func app(name string, ids ...string) discovery.Service {
	s := discovery.Service{Name: name, Version: "1.0.0"}
	for _, id := range ids {
		s.Nodes = append(s.Nodes, discovery.Node{ID: id, Address: "10.0.0.1", Port: 8080, Metadata: map[string]string{"lang": "ruby"}})
	}
	return s
}

func register(t *testing.T, conn *bus.Conn, s discovery.Service, ttl time.Duration) {
	t.Helper()
	if err := discovery.Register(bustest.Context(t), conn, s, ttl); err != nil {
		t.Fatalf("Register %s: %v", s.Name, err)
	}
}

func deregister(t *testing.T, conn *bus.Conn, s discovery.Service) {
	t.Helper()
	if err := discovery.Deregister(bustest.Context(t), conn, s); err != nil {
		t.Fatalf("Deregister %s: %v", s.Name, err)
	}
}

// nodes returns the ids of a service's nodes as a registrar tells them.
func nodes(t *testing.T, conn *bus.Conn, service string) []string {
	t.Helper()
	services, err := discovery.Get(bustest.Context(t), conn, service)
	if err != nil && !errors.Is(err, bus.NotFound) {
		t.Fatalf("Get %s: %v", service, err)
	}
	var ids []string
	for _, s := range services {
		for _, n := range s.Nodes {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func expectNodes(t *testing.T, conn *bus.Conn, service string, want ...string) {
	t.Helper()
	if got := nodes(t, conn, service); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("nodes of %s: %q, want %q", service, got, want)
	}
}

// ask sends a request as any client may and returns the answer.
func ask(t *testing.T, conn *bus.Conn, op, body string) (*nats.Msg, *bus.Error) {
	t.Helper()
	m, err := conn.Request(bustest.Context(t), "mbus.registry."+op, nil, []byte(body))
	if err != nil {
		return nil, bus.AsError(err)
	}
	return m, bus.ReplyError(m)
}

func TestARegistrationLastsForItsTTL(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		_, seen := record(t, conn)
		register(t, conn, app("app.ttl", "a"), 10*time.Second)
		register(t, conn, app("app.forever", "b"), 0)
		time.Sleep(9 * time.Second)
		expectNodes(t, conn, "app.ttl", "a")
		register(t, conn, app("app.ttl", "a"), 10*time.Second) // once more
		time.Sleep(9900 * time.Millisecond)
		expectNodes(t, conn, "app.ttl", "a")
		time.Sleep(200 * time.Millisecond)
		expectNodes(t, conn, "app.ttl")
		time.Sleep(10 * time.Minute)
		expectNodes(t, conn, "app.forever", "b")
		if got := seen.of(discovery.Delete, "app.ttl"); len(got) != 1 || got[0].Reason != "expired" {
			t.Errorf("deletes %+v, want one that expired", got)
		}
		if got := seen.of(discovery.Update, "app.ttl"); len(got) != 0 {
			t.Errorf("%d updates: registering again changes nothing", len(got))
		}
	})
}

func TestARegistrationIsReplacedByAnother(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		_, seen := record(t, conn)
		s := app("py.app", "host 1:8000/a.b>*é"[:16], "second")
		s.Metadata = map[string]string{"owner": "ada"}
		s.Endpoints = []discovery.ServiceEndpoint{{
			Name: "Say.Hello", Request: &discovery.Value{Name: "Req", Type: "Req", Values: []discovery.Value{{Name: "name", Type: "string"}}},
			Metadata: map[string]string{"stream": "true"},
		}}
		register(t, conn, s, time.Minute)
		s.Nodes[0].Port, s.Version = 9999, "2.0.0"
		register(t, conn, s, time.Minute)
		got, err := discovery.Get(bustest.Context(t), conn, "py.app")
		if err != nil || len(got) != 1 {
			t.Fatalf("Get = %+v, %v: want one version", got, err)
		}
		if got := got[0]; got.Version != "2.0.0" || got.Metadata["owner"] != "ada" || len(got.Nodes) != 2 || got.Nodes[0].Port != 9999 || got.Nodes[0].ID != s.Nodes[0].ID ||
			got.Endpoints[0].Request.Values[0].Name != "name" || got.Endpoints[0].Metadata["stream"] != "true" {
			t.Errorf("got %+v", got)
		}
		// Micro matched nodes by name and id, whatever their version.
		deregister(t, conn, discovery.Service{Name: "py.app", Version: "0.1", Nodes: []discovery.Node{{ID: "second"}, {ID: "unknown"}}})
		expectNodes(t, conn, "py.app", s.Nodes[0].ID)
		time.Sleep(time.Second)
		if got := seen.of(discovery.Delete, "py.app"); len(got) != 1 || got[0].Instance.ID != "second" || got[0].Reason != "deregistered" {
			t.Errorf("deletes %+v, want that of the second node", got)
		}
	})
}

func TestWhatIsOnTheBusCannotBeRegistered(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		live := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		own := announce(t, conn, discovery.AnnouncerConfig{Name: "bridge", ID: "b1", Address: "10.0.0.9", Port: 1})
		time.Sleep(time.Second)
		for _, s := range []discovery.Service{app("greeter", live.ID()), app("greeter", "greeter-"+live.ID()), app("bridge", own.ID())} {
			for what, err := range map[string]error{
				"register":   discovery.Register(bustest.Context(t), conn, s, time.Minute),
				"deregister": discovery.Deregister(bustest.Context(t), conn, s),
			} {
				if !errors.Is(err, bus.Conflict) {
					t.Errorf("%s %s %s: %v, want a conflict", what, s.Name, s.Nodes[0].ID, err)
				}
			}
		}
		register(t, conn, app("greeter", "beside-it"), time.Minute)
		expectNodes(t, conn, "greeter", "greeter-"+live.ID(), "beside-it")
		if err := discovery.Register(bustest.Context(t), conn, app("mbus", r.ID()), 0); !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("registering a registrar: %v, want invalid_argument", err)
		}
	})
}

func TestARegistrarTakesSoManyEntries(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{MaxEntries: 3})
		conn := b.Conn(t)
		register(t, conn, app("a", "1", "2"), time.Minute)
		register(t, conn, app("b", "1"), time.Minute)
		err := discovery.Register(bustest.Context(t), conn, app("c", "1"), time.Minute)
		if !errors.Is(err, bus.ResourceExhausted) {
			t.Errorf("one too many: %v, want resource_exhausted", err)
		}
		register(t, conn, app("b", "1"), time.Minute) // not one more
		deregister(t, conn, app("b", "1"))
		register(t, conn, app("c", "1"), time.Minute)
	})
}

func TestARegistryThatIsFullSaysSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{MaxInstances: 3})
		conn := b.Conn(t)
		register(t, conn, app("a", "1", "2"), time.Minute)
		err := discovery.Register(bustest.Context(t), conn, app("b", "1"), time.Minute)
		if !errors.Is(err, bus.ResourceExhausted) {
			t.Errorf("one too many: %v, want resource_exhausted", err)
		}
		if s := r.Stats(); s.Entries != 2 || s.Instances != 3 || s.Unlisted == 0 {
			t.Errorf("stats %+v, want two entries and what was not listed", s)
		}
	})
}

func TestAReadAfterOKSeesTheWriteAtEveryRegistrar(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var links []*bustest.Link
		for range 3 {
			link := b.Link()
			links = append(links, link)
			start(t, b.Conn(t, link.Use), registrar.Config{})
		}
		time.Sleep(time.Second) // they know each other
		// The last one sees announcements late, and loses some for good.
		links[2].Postpone(bustest.FromBroker, "mbus.announce.app.*.up", 40*time.Millisecond, 0)
		links[2].Drop(bustest.FromBroker, "mbus.announce.app.*.down", 5)
		links[2].Postpone(bustest.FromBroker, "mbus.announce.app.*.down", 40*time.Millisecond, 0)
		conn := b.Conn(t)
		for n := range 60 {
			s := app("app", fmt.Sprint(n))
			register(t, conn, s, time.Minute)
			expectNodes(t, conn, "app", fmt.Sprint(n))
			deregister(t, conn, s)
			expectNodes(t, conn, "app")
		}
		links[2].Heal()
	})
}

func TestARegistrarThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		end := stuckRegistrar(t, conn)
		began := time.Now()
		register(t, conn, app("app", "1"), time.Minute)
		if took := time.Since(began); took < 500*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("register took %v, want half a second", took)
		}
		end() // the broker says that nobody listens
		began = time.Now()
		register(t, conn, app("app", "2"), time.Minute)
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("register took %v with nobody to wait for", took)
		}
	})
}

func TestTwoRegistrarsAgreeOnEntriesThatBothTake(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		regs := []*registrar.Registrar{start(t, b.Conn(t), registrar.Config{}), start(t, b.Conn(t), registrar.Config{})}
		conn := b.Conn(t)
		view, _ := record(t, b.Conn(t))
		done := make(chan error)
		const clients = 8
		for n := range clients {
			go func() { // ends with its send
				var err error
				for i := range 10 {
					s := app("app", "same")
					s.Nodes[0].Port = 1000 + n*100 + i
					if e := discovery.Register(t.Context(), conn, s, time.Minute); e != nil {
						err = e
					}
				}
				done <- err
			}()
		}
		for range clients {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(5 * time.Second)
		if n := regs[0].Stats().Entries + regs[1].Stats().Entries; n != 1 {
			t.Errorf("%d registrars announce it, want one", n)
		}
		want := view.All("app")[0].Port
		for range 10 {
			services, err := discovery.Get(bustest.Context(t), conn, "app")
			if err != nil || len(services) != 1 || services[0].Nodes[0].Port != want {
				t.Fatalf("Get = %+v, %v: want port %d everywhere", services, err, want)
			}
		}
		deregister(t, conn, app("app", "same"))
		time.Sleep(10 * time.Second)
		expectNodes(t, conn, "app")
	})
}

func TestARegistrationAnswersWithJSON(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		// Micro's clients write the names of fields as they like.
		m, refused := ask(t, conn, "register", `{"Service":{"Name":"app","Nodes":[{"Id":"1","Address":"h","Port":1},{"Id":"2","Address":"h"}]}}`)
		if refused != nil {
			t.Fatal(refused)
		}
		var reply struct{ Nodes int }
		if err := json.Unmarshal(m.Data, &reply); err != nil || reply.Nodes != 2 {
			t.Errorf("register answered %s", m.Data)
		}
		expectNodes(t, conn, "app", "1", "2")
	})
}
