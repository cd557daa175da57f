package discovery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// An instance answers $SRV at once and a probe a little later. On a busy machine
// that is much later, and a snapshot that ended before would leave it out.
func TestASnapshotWaitsForAnInstanceThatHasShownItself(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "greeter", ID: "quick"})
		answer := func(subject, body string, later time.Duration) {
			t.Helper()
			_, err := conn.NATS().Subscribe(subject, func(m *nats.Msg) {
				time.Sleep(later)
				_ = m.Respond([]byte(body))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		answer("$SRV.INFO.greeter", `{"name":"greeter","id":"busy","version":"0.0.0","metadata":{"mbus.v":"1","mbus.name":"greeter"},"type":"io.nats.micro.v1.info_response","endpoints":[]}`, 0)
		answer("mbus.probe.greeter", `{"v":1,"name":"greeter","id":"busy","rev":1,"started":"2026-01-02T03:04:05Z"}`, 300*time.Millisecond)
		if err := conn.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		view := watch(t, b.Conn(t), discovery.WithService("greeter"))
		if all := view.Instances("greeter"); len(all) != 2 || time.Since(began) > 500*time.Millisecond {
			t.Errorf("after %v the snapshot has %d instances, want both", time.Since(began), len(all))
		}
	})
}

func TestAKilledInstanceIsNoticedWithinTenSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for name, kill := range map[string]func(*bustest.Link){"killed": (*bustest.Link).Down, "network gone": (*bustest.Link).Silence} {
			view := watch(t, b.Conn(t))
			for range 5 {
				link := b.Link()
				conn := b.Conn(t, link.Use)
				a := announce(t, conn, discovery.AnnouncerConfig{Name: "victim"})
				announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "victim"}) // the control stays
				time.Sleep(rand.N(4 * time.Second))
				kill(link)
				began := time.Now()
				bustest.Eventually(t, 10*time.Second, "removed", func() bool {
					_, there := view.Get("victim", a.ID())
					return !there
				})
				took := time.Since(began)
				t.Logf("%s: noticed after %v", name, took)
				if took < 3*time.Second {
					t.Errorf("%s: noticed after %v: three beats cannot have been missed", name, took)
				}
			}
			if n := len(view.Instances("victim")); n < 5 {
				t.Errorf("%s: %d instances are left, want those that live", name, n)
			}
		}
	})
}

func TestASuspectIsNotChosenAndComesBack(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		announce(t, b.Conn(t, link.Use), discovery.AnnouncerConfig{Name: "slow"})
		view := watch(t, b.Conn(t))
		link.Drop(bustest.ToBroker, "mbus.announce.>", 0)
		link.Drop(bustest.ToBroker, "_INBOX.>", 0)
		states := make(map[discovery.State]bool)
		for range 80 { // eight seconds: nothing of it is heard
			time.Sleep(100 * time.Millisecond)
			for _, i := range view.All("slow") {
				states[i.State] = true
				if i.State == discovery.StateSuspect && len(view.Instances("slow")) != 0 {
					t.Fatal("a suspect is offered to callers")
				}
			}
		}
		if !states[discovery.StateSuspect] || len(view.All("slow")) != 0 {
			t.Errorf("after eight seconds of silence: states %v, %d left, want one that was suspect first", states, len(view.All("slow")))
		}
		link.Heal()
		bustest.Eventually(t, 10*time.Second, "back", func() bool { return len(view.Instances("slow")) == 1 })
	})
}

// lossTime is three minutes, and half an hour in the long form.
func lossTime() time.Duration {
	if os.Getenv("MBUS_LONG") != "" {
		return 30 * time.Minute
	}
	return 3 * time.Minute
}

// lose makes a link lose a tenth of the announcements of a hundred instances and
// delay the others by up to 200 ms, until ctx ends. The result waits for the end
// and tells how many were lost.
func lose(ctx context.Context, link *bustest.Link) (lost func() int) {
	done := make(chan int)
	go func() { // ended by ctx; lost waits for it
		n := 0
		for ctx.Err() == nil { // ten beats come in each round
			link.Heal()
			var drop *bustest.Filter
			if drops := rand.N(3); drops > 0 {
				drop = link.Drop(bustest.FromBroker, "mbus.announce.*.*.*", drops)
			}
			link.Postpone(bustest.FromBroker, "mbus.announce.*.*.*", rand.N(200*time.Millisecond), 0)
			time.Sleep(200 * time.Millisecond)
			if drop != nil {
				n += drop.Count()
			}
		}
		link.Heal()
		done <- n
	}()
	return func() int { return <-done }
}

func TestLostAndLateAnnouncementsEvictNobody(t *testing.T) {
	run := func(t *testing.T, fault func(context.Context, *bustest.Link)) (evicted int) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			conn := b.Conn(t)
			for range 100 {
				announce(t, conn, discovery.AnnouncerConfig{Name: "steady"})
			}
			link := b.Link()
			view := watch(t, b.Conn(t, link.Use))
			seen := watch(t, b.Conn(t))
			ctx, cancel := context.WithTimeout(t.Context(), lossTime())
			defer cancel()
			fault(ctx, link)
			evicted = deletes(view)
			if n := deletes(seen); n > 0 {
				t.Errorf("a view without faults has removed %d instances", n)
			}
		})
		return evicted
	}
	t.Run("ATenthIsLost", func(t *testing.T) {
		gone := run(t, func(ctx context.Context, link *bustest.Link) {
			if n := lose(ctx, link)(); n < int(lossTime().Seconds()*4) {
				t.Errorf("only %d announcements were lost, want a tenth of fifty a second", n)
			}
		})
		if gone > 0 {
			t.Errorf("%d instances were removed though all live", gone)
		}
	})
	t.Run("Control", func(t *testing.T) {
		gone := run(t, func(_ context.Context, link *bustest.Link) {
			link.Drop(bustest.FromBroker, "_INBOX.>", 0) // nobody answers questions either
			link.Drop(bustest.FromBroker, "mbus.announce.>", 0)
			time.Sleep(time.Minute)
		})
		if gone != 100 {
			t.Errorf("with everything lost %d of 100 were removed, want all: the test above could not fail", gone)
		}
	})
}

func TestABrokerRestartLeavesACompleteView(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const instances = 50
		var conns []*bus.Conn
		for range instances {
			conn := b.Conn(t)
			conns = append(conns, conn)
			announce(t, conn, discovery.AnnouncerConfig{Name: "steady"})
		}
		watcher := b.Conn(t)
		view := watch(t, watcher)
		fresh := b.Conn(t)
		for range 5 {
			b.Stop()
			time.Sleep(rand.N(3 * time.Second))
			if n := current(view, conns); n != 0 { // the control: nothing is known of the connections to come
				t.Errorf("%d instances are at a connection that does not exist", n)
			}
			b.Start()
			began := time.Now()
			b.Await(t, append(conns, watcher, fresh)...)
			// A view that knew them must know them on their new connections, and one
			// that did not must find them.
			bustest.Eventually(t, 2*time.Second, "every instance on its new connection", func() bool {
				return current(view, conns) == instances
			})
			t.Logf("complete %v after the broker's start", time.Since(began))
			late := watch(t, fresh)
			if n := len(late.Instances("steady")); n != instances {
				t.Errorf("a new view has %d instances, want %d", n, instances)
			}
			late.Close()
			time.Sleep(20 * time.Second)
		}
		if n := deletes(view); n > 0 {
			t.Errorf("%d instances were removed though all live", n)
		}
	})
}

// current counts the instances that a view knows at the present connections.
func current(view *discovery.View, conns []*bus.Conn) int {
	n := 0
	for _, conn := range conns {
		n += len(view.AtClient(conn.Identity()))
	}
	return n
}

func TestInstancesShowsTheConnectionOfTheDay(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		conn := b.Conn(t, link.Use)
		announce(t, conn, discovery.AnnouncerConfig{Name: "a"})
		view := watch(t, b.Conn(t), discovery.WithService("a"))
		before := view.Instances("a")
		link.Cut()
		bustest.Eventually(t, 3*time.Second, "the new connection", func() bool {
			_, client := conn.Identity()
			now := view.Instances("a")
			return client != before[0].Client && len(now) == 1 && now[0].Client == client
		})
	})
}

func TestWhoDiesWithTheBrokerIsRemoved(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		announce(t, b.Conn(t, link.Use), discovery.AnnouncerConfig{Name: "victim"})
		keeper, watcher := b.Conn(t), b.Conn(t)
		announce(t, keeper, discovery.AnnouncerConfig{Name: "victim"})
		view := watch(t, watcher)
		b.Stop()
		link.Down()
		time.Sleep(5 * time.Second)
		if n := len(view.Instances("victim")); n != 2 {
			t.Errorf("without a broker the view has %d instances, want what it last knew", n)
		}
		b.Start()
		b.Await(t, keeper, watcher)
		bustest.Eventually(t, 10*time.Second, "the dead one removed", func() bool { return len(view.All("victim")) == 1 })
	})
}

func TestHostileAnnouncementsLeaveMemoryBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const maxBytes, maxInstances = 4 << 20, 500
		honest := announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "honest"})
		view := watch(t, b.Conn(t), discovery.WithMaxBytes(maxBytes), discovery.WithMaxInstances(maxInstances))
		enemy := b.Conn(t)
		ctx := bustest.Context(t)
		send := func(subject string, data []byte) {
			t.Helper()
			if err := enemy.Publish(ctx, subject, "", nil, data); err != nil {
				t.Fatal(err)
			}
		}
		up := func(n int, endpoints string) {
			id := fmt.Sprintf("e%d", n)
			send(wire.AnnounceSubject("evil", id, "up"), fmt.Appendf(nil, `{"v":1,"name":"evil","id":%q,"interval":999999999,"endpoints":[%s]}`, id, endpoints))
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		fat := strings.TrimSuffix(strings.Repeat(`{"name":"A"},`, 1000), ",")
		for n := range 500 {
			up(n, fat)
			if n%200 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if err := enemy.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := view.Stats()
		if s.Bytes > maxBytes || s.Refused == 0 {
			t.Errorf("fat announcements: %+v, want at most %d bytes and some refused", s, maxBytes)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8*maxBytes {
			t.Errorf("the heap has grown by %d bytes, with a bound of %d", grown, maxBytes)
		}
		time.Sleep(20 * time.Second)
		for n := range 2500 {
			up(10_000+n, "")
			send(wire.AnnounceSubject("ghost", fmt.Sprint(n), "beat"), []byte(`{"r":1,"i":2000}`))
			send(wire.AnnounceSubject("evil", fmt.Sprint(n), "up"), []byte("\xdf\xff\xff\xff\xff"))
			send("mbus.announce.no!such.x.up", []byte("{}"))
			if n%200 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if err := enemy.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s = view.Stats()
		if s.Instances > maxInstances || s.Asking > 4096 || s.Bad < 5000 {
			t.Errorf("%+v, want at most %d instances and 4096 questions, and 5,000 bad announcements counted", s, maxInstances)
		}
		if _, ok := view.Get("honest", honest.ID()); !ok {
			t.Error("the honest instance has been pushed out")
		}
	})
}

func TestWhatWasNeverThereIsRemoved(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		view := watch(t, b.Conn(t))
		enemy := b.Conn(t)
		if err := enemy.Publish(t.Context(), "mbus.announce.ghost.x.up", "", nil, []byte(`{"v":1,"name":"ghost","id":"x","interval":2000}`)); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, time.Second, "the ghost", func() bool { return len(view.All("ghost")) == 1 })
		bustest.Eventually(t, 10*time.Second, "no ghost", func() bool { return len(view.All("ghost")) == 0 })
	})
}

func TestAMissedChangeIsAskedFor(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		view := watch(t, b.Conn(t, link.Use), discovery.WithService("greeter"))
		lost := link.Drop(bustest.FromBroker, "mbus.announce.*.*.up", 1)
		a := announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "greeter"})
		bustest.Eventually(t, 3*time.Second, "the instance whose up is lost", func() bool { return len(view.Instances("greeter")) == 1 })
		lostToo := link.Drop(bustest.FromBroker, "mbus.announce.*.*.change", 1)
		if err := a.Update(t.Context(), []discovery.Endpoint{{Name: "New"}}); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, 3*time.Second, "the endpoint whose change is lost", func() bool {
			i, ok := view.Get("greeter", a.ID())
			return ok && len(i.Endpoints) == 1
		})
		if lost.Count() != 1 || lostToo.Count() != 1 {
			t.Errorf("%d and %d announcements lost, want one each", lost.Count(), lostToo.Count())
		}
	})
}
