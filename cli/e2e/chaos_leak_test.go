//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/rpc"
)

// A holding is what a worker, and the broker for it, hold.
type holding struct {
	Goroutines, Files int // of the worker
	Subscriptions     int // of the broker, all but those to callers
}

// After many calls and streams, those that were given up or panicked too, a
// worker and the broker hold what they held before.
func TestChaosLeaks(t *testing.T) {
	t.Parallel()
	onlyOnLinux(t)
	node, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	l := openLab(t, &broker{url: node.URL()})
	w := l.worker("a")
	client := rpc.NewClient(l.b.connect(t), rpc.ClientConfig{})
	callers := 0
	holds := func() holding {
		h, err := rpc.Call[holding](t.Context(), client, "worker", "Work.State", nil)
		if err != nil {
			t.Fatal(err)
		}
		h.Subscriptions, callers = subscriptions(t, node.System())
		return *h
	}
	work := func() {
		loads := []*generator{
			l.load("calls", callTimeout, "-clients", "20", "-plan", "1000:2s"),
			l.load("given-up", 20*time.Millisecond, "-clients", "20", "-request", `"millis":200`, "-plan", "300:2s"),
			l.load("poison", callTimeout, "-request", `"panic":true`, "-plan", "50:2s"),
		}
		talks := l.load("talks", 10*time.Second, "-streams", "100")
		l.drink(500, 100)
		for _, g := range loads {
			g.complete()
		}
		talks.end()
	}
	work() // what is made once, and kept, is there after this
	before := holds()
	eventually(t, 5*time.Second, "nothing at work", func() error {
		if now := holds(); now != before {
			before = now
			return fmt.Errorf("still changing: %+v", now)
		}
		return nil
	})
	work()
	var after holding
	took := eventually(t, startup, "what was held before", func() error {
		if after = holds(); after.Goroutines > before.Goroutines+5 || after.Files > before.Files || after.Subscriptions != before.Subscriptions {
			return fmt.Errorf("%+v, before %+v", after, before)
		}
		return nil
	})
	report(t, "after calls and streams, all that they held is free within 5 s", took <= 5*time.Second, "2,700 calls, 800 streams, 42 connections",
		"%+v, before %+v; after %v", after, before, took.Round(time.Millisecond))
	figure(t, "subscriptions to callers that are gone, kept for half a minute and no more than 1,024", "2,700 calls, 800 streams, 42 connections", "%d", callers)

	// The control: streams that are open are seen, beside the goroutines that a
	// server keeps for its next calls.
	idle := l.b.start(t, of(load, "-streams", "200", "-idle"))
	idle.await(t, startup, `"ready":true`)
	if now := holds(); now.Goroutines < after.Goroutines+50 || now.Subscriptions <= after.Subscriptions {
		t.Errorf("with 200 open streams %+v, without them %+v: the measurement sees nothing", now, after)
	}
	stopAll(t, idle, w)
}

// subscriptions asks the broker how many it has. A server goes on listening for
// half a minute to callers that may cancel, which are counted apart.
func subscriptions(t *testing.T, system *bus.Conn) (lasting, cancels int) {
	t.Helper()
	m, err := system.NATS().Request("$SYS.REQ.SERVER.PING.SUBSZ", []byte(`{"subscriptions":true,"limit":100000}`), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	all := decode[struct {
		Data struct {
			List []struct{ Subject string } `json:"subscriptions_list"`
		}
	}](t, string(m.Data)).Data.List
	for _, s := range all {
		if strings.HasPrefix(s.Subject, "mbus.cancel.") {
			cancels++
		}
	}
	return len(all) - cancels, cancels
}
