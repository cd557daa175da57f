package registrar_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// follower follows the registry as a user of the package does.
type follower struct {
	mu    sync.Mutex
	lines []string          // "create app/1"
	now   map[string]string // "app/1" and its version
	err   error
	done  chan struct{}
	whole bool // it began with a snapshot
}

// follow starts to follow. With hold it reads on only when it can receive from
// that.
func follow(t *testing.T, conn *bus.Conn, service string, snapshot bool, hold chan struct{}) *follower {
	t.Helper()
	f := &follower{now: map[string]string{}, done: make(chan struct{}), whole: snapshot}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(f.done)
		for c, err := range discovery.WatchRegistry(ctx, conn, service, snapshot) {
			f.take(c, err)
			if hold != nil {
				<-hold
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-f.done })
	return f
}

func (f *follower) take(c discovery.RegistryChange, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = err; err != nil {
		return
	}
	name := c.Service.Name + "/" + c.Service.Nodes[0].ID
	f.lines = append(f.lines, string(c.Action)+" "+name)
	if _, known := f.now[name]; f.whole && known == (c.Action == discovery.Create) {
		f.lines = append(f.lines, "which makes no sense")
	}
	f.now[name] = c.Service.Version
	if c.Action == discovery.Delete {
		delete(f.now, name)
	}
}

// said returns what was yielded since the last time.
func (f *follower) said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.lines
	f.lines = nil
	slices.Sort(lines)
	return lines
}

func (f *follower) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.now)
}

func (f *follower) expect(t *testing.T, want ...string) {
	t.Helper()
	time.Sleep(100 * time.Millisecond)
	if got := f.said(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the watch said %q, want %q", got, want)
	}
}

func TestAWatchTellsWhatIsThereAndWhatChanges(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{ID: "reg"})
		conn := b.Conn(t)
		register(t, conn, app("app", "1", "2"), time.Minute)
		all, some, news := follow(t, conn, "", true, nil), follow(t, conn, "app", true, nil), follow(t, conn, "", false, nil)
		all.expect(t, "create app/1", "create app/2", "create mbus/mbus-reg")
		some.expect(t, "create app/1", "create app/2")
		news.expect(t)
		register(t, conn, app("other", "9"), time.Minute)
		changed := app("app", "1")
		changed.Version = "2"
		register(t, conn, changed, time.Minute)
		register(t, conn, changed, time.Minute) // the same
		deregister(t, conn, app("app", "2"))
		all.expect(t, "create other/9", "delete app/2", "update app/1")
		some.expect(t, "delete app/2", "update app/1")
		news.expect(t, "create other/9", "delete app/2", "update app/1")
		if s := r.Stats(); s.Watches != 3 {
			t.Errorf("%d watches, want 3", s.Watches)
		}
		time.Sleep(50 * time.Second) // leases are renewed
		register(t, conn, app("other", "9", "10"), time.Minute)
		news.expect(t, "create other/10")
	})
}

func TestAWatchGoesOnAfterALostConnection(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(b *bustest.Bus, watcher, registrar *bustest.Link)
	}{
		{"the watcher's", func(_ *bustest.Bus, watcher, _ *bustest.Link) { watcher.Down() }},
		{"the watcher's, silently", func(_ *bustest.Bus, watcher, _ *bustest.Link) { watcher.Silence() }},
		{"everyone's", func(b *bustest.Bus, _, _ *bustest.Link) { b.Restart() }},
		{"the registrar's", func(_ *bustest.Bus, _, registrar *bustest.Link) { registrar.Cut() }},
		{"some messages", func(_ *bustest.Bus, watcher, _ *bustest.Link) { watcher.Drop(bustest.FromBroker, "_INBOX.>", 2) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				links := []*bustest.Link{b.Link(), b.Link()}
				regConn, watcher, conn := b.Conn(t, links[1].Use), b.Conn(t, links[0].Use), b.Conn(t)
				r := start(t, regConn, registrar.Config{ID: "reg"})
				register(t, conn, app("app", "1", "2"), 0)
				f := follow(t, watcher, "app", true, nil)
				f.expect(t, "create app/1", "create app/2")
				tc.fault(b, links[0], links[1])
				bustest.Eventually(t, 20*time.Second, "the registrar", func() bool { return regConn.Connected() && conn.Connected() })
				time.Sleep(time.Second)
				deregister(t, conn, app("app", "2"))
				register(t, conn, app("app", "3"), 0)
				time.Sleep(5 * time.Second)
				links[0].Heal()
				bustest.Eventually(t, 20*time.Second, "the watcher", func() bool { return watcher.Connected() })
				time.Sleep(20 * time.Second)
				f.expect(t, "create app/3", "delete app/2")
				time.Sleep(30 * time.Second) // the lease of a watch whose watcher was lost
				if s := r.Stats(); s.Watches != 1 {
					t.Errorf("%d watches, want 1", s.Watches)
				}
			})
		})
	}
}

func TestAWatchFindsAnotherRegistrar(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var regs []*registrar.Registrar
		for n := range 3 {
			r := newRegistrar(t, b.Conn(t), registrar.Config{ID: fmt.Sprint(n)})
			if err := r.Start(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			regs = append(regs, r)
		}
		register(t, conn, app("app", "1"), 0)
		f := follow(t, conn, "app", true, nil)
		f.expect(t, "create app/1")
		for n, r := range regs[:2] {
			stop(t, r)
			time.Sleep(time.Second)
			register(t, conn, app("app", fmt.Sprint("new", n)), 0)
			f.expect(t, fmt.Sprint("create app/new", n))
		}
		stop(t, regs[2])
		time.Sleep(time.Minute)
		last := start(t, b.Conn(t), registrar.Config{})
		time.Sleep(time.Second)
		f.expect(t, "delete app/1", "delete app/new0", "delete app/new1")
		if s := last.Stats(); s.Watches != 1 {
			t.Errorf("%d watches, want 1", s.Watches)
		}
	})
}

func TestAWatchNeedsARegistrar(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		f := follow(t, b.Conn(t), "", true, nil)
		<-f.done
		if !errors.Is(f.err, bus.Nobody) {
			t.Errorf("without a registrar: %v, want nobody", f.err)
		}
		bad := follow(t, b.Conn(t), "a b", true, nil)
		<-bad.done
		if !errors.Is(bad.err, bus.InvalidArgument) {
			t.Errorf("an impossible name: %v, want invalid_argument", bad.err)
		}
	})
}

func TestASlowWatcherMissesNothingAndHoldsNobodyUp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{})
		crowd := b.Conn(t)
		hold := make(chan struct{})
		slow, fast := follow(t, b.Conn(t), "", true, hold), follow(t, b.Conn(t), "", true, nil)
		time.Sleep(time.Second)
		const many = 5000 // more than the view keeps
		say := func(n int, event, body string) {
			if err := crowd.Publish(t.Context(), fmt.Sprintf("mbus.announce.s.%d.%s", n, event), "", nil, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range many {
			say(n, "up", fmt.Sprintf(`{"v":1,"name":"s","id":"%d","rev":1,"interval":300000,"started":"2000-01-01T00:00:00Z"}`, n))
			if n%1000 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		bustest.Eventually(t, 20*time.Second, "all instances at the fast one", func() bool { return fast.size() == many+1 })
		if slow.size() > 2 {
			t.Fatal("the slow one is not slow")
		}
		for n := range many / 2 {
			say(n, "down", "")
		}
		bustest.Eventually(t, 20*time.Second, "half of them at the fast one", func() bool { return fast.size() == many/2+1 })
		close(hold) // reads on
		bustest.Eventually(t, 60*time.Second, "half of them at the slow one", func() bool { return slow.size() == many/2+1 })
		if s := r.Stats(); s.Watches != 2 {
			t.Errorf("%d watches, want 2", s.Watches)
		}
		if lines := slow.said(); slices.Contains(lines, "which makes no sense") {
			t.Error("a change did not follow from those before")
		}
	})
}

// rawWatch starts a watch as a client in another language does.
func rawWatch(t *testing.T, conn *bus.Conn, subject, body string) (messages chan *nats.Msg, release func()) {
	t.Helper()
	messages = make(chan *nats.Msg, 10_000)
	reply, release, err := conn.Expect(func(m *nats.Msg) { messages <- m })
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish(t.Context(), subject, reply, nil, []byte(body)); err != nil {
		t.Fatal(err)
	}
	return messages, release
}

func hello(t *testing.T, m *nats.Msg) (watch, registrar string) {
	t.Helper()
	var body struct{ Watch, Registrar string }
	if err := json.Unmarshal(m.Data, &body); err != nil || body.Watch == "" {
		t.Fatalf("the first message of a watch is %s (%v)", m.Data, bus.ReplyError(m))
	}
	return body.Watch, body.Registrar
}

func TestAWatchEndsWhenNobodyWatches(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, conn *bus.Conn, watch string){
		"the lease runs out": func(*testing.T, *bus.Conn, string) {},
		"cancel": func(t *testing.T, conn *bus.Conn, watch string) {
			if err := conn.Publish(t.Context(), "mbus.node.mbus.reg.watch", "", nil, []byte(`{"cancel":"`+watch+`"}`)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				r := start(t, b.Conn(t), registrar.Config{ID: "reg"})
				conn := b.Conn(t)
				messages, release := rawWatch(t, conn, "mbus.registry.watch", `{}`)
				defer release()
				watch, _ := hello(t, <-messages)
				if s := r.Stats(); s.Watches != 1 {
					t.Errorf("%d watches, want 1", s.Watches)
				}
				end(t, conn, watch)
				bustest.Eventually(t, 31*time.Second, "its end", func() bool { return r.Stats().Watches == 0 })
				_, refused := renew(t, conn, watch)
				if refused == nil || refused.Code != bus.NotFound {
					t.Errorf("renewing it: %v, want not_found", refused)
				}
			})
		})
	}
}

func renew(t *testing.T, conn *bus.Conn, watch string) (*nats.Msg, *bus.Error) {
	t.Helper()
	m, err := conn.Request(bustest.Context(t), "mbus.node.mbus.reg.watch", nil, []byte(`{"renew":"`+watch+`"}`))
	if err != nil {
		return nil, bus.AsError(err)
	}
	return m, bus.ReplyError(m)
}

func TestAWatcherThatIsGoneCostsNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{ID: "reg"})
		link := b.Link()
		messages, _ := rawWatch(t, b.Conn(t, link.Use), "mbus.registry.watch", `{}`)
		hello(t, <-messages)
		link.Down()
		time.Sleep(100 * time.Millisecond)
		register(t, b.Conn(t), app("app", "1"), time.Minute) // told to nobody
		bustest.Eventually(t, 100*time.Millisecond, "its end", func() bool { return r.Stats().Watches == 0 })
	})
}

func TestAWatchSendsNoMoreThanItsWindow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{ID: "reg"})
		conn := b.Conn(t)
		for n := range 1200 {
			up := fmt.Sprintf(`{"v":1,"name":"s","id":"%d","rev":1,"interval":300000,"started":"2000-01-01T00:00:00Z"}`, n)
			if err := conn.Publish(t.Context(), fmt.Sprintf("mbus.announce.s.%d.up", n), "", nil, []byte(up)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		messages, release := rawWatch(t, conn, "mbus.registry.watch", `{"service":"s","snapshot":true}`)
		defer release()
		time.Sleep(5 * time.Second)
		if n := len(messages); n != 1024 {
			t.Fatalf("%d messages before anything was acknowledged, want 1024", n)
		}
		watch, _ := hello(t, <-messages)
		m, err := conn.Request(t.Context(), "mbus.node.mbus.reg.watch", nil, []byte(`{"renew":"`+watch+`","n":300}`))
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"n":1024,"seq":1201,"renewed":"` + watch + `"}`; string(m.Data) != want {
			t.Errorf("renew answered %s, want %s", m.Data, want)
		}
		time.Sleep(5 * time.Second)
		if n := len(messages); n != 1202 { // with begin and end, without the first
			t.Errorf("%d messages in all, want 1202", n)
		}
	})
}

func TestARegistrarServesSoManyWatches(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{ID: "reg", MaxWatches: 2})
		conn := b.Conn(t)
		for range 2 {
			messages, release := rawWatch(t, conn, "mbus.registry.watch", `{}`)
			defer release()
			hello(t, <-messages)
		}
		if _, refused := ask(t, conn, "watch", `{}`); refused == nil || refused.Code != bus.ResourceExhausted || refused.Retry != bus.RetrySafe {
			t.Errorf("one too many: %v, want resource_exhausted that may be tried again", refused)
		}
	})
}

func TestAWatchIsResumedWhereItWasLeft(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{ID: "reg"})
		conn := b.Conn(t)
		messages, release := rawWatch(t, conn, "mbus.registry.watch", `{}`)
		hello(t, <-messages)
		register(t, conn, app("app", "1"), 0)
		var first struct{ N, Seq uint64 }
		if err := json.Unmarshal((<-messages).Data, &first); err != nil || first.N != 2 {
			t.Fatalf("%+v, %v", first, err)
		}
		release()
		register(t, conn, app("app", "2"), 0)
		deregister(t, conn, app("app", "1"))
		messages, release = rawWatch(t, conn, "mbus.node.mbus.reg.watch", fmt.Sprintf(`{"after":%d}`, first.Seq))
		defer release()
		hello(t, <-messages)
		for _, want := range []struct{ action, id string }{{"create", "2"}, {"delete", "1"}} {
			var got struct {
				Seq     uint64
				Action  string
				Service discovery.Service
			}
			if err := json.Unmarshal((<-messages).Data, &got); err != nil || got.Action != want.action || got.Service.Nodes[0].ID != want.id {
				t.Errorf("got %+v, %v; want %v", got, err, want)
			}
		}
		// A number that this registrar never gave: a whole snapshot.
		unknown, release := rawWatch(t, conn, "mbus.node.mbus.reg.watch", `{"after":99999}`)
		defer release()
		hello(t, <-unknown)
		var begin struct{ Snapshot string }
		if err := json.Unmarshal((<-unknown).Data, &begin); err != nil || begin.Snapshot != "begin" {
			t.Errorf("after an unknown number: %+v, %v; want a snapshot", begin, err)
		}
	})
}
