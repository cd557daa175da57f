package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/micro"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
)

func rights(publish, subscribe []string) *server.Permissions {
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe},
	}
}

// watch opens a view that the test closes, once it is ready.
func watch(t *testing.T, conn *bus.Conn, opts ...discovery.WatchOption) *discovery.View {
	t.Helper()
	v, err := discovery.Watch(t.Context(), conn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	select {
	case <-v.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the view is not ready after ten seconds")
	}
	return v
}

// deletes counts what a view has removed so far.
func deletes(v *discovery.View) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	n := 0
	for c := range v.ChangesAfter(ctx, 0) {
		if c.Action == discovery.Delete {
			n++
		}
		if c.Action == discovery.Resync {
			panic("the test has lost changes")
		}
	}
	return n
}

func TestAViewSeesWhoIsThereAndWhoComes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		cfg := discovery.AnnouncerConfig{
			Name: "go.micro.srv.greeter", Version: "1.0.0", Metadata: map[string]string{"zone": "eu"},
			Endpoints: []discovery.Endpoint{{Name: "Say.Hello", Request: "h1"}}, Load: func() (int, int) { return 55, 3 },
		}
		first := announce(t, b.Conn(t), cfg)
		other := b.Conn(t)
		for name, view := range map[string]*discovery.View{
			"all": watch(t, other), "one service": watch(t, other, discovery.WithService("go.micro.srv.greeter")),
		} {
			if got := view.Instances("go.micro.srv.greeter"); len(got) != 1 || got[0].ID != first.ID() {
				t.Errorf("%s: %+v when ready, want the first instance", name, got)
			}
			began := time.Now()
			second := announce(t, b.Conn(t), cfg)
			bustest.Eventually(t, 200*time.Millisecond, "the second instance", func() bool { return len(view.Instances(cfg.Name)) == 2 })
			t.Logf("%s: there after %v", name, time.Since(began))
			bustest.Eventually(t, 3*time.Second, "load", func() bool {
				got, ok := view.Get(cfg.Name, second.ID())
				return ok && got.Load == 55 && got.InFlight == 3
			})
			time.Sleep(60 * time.Millisecond)
			for _, i := range view.Instances(cfg.Name) {
				if i.ID == second.ID() && i.Load != 55 {
					t.Errorf("%s: Instances shows load %d, want 55", name, i.Load)
				}
			}
			got, _ := view.Get(cfg.Name, second.ID())
			if got.Version != "1.0.0" || got.Metadata["zone"] != "eu" || got.V != 1 || got.Foreign || got.Client == 0 ||
				got.NodeID() != cfg.Name+"-"+second.ID() || len(got.Codecs) != 2 || time.Since(got.LastSeen) > 3*time.Second {
				t.Errorf("%s: %+v", name, got)
			}
			stop(t, second)
			bustest.Eventually(t, 100*time.Millisecond, "gone after down", func() bool { return len(view.All(cfg.Name)) == 1 })
			if names := view.Services(); !slices.Equal(names, []string{cfg.Name}) {
				t.Errorf("%s: services %v", name, names)
			}
		}
	})
}

func TestAViewOfAServiceHearsNoOther(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		announce(t, conn, discovery.AnnouncerConfig{Name: "a"})
		announce(t, conn, discovery.AnnouncerConfig{Name: "b"})
		view := watch(t, b.Conn(t), discovery.WithService("a", "c.d"))
		announce(t, conn, discovery.AnnouncerConfig{Name: "b"})
		announce(t, conn, discovery.AnnouncerConfig{Name: "c.d"})
		time.Sleep(30 * time.Second)
		if names := view.Services(); !slices.Equal(names, []string{"a", "c.d"}) {
			t.Errorf("services %v, want a and c.d", names)
		}
	})
}

func TestForeignServicesAppearAndVanish(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		announce(t, conn, discovery.AnnouncerConfig{Name: "math.svc"}) // its ADR-32 name is math_svc too
		all := watch(t, b.Conn(t))
		one := watch(t, b.Conn(t), discovery.WithService("math_svc"))
		foreign := b.Conn(t)
		svc, err := micro.AddService(foreign.NATS(), micro.Config{Name: "math_svc", Version: "1.2.3", Metadata: map[string]string{"team": "x"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := svc.AddEndpoint("add", micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(nil) }), micro.WithEndpointSubject("math.add")); err != nil {
			t.Fatal(err)
		}
		if err := foreign.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		early := watch(t, b.Conn(t)) // it is there when this one starts
		if len(early.Instances("math_svc")) != 1 {
			t.Error("a view that is ready does not have the foreign service that was there before")
		}
		for name, view := range map[string]*discovery.View{"all": all, "one service": one} {
			bustest.Eventually(t, 12*time.Second, name+": the foreign service", func() bool { return len(view.Instances("math_svc")) == 1 })
			got := view.Instances("math_svc")[0]
			subject, ok := got.CallSubject("add")
			if !got.Foreign || got.V != 0 || got.Version != "1.2.3" || got.Metadata["team"] != "x" || !ok || subject != "math.add" {
				t.Errorf("%s: %+v, subject %q", name, got, subject)
			}
		}
		if n := len(all.Instances("math.svc")); n != 1 {
			t.Errorf("%d instances of the mbus service beside it, want 1", n)
		}
		if names := one.Services(); !slices.Equal(names, []string{"math_svc"}) {
			t.Errorf("services %v, want the foreign one alone", names)
		}
		time.Sleep(time.Minute) // it does not announce itself and yet stays
		for name, view := range map[string]*discovery.View{"all": all, "one service": one} {
			if n := deletes(view); n > 0 || len(view.Instances("math_svc")) != 1 {
				t.Errorf("%s: the foreign service did not stay: %d removed", name, n)
			}
		}
		began := time.Now()
		foreign.NATS().Close()
		for name, view := range map[string]*discovery.View{"all": all, "one service": one} {
			bustest.Eventually(t, 10*time.Second, name+": it is gone", func() bool { return len(view.All("math_svc")) == 0 })
			t.Logf("%s: gone after %v", name, time.Since(began))
		}
	})
}

func TestAThousandInstancesOnOneConnectionConverge(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const instances = 1000
		conn, other := b.Conn(t), b.Conn(t)
		before := watch(t, other)
		announce(t, conn, discovery.AnnouncerConfig{Name: "other"}) // what is shared
		goroutines, subs := runtime.NumGoroutine(), conn.NATS().NumSubscriptions()
		for n := range instances {
			announce(t, conn, discovery.AnnouncerConfig{Name: fmt.Sprintf("svc.n%d", n%10), Endpoints: []discovery.Endpoint{{Name: "Say.Hello", Request: "h"}}})
		}
		if grown := runtime.NumGoroutine() - goroutines; grown > instances+10 {
			t.Errorf("%d instances cost %d goroutines, want one each", instances, grown)
		}
		if grown := conn.NATS().NumSubscriptions() - subs; grown != 4*instances+10*4 {
			t.Errorf("%d instances of ten services cost %d subscriptions, want four each and four for each service", instances, grown)
		}
		count := func(v *discovery.View) int { return v.Stats().Instances - len(v.All("other")) }
		bustest.Eventually(t, 2*time.Second, "all in the view that was there", func() bool { return count(before) == instances })
		began := time.Now()
		late := watch(t, other)
		if n := count(late); n != instances {
			t.Errorf("a new view is ready with %d instances, want %d", n, instances)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the new view took %v", took)
		}
		found, err := discovery.Query(bustest.Context(t), other, "")
		if err != nil || len(found) != instances+1 {
			t.Errorf("Query found %d, %v, want %d", len(found), err, instances+1)
		}
		b.Restart()
		b.Await(t, conn, other)
		began = time.Now()
		bustest.Eventually(t, 2*time.Second, "all again after a restart of the broker", func() bool {
			return len(late.AtClient(conn.Identity())) == instances+1
		})
		t.Logf("complete %v after the reconnect", time.Since(began))
		time.Sleep(15 * time.Second)
		if n := deletes(late); n > 0 {
			t.Errorf("%d were removed though all live", n)
		}
		if d := other.Dropped() + conn.Dropped(); d > 0 {
			t.Errorf("%d messages dropped", d)
		}
	})
}

func TestLastSeenLastsTenMinutes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		view := watch(t, b.Conn(t))
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		time.Sleep(5 * time.Second)
		if at, ok := view.LastSeen("greeter"); !ok || time.Since(at) > 3*time.Second {
			t.Errorf("LastSeen = %v, %v while it is there", at, ok)
		}
		stop(t, a)
		time.Sleep(9 * time.Minute)
		if _, ok := view.LastSeen("greeter"); !ok {
			t.Error("forgotten after nine minutes")
		}
		time.Sleep(2 * time.Minute)
		if at, ok := view.LastSeen("greeter"); ok {
			t.Errorf("still known after eleven minutes: %v", at)
		}
		if _, ok := view.LastSeen("never"); ok {
			t.Error("a service that never was has been seen")
		}
	})
}

func TestRegistrarsCanTakeOutInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, registrar := b.Conn(t), b.Conn(t)
		a := announce(t, conn, discovery.AnnouncerConfig{Name: "greeter"})
		view, far := watch(t, registrar), watch(t, b.Conn(t))
		i, _ := view.Get("greeter", a.ID())
		if view.Remove("greeter", a.ID(), i.Server, i.Client+1, "Read Error") {
			t.Error("removed for a connection that is not its own")
		}
		other := i
		other.Client++
		if err := discovery.AnnounceDown(t.Context(), registrar, other, "Read Error"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if len(far.Instances("greeter")) != 1 {
			t.Error("a down for another connection has removed it")
		}
		if !view.Remove("greeter", a.ID(), i.Server, i.Client, "Read Error") {
			t.Error("not removed")
		}
		if err := discovery.AnnounceDown(t.Context(), registrar, i, "Read Error"); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, 100*time.Millisecond, "removed elsewhere", func() bool { return len(far.All("greeter")) == 0 })
		// It lives, so its next beat brings it back.
		bustest.Eventually(t, 4*time.Second, "back", func() bool { return len(far.Instances("greeter")) == 1 && len(view.Instances("greeter")) == 1 })
	})
}

func TestAViewWithoutRightsSaysSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "deaf", "secret" })
		if _, err := discovery.Watch(t.Context(), conn); !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("Watch = %v, want permission_denied", err)
		}
	}, bustest.WithUser("deaf", "secret", rights([]string{">"}, []string{"_INBOX.>"})))
}

func TestWatchRefusesBadNames(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for _, names := range [][]string{{"a b"}, {""}, {"*"}, make([]string, 2000)} {
			if _, err := discovery.Watch(t.Context(), conn, discovery.WithService(names...)); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("Watch of %.20q = %v, want invalid_argument", names, err)
			}
		}
	})
}
