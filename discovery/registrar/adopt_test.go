package registrar_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// owner returns which registrar announces entries, -1 if it is not one alone.
func owner(regs ...*registrar.Registrar) int {
	found := -1
	for n, r := range regs {
		switch {
		case r.Stats().Entries == 0:
		case found >= 0:
			return -1
		default:
			found = n
		}
	}
	return found
}

// two starts two registrars on links of their own and registers three nodes
// with one of them. It returns the owner and its link first.
func two(t *testing.T, b *bustest.Bus, client *bus.Conn, ttl time.Duration, withSystem bool) (regs []*registrar.Registrar, links []*bustest.Link) {
	t.Helper()
	for range 2 {
		link := b.Link()
		var cfg registrar.Config
		if withSystem {
			cfg.System = systemConn(t, b)
		}
		regs = append(regs, start(t, b.Conn(t, link.Use), cfg))
		links = append(links, link)
	}
	time.Sleep(time.Second)
	register(t, client, app("app", "1", "2", "3"), ttl)
	if owner(regs...) == 1 {
		regs[0], regs[1], links[0], links[1] = regs[1], regs[0], links[1], links[0]
	}
	if got := owner(regs...); got != 0 {
		t.Fatalf("owner %d: not one registrar announces the entries", got)
	}
	return regs, links
}

func TestAnotherRegistrarAdoptsTheEntriesOfOneThatIsGone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		system bool
		end    func(t *testing.T, b *bustest.Bus, r *registrar.Registrar, link *bustest.Link)
		within time.Duration
		gap    bool // a watcher may judge before a registrar does
	}{
		{"it crashes, the broker tells", true, func(_ *testing.T, _ *bustest.Bus, _ *registrar.Registrar, link *bustest.Link) { link.Down() }, 500 * time.Millisecond, false},
		{"it crashes, beats are missing", false, func(_ *testing.T, _ *bustest.Bus, _ *registrar.Registrar, link *bustest.Link) { link.Down() }, 8 * time.Second, true},
		{"the network is silent", true, func(_ *testing.T, _ *bustest.Bus, _ *registrar.Registrar, link *bustest.Link) { link.Silence() }, 8 * time.Second, true},
		{"it stops", false, func(t *testing.T, _ *bustest.Bus, r *registrar.Registrar, _ *bustest.Link) { stop(t, r) }, 100 * time.Millisecond, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				conn := b.Conn(t)
				_, seen := record(t, b.Conn(t))
				regs, links := two(t, b, conn, 30*time.Second, tc.system)
				registered := time.Now()
				time.Sleep(10 * time.Second)
				began := time.Now()
				tc.end(t, b, regs[0], links[0])
				bustest.Eventually(t, tc.within, "adoption", func() bool { return regs[1].Stats().Adopted == 3 })
				t.Logf("adopted after %v", time.Since(began))
				time.Sleep(time.Until(registered.Add(29 * time.Second)))
				expectNodes(t, conn, "app", "1", "2", "3")
				if got := seen.of(discovery.Delete, "app"); len(got) > 0 && !tc.gap {
					t.Errorf("deleted meanwhile: %s", got[0].Reason)
				}
				time.Sleep(1500 * time.Millisecond)
				expectNodes(t, conn, "app")
				links[0].Heal()
			}, system())
		})
	}
}

func TestTheLastRegistrarTakesItsEntriesAlong(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		view, _ := record(t, conn)
		r := newRegistrar(t, b.Conn(t), registrar.Config{})
		if err := r.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		register(t, conn, app("app", "1", "2"), 0)
		stop(t, r)
		if err := conn.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, 10*time.Millisecond, "an empty view", func() bool { return len(view.Services()) == 0 })
		// The next one begins without them: apps register again.
		start(t, b.Conn(t), registrar.Config{})
		expectNodes(t, conn, "app")
		register(t, conn, app("app", "1"), time.Minute)
		expectNodes(t, conn, "app", "1")
	})
}

func TestARegistrarThatComesBackRespectsWhatHappenedMeanwhile(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		regs, links := two(t, b, conn, 0, true)
		links[0].Down()
		bustest.Eventually(t, time.Second, "adoption", func() bool { return regs[1].Stats().Adopted == 3 })
		deregister(t, conn, app("app", "2"))
		changed := app("app", "3")
		changed.Nodes[0].Port = 9
		register(t, conn, changed, 0)
		time.Sleep(5 * time.Second)
		_, seen := record(t, b.Conn(t))
		links[0].Heal()
		time.Sleep(10 * time.Second)
		expectNodes(t, conn, "app", "1", "3")
		if got := seen.of(discovery.Create, "app"); len(got) > 0 {
			t.Errorf("%s came back", got[0].Instance.ID)
		}
		if regs[0].Stats().Entries != 0 || regs[1].Stats().Entries != 2 {
			t.Errorf("entries %d and %d, want all with the one that stayed", regs[0].Stats().Entries, regs[1].Stats().Entries)
		}
		services, err := discovery.Get(bustest.Context(t), conn, "app")
		if err != nil || services[0].Nodes[1].Port != 9 {
			t.Errorf("Get = %+v, %v: want what was registered last", services, err)
		}
		deregister(t, conn, app("app", "1", "3"))
		time.Sleep(5 * time.Second)
		expectNodes(t, conn, "app")
	}, system())
}

func TestEntriesOutliveTheirRegistrarAndTheBrokerTogether(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		regs, links := two(t, b, conn, time.Hour, true)
		b.Stop()
		links[0].Down() // a node that ran both
		time.Sleep(10 * time.Second)
		b.Start()
		b.Await(t, conn)
		bustest.Eventually(t, 12*time.Second, "adoption", func() bool { return regs[1].Stats().Adopted == 3 })
		expectNodes(t, conn, "app", "1", "2", "3")
		links[0].Heal()
		time.Sleep(20 * time.Second)
		expectNodes(t, conn, "app", "1", "2", "3")
		if owner(regs...) == -1 {
			t.Error("two registrars announce the entries")
		}
	}, system())
}

func TestEntriesSurviveAShortLossOfTheirRegistrarsConnection(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		regs, links := two(t, b, conn, time.Hour, false)
		_, seen := record(t, b.Conn(t))
		for range 5 {
			links[0].Cut()
			time.Sleep(3 * time.Second)
			expectNodes(t, conn, "app", "1", "2", "3")
		}
		if got := seen.of(discovery.Delete, "app"); len(got) > 0 {
			t.Errorf("deleted meanwhile: %s", got[0].Reason)
		}
		if got := owner(regs...); got != 0 {
			t.Errorf("owner %d, want still the first", got)
		}
	}, system())
}

func TestWhatAProgramAnnouncesItselfIsNotAdopted(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{System: systemConn(t, b)})
		link := b.Link()
		announce(t, b.Conn(t, link.Use), discovery.AnnouncerConfig{Name: "bridge", ID: "b1", Address: "10.0.0.9", Port: 1})
		conn := b.Conn(t)
		time.Sleep(time.Second)
		expectNodes(t, conn, "bridge", "b1")
		link.Down()
		time.Sleep(time.Second)
		expectNodes(t, conn, "bridge")
		if s := r.Stats(); s.Adopted != 0 || s.Entries != 0 {
			t.Errorf("stats %+v", s)
		}
	}, system())
}

func TestAfterARestartOfTheBrokerEverythingIsThereWithinTwoSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		regs, _ := two(t, b, conn, time.Hour, true)
		conns := []*bus.Conn{conn}
		for n := range 20 {
			c := b.Conn(t)
			conns = append(conns, c)
			for i := range 5 {
				announce(t, c, discovery.AnnouncerConfig{Name: fmt.Sprintf("service-%d", n%10), ID: fmt.Sprintf("%d-%d", n, i)})
			}
		}
		time.Sleep(time.Second)
		for _, away := range []time.Duration{0, time.Minute} {
			_, seen := record(t, conn)
			b.Stop()
			time.Sleep(away)
			b.Start()
			b.Await(t, conns...)
			began := time.Now()
			// Nothing that is listed may be a memory: all instances have shown
			// themselves on the new server.
			complete := func() bool {
				fresh := 0
				view, err := discovery.Query(t.Context(), conn, "")
				if err != nil {
					return false
				}
				for _, i := range view {
					if i.Server == b.Server().ID() {
						fresh++
					}
				}
				return fresh == 100+3+2
			}
			for !complete() {
				if time.Since(began) > 2*time.Second {
					t.Fatalf("after %v away: not complete within two seconds", away)
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Logf("after %v away: complete after %v", away, time.Since(began))
			names, err := discovery.List(bustest.Context(t), conn)
			if err != nil || len(names) != 12 {
				t.Errorf("List = %q, %v: want 12 services", names, err)
			}
			time.Sleep(10 * time.Second)
			expectNodes(t, conn, "app", "1", "2", "3")
			if n := regs[0].Stats().Entries + regs[1].Stats().Entries; n != 3 {
				t.Errorf("%d entries, want 3", n)
			}
			for n := range 10 {
				if got := seen.of(discovery.Delete, fmt.Sprintf("service-%d", n)); len(got) > 0 {
					t.Errorf("deleted: %s", got[0].Reason)
				}
			}
		}
	}, system())
}
