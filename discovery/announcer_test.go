package discovery_test

import (
	"context"
	"errors"
	"fmt"
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

// announce starts an announcer that the test stops.
func announce(t *testing.T, conn *bus.Conn, cfg discovery.AnnouncerConfig) *discovery.Announcer {
	t.Helper()
	a, err := discovery.NewAnnouncer(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, a) })
	return a
}

func stop(t *testing.T, a *discovery.Announcer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// A recorder keeps what it hears on a subject.
type recorder struct {
	mu   sync.Mutex
	msgs []recorded
}

type recorded struct {
	at   time.Time
	last string // token of the subject
	data string
}

func record(t *testing.T, conn *bus.Conn, subject string) *recorder {
	t.Helper()
	r := &recorder{}
	l, err := conn.Listen(bus.Control, subject, "", func(m *nats.Msg) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.msgs = append(r.msgs, recorded{time.Now(), m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], string(m.Data)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Confirm(bustest.Context(t), l); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recorder) all(last string) []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []recorded
	for _, m := range r.msgs {
		if last == "" || m.last == last {
			out = append(out, m)
		}
	}
	return out
}

func TestAnnouncerPassesTheLifecycle(t *testing.T) {
	bustest.Lifecycle(t, func(_ *bustest.Bus, conn *bus.Conn) bus.Runner {
		a, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{Name: "greeter", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}, bustest.WithProbe(func(ctx context.Context, conn *bus.Conn) error {
		_, err := conn.Request(ctx, wire.SrvSubject(wire.VerbPing, "greeter", ""), nil, nil)
		return err
	}), bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) {
		_, _ = conn.Request(ctx, wire.ProbeSubject("greeter"), nil, nil)
	}))
}

func TestAnAnnouncerSaysUpBeatsAndDown(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		r := record(t, b.Conn(t), wire.AnnouncePattern("go.micro.srv.greeter"))
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "go.micro.srv.greeter", Load: func() (int, int) { return 30, 4 }})
		began := time.Now()
		time.Sleep(60 * time.Second)
		stop(t, a)
		bustest.Eventually(t, time.Second, "a down", func() bool { return len(r.all("down")) == 1 })

		if ups := r.all("up"); len(ups) != 1 || r.all("")[0] != ups[0] {
			t.Errorf("%d ups, want one before everything else", len(ups))
		}
		beats := r.all("beat")
		if len(beats) < 26 || len(beats) > 34 {
			t.Errorf("%d beats in a minute, want about 30", len(beats))
		}
		if first := beats[0].at.Sub(began); first > 2*time.Second {
			t.Errorf("the first beat came after %v, want at most 2s", first)
		}
		for i := 1; i < len(beats); i++ {
			gap := beats[i].at.Sub(beats[i-1].at)
			if gap < 1800*time.Millisecond || gap > 2201*time.Millisecond {
				t.Errorf("beat %d came %v after the one before, want 2s ± 10%%", i, gap)
			}
			if len(beats[i].data) > 64 {
				t.Errorf("a beat of %d bytes", len(beats[i].data))
			}
		}
	})
}

func TestTheFirstBeatsOfManyAreSpread(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		r := record(t, b.Conn(t), wire.AnnouncePattern("greeter"))
		for range 200 {
			announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		}
		began := time.Now()
		time.Sleep(2 * time.Second)
		var quarters [4]int
		for _, m := range r.all("beat") {
			quarters[min(3, int(m.at.Sub(began)/(500*time.Millisecond)))]++
		}
		for i, n := range quarters {
			if n < 25 || n > 75 {
				t.Errorf("%d of 200 first beats in quarter %d of the interval, want about 50: %v", n, i+1, quarters)
			}
		}
	})
}

func TestBeatsFollowThePace(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, registrar := b.Conn(t), b.Conn(t)
		ctx := bustest.Context(t)
		r := record(t, b.Conn(t), wire.AnnouncePattern("greeter"))
		announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		view := watch(t, b.Conn(t))
		say := func(p discovery.Pace, d time.Duration) int {
			t.Helper()
			before := len(r.all("beat"))
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
				if err := discovery.PublishPace(context.WithoutCancel(ctx), registrar, p); err != nil {
					t.Fatal(err)
				}
			}
			return len(r.all("beat")) - before
		}
		if n := say(discovery.PaceFor(10_000), 200*time.Second); n < 9 || n > 14 {
			t.Errorf("%d beats in 200 s at a pace of 20 s, want about 11", n)
		}
		if n := say(discovery.PaceFor(10), 60*time.Second); n < 26 || n > 34 {
			t.Errorf("%d beats in 60 s at a pace of 2 s, want about 30", n)
		}
		say(discovery.PaceFor(10_000), 60*time.Second)
		time.Sleep(40 * time.Second) // the registrar is gone for longer than its word holds
		before := len(r.all("beat"))
		time.Sleep(60 * time.Second)
		if n := len(r.all("beat")) - before; n < 26 || n > 34 {
			t.Errorf("%d beats in 60 s without a registrar, want about 30", n)
		}
		if n := deletes(view); n > 0 {
			t.Errorf("the changes of pace have cost %d instances their life", n)
		}
	})
}

func TestPaceGrowsWithTheBus(t *testing.T) {
	for instances, want := range map[int]time.Duration{
		-1: 2 * time.Second, 0: 2 * time.Second, 1000: 2 * time.Second, 5000: 10 * time.Second, 10_000: 20 * time.Second, 1 << 40: 5 * time.Minute,
	} {
		if got := discovery.PaceFor(instances).Beat; got != want {
			t.Errorf("PaceFor(%d) = %v, want %v", instances, got, want)
		}
	}
}

func TestUpdateAndDrainReachWatchersAndAskers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, other := b.Conn(t), b.Conn(t)
		ctx := bustest.Context(t)
		view := watch(t, other)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}}})
		endpoints := []discovery.Endpoint{{Name: "Say.Hello"}, {Name: "Say.Bye", Kind: discovery.KindBidi}}
		if err := a.Update(ctx, endpoints); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, time.Second, "the new endpoint in the view", func() bool {
			i := view.Instances("greeter")
			return len(i) == 1 && cmp.Equal(i[0].Endpoints, endpoints)
		})
		found, err := discovery.Query(ctx, other, "greeter")
		if err != nil || len(found) != 1 || !cmp.Equal(found[0].Endpoints, endpoints) {
			t.Errorf("Query = %+v, %v, want the new endpoints", found, err)
		}

		if err := a.Drain(ctx, "deploy"); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, time.Second, "draining in the view", func() bool {
			all := view.All("greeter")
			return len(view.Instances("greeter")) == 0 && len(all) == 1 && all[0].State == discovery.StateDraining
		})
		time.Sleep(30 * time.Second)
		if all := view.All("greeter"); len(all) != 1 || all[0].State != discovery.StateDraining {
			t.Errorf("half a minute into the drain the view has %+v", all)
		}
		found, err = discovery.Query(ctx, other, "greeter")
		if err != nil || len(found) != 1 || found[0].State != discovery.StateDraining {
			t.Errorf("Query = %+v, %v, want a draining instance", found, err)
		}
		stop(t, a)
		bustest.Eventually(t, 100*time.Millisecond, "gone from the view", func() bool { return len(view.All("greeter")) == 0 })
	})
}

func TestResumeTakesADrainBackForWatchersAndAskers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, other := b.Conn(t), b.Conn(t)
		ctx := bustest.Context(t)
		view := watch(t, other)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}}})
		bustest.Eventually(t, time.Second, "up in the view", func() bool { return len(view.Instances("greeter")) == 1 })
		if err := a.Resume(ctx); err != nil { // from nothing
			t.Fatal(err)
		}
		before := view.Instances("greeter")[0].Rev
		for range 3 {
			if err := a.Drain(ctx, "deploy"); err != nil {
				t.Fatal(err)
			}
			bustest.Eventually(t, time.Second, "draining in the view", func() bool { return len(view.Instances("greeter")) == 0 })
			if found, err := discovery.Get(ctx, other, "greeter"); err != nil || found[0].Nodes[0].Metadata["mbus.state"] != "draining" {
				t.Errorf("Get = %+v, %v, want a node whose metadata say that it drains", found, err)
			}
			if err := a.Resume(ctx); err != nil {
				t.Fatal(err)
			}
			bustest.Eventually(t, time.Second, "back in the view", func() bool { return len(view.Instances("greeter")) == 1 })
			found, err := discovery.Query(ctx, other, "greeter")
			if err != nil || len(found) != 1 || found[0].State != discovery.StateUp || len(found[0].Endpoints) != 1 {
				t.Errorf("Query = %+v, %v, want an instance that is up", found, err)
			}
			if found, err := discovery.Get(ctx, other, "greeter"); err != nil || len(found[0].Nodes[0].Metadata) != 0 {
				t.Errorf("Get = %+v, %v, want a node without metadata", found, err)
			}
		}
		if got := view.Instances("greeter")[0].Rev; got != before+6 {
			t.Errorf("rev went from %d to %d with six changes", before, got)
		}
		// A drain that comes after the news that have undone it.
		if err := other.Publish(ctx, "mbus.announce.greeter."+a.ID()+".drain", "", nil, fmt.Appendf(nil, `{"rev":%d}`, before+5)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(view.Instances("greeter")) != 1 {
			t.Error("an old drain took the instance out of the view")
		}
	})
}

func TestAReconnectIsAnnouncedWithANewIdentity(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		conn := b.Conn(t, link.Use)
		r := record(t, b.Conn(t), wire.AnnouncePattern("greeter"))
		view := watch(t, b.Conn(t))
		for range 50 {
			announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		}
		bustest.Eventually(t, time.Second, "all there", func() bool { return len(view.Instances("greeter")) == 50 })
		server, client := conn.Identity()
		if got := view.AtClient(server, client); len(got) != 50 {
			t.Fatalf("%d instances at the connection, want 50", len(got))
		}

		link.Cut()
		bustest.Eventually(t, 5*time.Second, "connected again", func() bool { return conn.Epoch() == 2 && conn.Connected() })
		back := time.Now()
		time.Sleep(1100 * time.Millisecond)
		_, now := conn.Identity()
		if now == client {
			t.Fatal("the broker has given the same id again")
		}
		if old, fresh := view.AtClient(server, client), view.AtClient(server, now); len(old) != 0 || len(fresh) != 50 {
			t.Errorf("%d instances at the old connection and %d at the new one, want 0 and 50", len(old), len(fresh))
		}
		ups := r.all("up")[50:]
		if len(ups) != 50 {
			t.Fatalf("%d ups after the reconnect, want 50", len(ups))
		}
		if spread := ups[49].at.Sub(ups[0].at); spread < 500*time.Millisecond || ups[49].at.Sub(back) > 1100*time.Millisecond {
			t.Errorf("50 ups within %v, the last one after %v, want them spread over a second", spread, ups[49].at.Sub(back))
		}
	})
}

func TestAnnouncerAnswersOnlyReplySubjects(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, other := b.Conn(t), b.Conn(t)
		ctx := bustest.Context(t)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		r := record(t, other, "victim.>")
		subjects := []string{
			"$SRV.PING", "$SRV.INFO", "$SRV.STATS", "$SRV.PING.greeter", "$SRV.INFO.greeter", "$SRV.STATS.greeter",
			"$SRV.PING.greeter." + a.ID(), "$SRV.INFO.greeter." + a.ID(), "$SRV.STATS.greeter." + a.ID(),
			"mbus.probe", "mbus.probe.greeter", "mbus.probe.greeter." + a.ID(),
		}
		for _, subject := range subjects {
			for _, reply := range []string{"victim.a", ""} {
				if err := other.Publish(ctx, subject, reply, nil, []byte(`{}`)); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(2 * time.Second)
		if got := r.all(""); len(got) > 0 {
			t.Errorf("answers reached a subject that is no reply subject: %v", got)
		}
		for _, subject := range subjects { // the control: all of them are answered
			if _, err := other.Request(ctx, subject, nats.Header{"Accept-Encoding": {"snappy"}}, []byte("anything")); err != nil {
				t.Errorf("%s: %v", subject, err)
			}
		}
	})
}

func TestProbesOfAllAreAnsweredSpreadOut(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, other := b.Conn(t), b.Conn(t)
		ctx := bustest.Context(t)
		for range 100 {
			announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		}
		ask := func(body string) time.Duration {
			t.Helper()
			began, n := time.Now(), 0
			for _, err := range other.Gather(ctx, "mbus.probe", nil, []byte(body), bus.Gather{Quiet: 2 * time.Second}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 100 {
				t.Fatalf("%d answers, want 100", n)
			}
			return time.Since(began) - 2*time.Second
		}
		if took := ask(""); took > 10*time.Millisecond {
			t.Errorf("a small bus answered within %v, want at once", took)
		}
		if took := ask(`{"spread_ms":400}`); took < 300*time.Millisecond || took > 401*time.Millisecond {
			t.Errorf("asked for 400 ms, the answers took %v", took)
		}
		if err := discovery.PublishPace(ctx, other, discovery.PaceFor(5000)); err != nil {
			t.Fatal(err)
		}
		if took := ask(""); took < 400*time.Millisecond || took > 501*time.Millisecond {
			t.Errorf("5,000 instances should take half a second, took %v", took)
		}
	})
}

func TestBadAnnouncersAreRefused(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for name, c := range map[string]struct {
			cfg  discovery.AnnouncerConfig
			code bus.Code
		}{
			"no name":      {discovery.AnnouncerConfig{}, bus.InvalidArgument},
			"bad name":     {discovery.AnnouncerConfig{Name: "a b"}, bus.InvalidArgument},
			"bad id":       {discovery.AnnouncerConfig{Name: "a", ID: "\n"}, bus.InvalidArgument},
			"bad method":   {discovery.AnnouncerConfig{Name: "a", Endpoints: []discovery.Endpoint{{Name: ".."}}}, bus.InvalidArgument},
			"reserved key": {discovery.AnnouncerConfig{Name: "a", Metadata: map[string]string{"mbus.v": "2"}}, bus.InvalidArgument},
			"reserved key of an endpoint": {discovery.AnnouncerConfig{Name: "a", Endpoints: []discovery.Endpoint{
				{Name: "A", Metadata: map[string]string{"mbus.kind": "x"}},
			}}, bus.InvalidArgument},
			"too large": {discovery.AnnouncerConfig{Name: "a", Metadata: map[string]string{"k": strings.Repeat("x", 33<<10)}}, bus.TooLarge},
		} {
			_, err := discovery.NewAnnouncer(conn, c.cfg)
			if !errors.Is(err, c.code) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %v on one line", name, err, c.code)
			}
		}
	})
}

func TestAnAnnouncerWithoutRightsSaysSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for _, user := range []string{"deaf", "mute"} {
			conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = user, "secret" })
			a, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{Name: "greeter"})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Start(bustest.Context(t)); !errors.Is(err, bus.PermissionDenied) {
				t.Errorf("%s: Start = %v, want permission_denied", user, err)
			}
			stop(t, a)
		}
	}, bustest.WithUser("deaf", "secret", rights([]string{">"}, []string{"_INBOX.>"})),
		bustest.WithUser("mute", "secret", rights([]string{"_INBOX.>"}, []string{">"})))
}
