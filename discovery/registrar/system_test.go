package registrar_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// recorded are the changes that a view has seen.
type recorded struct {
	mu      sync.Mutex
	changes []discovery.Change
}

// record opens a view, waits until it is ready, and keeps what it sees from
// then on.
func record(t *testing.T, conn *bus.Conn) (*discovery.View, *recorded) {
	t.Helper()
	view, err := discovery.Watch(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	<-view.Ready()
	r := &recorded{}
	_, seq := view.Snapshot()
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for c := range view.ChangesAfter(ctx, seq) {
			r.mu.Lock()
			r.changes = append(r.changes, c)
			r.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait(); view.Close() })
	return view, r
}

// of returns the changes of one service with this action.
func (r *recorded) of(action discovery.Action, service string) []discovery.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []discovery.Change
	for _, c := range r.changes {
		if c.Action == action && c.Instance.Service == service {
			found = append(found, c)
		}
	}
	return found
}

// crash makes an instance on a link of its own, and returns the link.
func crash(t *testing.T, b *bustest.Bus, service string) *bustest.Link {
	t.Helper()
	link := b.Link()
	conn := b.Conn(t, link.Use)
	announce(t, conn, discovery.AnnouncerConfig{Name: service})
	return link
}

func TestACrashIsKnownAtOnceWithASystemConnection(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{System: systemConn(t, b)})
		view, seen := record(t, b.Conn(t))
		link := crash(t, b, "victim")
		bustest.Eventually(t, time.Second, "the instance", func() bool { return len(view.Instances("victim")) == 1 && r.Stats().Instances == 2 })
		began := time.Now()
		link.Down()
		bustest.Eventually(t, 100*time.Millisecond, "its end", func() bool { return len(view.All("victim")) == 0 })
		t.Logf("gone after %v", time.Since(began))
		if got := seen.of(discovery.Delete, "victim"); len(got) != 1 || got[0].Reason != "disconnected: Client Closed" {
			t.Errorf("deletes %+v, want one with the broker's reason", got)
		}
		if s := r.Stats(); s.Downs != 1 {
			t.Errorf("downs %d, want 1", s.Downs)
		}
	}, system())
}

func TestACrashShowsByMissingBeatsWithoutASystemConnection(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		view, _ := record(t, b.Conn(t))
		link := crash(t, b, "victim")
		bustest.Eventually(t, time.Second, "the instance", func() bool { return len(view.Instances("victim")) == 1 })
		link.Down()
		time.Sleep(time.Second)
		if len(view.All("victim")) != 1 {
			t.Error("it is gone within a second: nobody can know that")
		}
		bustest.Eventually(t, 9*time.Second, "its end", func() bool { return len(view.All("victim")) == 0 })
	}, system())
}

func TestAnInstanceThatComesBackAtOnceStays(t *testing.T) {
	for name, fault := range map[string]func(b *bustest.Bus, conn *bus.Conn, link *bustest.Link){
		"closed by the client": func(_ *bustest.Bus, _ *bus.Conn, link *bustest.Link) { link.Cut() },
		"closed by the broker": func(b *bustest.Bus, conn *bus.Conn, _ *bustest.Link) {
			_, id := conn.Identity()
			_ = b.Server().DisconnectClientByID(id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				for range 2 {
					start(t, b.Conn(t), registrar.Config{System: systemConn(t, b)})
				}
				link := b.Link()
				conn := b.Conn(t, link.Use)
				announce(t, conn, discovery.AnnouncerConfig{Name: "steady"})
				view, seen := record(t, b.Conn(t))
				for range 5 {
					epoch := conn.Epoch()
					fault(b, conn, link)
					bustest.Eventually(t, 5*time.Second, "a new connection", func() bool { return conn.Epoch() > epoch && conn.Connected() })
					time.Sleep(3 * time.Second)
				}
				for _, c := range seen.of(discovery.Delete, "steady") {
					// It is closed by the client side itself: until it is back, it is away.
					if name == "closed by the broker" {
						t.Errorf("deleted: %s", c.Reason)
					}
				}
				if got := view.Instances("steady"); len(got) != 1 {
					t.Errorf("%d instances in the end, want 1", len(got))
				}
				server, client := conn.Identity()
				if i := view.Instances("steady")[0]; i.Server != server || i.Client != client {
					t.Error("the view does not know its new connection")
				}
			}, system())
		})
	}
}

func TestWhatIsAnnouncedAfterItsEndDoesNotStay(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		slow := b.Link()
		view, _ := record(t, b.Conn(t))
		start(t, b.Conn(t, slow.Use), registrar.Config{System: systemConn(t, b)})
		slow.Delay(bustest.FromBroker, 300*time.Millisecond) // events overtake announcements
		link := crash(t, b, "brief")
		time.Sleep(10 * time.Millisecond)
		link.Down()
		bustest.Eventually(t, 3*time.Second, "its end", func() bool { return len(view.All("brief")) == 0 })
		slow.Heal()
	}, system())
}

func TestTheEndOfAServerEndsWhatWasConnectedThere(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		broker := systemConn(t, b)
		start(t, b.Conn(t), registrar.Config{System: systemConn(t, b)})
		view, _ := record(t, b.Conn(t))
		conn := b.Conn(t)
		announce(t, conn, discovery.AnnouncerConfig{Name: "elsewhere"})
		// An instance on another server of a cluster, which does not answer.
		up := `{"v":1,"name":"there","id":"i1","rev":1,"interval":60000,"server":"OTHER","client":7,"started":"2000-01-01T00:00:00Z"}`
		if err := conn.Publish(t.Context(), "mbus.announce.there.i1.up", "", nil, []byte(up)); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, time.Second, "both", func() bool { return len(view.All("there"))+len(view.All("elsewhere")) == 2 })
		own, _ := conn.Identity()
		for _, server := range []string{"OTHER", own} {
			if err := broker.Publish(t.Context(), "$SYS.SERVER."+server+".SHUTDOWN", "", nil, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		bustest.Eventually(t, 2*time.Second, "the end of one", func() bool { return len(view.All("there")) == 0 })
		time.Sleep(3 * time.Second)
		if len(view.Instances("elsewhere")) != 1 {
			t.Error("an instance that answers was announced as gone")
		}
	}, system())
}
