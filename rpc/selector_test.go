package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/rpc"
)

// A troop is some instances whose Say.Hello answers with their ids.
type troop struct {
	servers []*rpc.Server
	links   []*bustest.Link
}

func newTroop(t *testing.T, b *bustest.Bus, n int, change ...func(n int, cfg *rpc.ServerConfig)) *troop {
	t.Helper()
	c := &troop{}
	for i := range n {
		link := b.Link()
		s := newGreeter(b.Conn(t, link.Use), func(cfg *rpc.ServerConfig) {
			cfg.ID = fmt.Sprintf("i%d", i)
			for _, f := range change {
				f(i, cfg)
			}
		})
		rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "wrong" {
				return nil, bus.Errorf(bus.InvalidArgument, "wrong")
			}
			return &HelloResponse{Msg: s.ID()}, nil
		})
		rpc.HandleStream(s, "Say.Stream", func(_ context.Context, st *rpc.Stream[HelloRequest, HelloResponse]) error {
			return st.Send(&HelloResponse{Msg: s.ID()})
		})
		serve(t, s)
		c.servers, c.links = append(c.servers, s), append(c.links, link)
	}
	return c
}

// choosy makes a client with a selector as its options are written.
func choosy(t testing.TB, conn *bus.Conn, text string) *rpc.Client {
	t.Helper()
	cfg, err := selector.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(conn, rpc.ClientConfig{Selector: cfg})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return client
}

// who calls and returns the instance that answered.
func who(t testing.TB, client *rpc.Client, opts ...rpc.CallOption) string {
	t.Helper()
	res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{}, opts...)
	if err != nil {
		t.Error(err)
		return ""
	}
	return res.Msg
}

func deal(t testing.TB, client *rpc.Client, calls int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range calls {
		counts[who(t, client)]++
	}
	return counts
}

func TestRoundRobinIsARotationOverThreeInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newTroop(t, b, 3)
		client := choosy(t, b.Conn(t), "roundrobin")
		for id, n := range deal(t, client, 30) {
			if n != 10 {
				t.Errorf("%s has %d of 30 calls, want 10", id, n)
			}
		}
		var mu sync.Mutex
		var calls sync.WaitGroup
		counts := map[string]int{}
		for range 300 {
			calls.Go(func() {
				id := who(t, client)
				mu.Lock()
				defer mu.Unlock()
				counts[id]++
			})
		}
		calls.Wait()
		for id, n := range counts {
			if n != 100 {
				t.Errorf("%s has %d of 300 calls at once, want 100", id, n)
			}
		}
	})
}

func TestNoCallIsLostToAnInstanceThatIsCutOff(t *testing.T) {
	for _, strategy := range []string{"random", "roundrobin", "least-loaded", "blacklist"} {
		t.Run(strategy, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				c := newTroop(t, b, 3)
				client := choosy(t, b.Conn(t), strategy)
				deal(t, client, 6)
				time.Sleep(2 * time.Second) // it speaks frames now
				c.links[0].Down()
				time.Sleep(time.Millisecond)
				begin := time.Now()
				counts := deal(t, client, 60)
				if counts["i0"] > 0 || counts["i1"] == 0 || counts["i2"] == 0 {
					t.Errorf("the calls went to %v", counts)
				}
				if took := time.Since(begin); took > 100*time.Millisecond {
					t.Errorf("60 calls took %v: they waited for the one that is gone", took)
				}
				c.links[0].Heal()
				time.Sleep(5 * time.Second)
				if counts = deal(t, client, 100); counts["i0"] < 10 {
					t.Errorf("after it has come back the calls went to %v", counts)
				}
			})
		})
	}
}

func TestASilentInstanceIsLeftOutAndAsked(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 3)
		client := choosy(t, b.Conn(t), "roundrobin")
		deal(t, client, 3)
		// Its answers are lost, its beats are not.
		lost := c.links[0].Drop(bustest.ToBroker, "_INBOX.>", 1000)
		var timeouts []error
		for range 30 {
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{}, rpc.WithTimeout(50*time.Millisecond)); err != nil {
				timeouts = append(timeouts, err)
			}
		}
		if len(timeouts) != 3 {
			t.Errorf("%d of 30 calls timed out, want 3", len(timeouts))
		}
		for _, err := range timeouts {
			if e := wantError(t, err, bus.DeadlineExceeded, bus.Timeout); e.Instance != "i0" {
				t.Errorf("the error names the instance %q", e.Instance)
			}
		}
		lost.Stop()
		time.Sleep(time.Second)
		if counts := deal(t, client, 31); counts["i0"] < 10 {
			t.Errorf("after its time the calls went to %v", counts)
		}
	})
}

func TestAnIdempotentCallGoesElsewhereWhenItsInstanceIsSilent(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 3)
		client := choosy(t, b.Conn(t), "consistent-hash")
		key := ""
		for n := 0; who(t, client, rpc.WithKey(key)) != "i0"; n++ {
			key = fmt.Sprint("user-", n)
		}
		c.links[0].Drop(bustest.ToBroker, "_INBOX.>", 1000)
		slow := 0
		for range 30 {
			begin := time.Now()
			who(t, client, rpc.WithKey(key), rpc.WithIdempotent(), rpc.WithTimeout(2*time.Second))
			switch took := time.Since(begin); {
			case took > 600*time.Millisecond:
				t.Errorf("a call took %v: the second try went where the first was", took)
			case took > 100*time.Millisecond:
				slow++
			}
		}
		// Three find out, and there is no time for a probe.
		if slow != 3 {
			t.Errorf("%d of 30 calls went to the silent instance first, want 3", slow)
		}
	})
}

func TestACallGoesOnToTheNextInstanceWithoutARetry(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 4, func(n int, cfg *rpc.ServerConfig) {
			if n == 3 {
				cfg.Version = "2.0.0"
			}
		})
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0), Selector: selector.Config{Strategy: selector.RoundRobin, Version: "1.0.0"}})
		t.Cleanup(func() { _ = client.Close(bustest.Context(t)) })
		deal(t, client, 3)
		c.links[0].Down()
		c.links[1].Down()
		time.Sleep(time.Millisecond)
		if counts := deal(t, client, 6); counts["i2"] != 6 {
			t.Errorf("the calls went to %v, i2 alone was left of the version", counts)
		}
		c.links[2].Down()
		time.Sleep(time.Millisecond)
		_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{})
		wantError(t, err, bus.Unavailable, bus.Nobody)
	})
}

func TestAnInstanceThatIsNotKnownYetIsFoundByTheBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 1)
		link := b.Link()
		client := choosy(t, b.Conn(t, link.Use), "random")
		who(t, client)
		link.Drop(bustest.FromBroker, "mbus.announce.>", 1000)
		other := newGreeter(b.Conn(t), func(cfg *rpc.ServerConfig) { cfg.ID = "new" })
		rpc.Handle(other, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return &HelloResponse{Msg: "new"}, nil
		})
		serve(t, other)
		c.links[0].Down()
		time.Sleep(time.Millisecond)
		if id := who(t, client); id != "new" {
			t.Errorf("the call went to %q", id)
		}
	})
}

func TestAnInstanceThatDrainsGetsNoNewCalls(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 3)
		slow := newGreeter(b.Conn(t), func(cfg *rpc.ServerConfig) { cfg.ID = "leaving" })
		rpc.Handle(slow, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "long" {
				time.Sleep(3 * time.Second)
			}
			return &HelloResponse{Msg: "leaving"}, nil
		})
		serve(t, slow)
		client := choosy(t, b.Conn(t), "roundrobin")
		if counts := deal(t, client, 8); counts["leaving"] != 2 {
			t.Fatalf("the calls went to %v", counts)
		}
		var work sync.WaitGroup
		work.Go(func() {
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: "long"}, rpc.WithNode("leaving"))
			if err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		work.Go(func() { stop(t, slow) })
		time.Sleep(10 * time.Millisecond)
		for id, n := range deal(t, client, 9*len(c.servers)) {
			if n != 9 {
				t.Errorf("%s has %d of 27 calls, want 9", id, n)
			}
		}
		work.Wait()
	})
}

func TestFiltersDecideWhoMayBeCalled(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 4, func(n int, cfg *rpc.ServerConfig) {
			if n >= 2 {
				cfg.Version = "2.0.0"
			}
			cfg.Metadata = map[string]string{"zone": []string{"a", "b"}[n%2]}
		})
		conn := b.Conn(t)
		for text, want := range map[string]string{"version=2.0.0": "i2 i3", "roundrobin,zone=b": "i1 i3", "random,version=1.0.0,zone=a": "i0"} {
			for id := range deal(t, choosy(t, conn, text), 20) {
				if !strings.Contains(want, id) {
					t.Errorf("with %s a call went to %s, want %s", text, id, want)
				}
			}
		}
		client := choosy(t, conn, "version=3.0.0")
		_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{})
		e := wantError(t, err, bus.NotFound, bus.Nobody)
		if want := "no instance passes the selector: version=3.0.0 leaves out 4 of 4 instances (there are 1.0.0, 2.0.0)"; e.Message != want {
			t.Errorf("got %q, want %q", e.Message, want)
		}
		for what, target := range map[string][2]string{"did you mean Say.Hello": {greeter, "Say.Helo"}, "no service": {"go.micro.srv.nobody", "Say.Hello"}} {
			_, err := client.Do(bustest.Context(t), &rpc.Request{Service: target[0], Method: target[1], Body: []byte("{}")})
			if e := wantError(t, err, bus.NotFound, bus.Nobody); !strings.Contains(e.Message, what) {
				t.Errorf("got %q, want %q in it", e.Message, what)
			}
		}
		// The caller's word is above the filter.
		if id := who(t, client, rpc.WithNode("i1")); id != "i1" {
			t.Errorf("the call went to %s", id)
		}
		// Who passed a moment ago may come back.
		gone := choosy(t, conn, "version=2.0.0")
		who(t, gone)
		stop(t, c.servers[2])
		stop(t, c.servers[3])
		_, err = rpc.Call[HelloResponse](bustest.Context(t), gone, greeter, "Say.Hello", &HelloRequest{})
		e = wantError(t, err, bus.Unavailable, bus.Nobody)
		if after, ok := e.Retry.After(); !ok || after != time.Second {
			t.Errorf("the advice is %v", e.Retry)
		}
	})
}

func TestACallWithAKeySticks(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 3)
		one, other := choosy(t, b.Conn(t), "consistent-hash"), choosy(t, b.Conn(t), "consistent-hash")
		before := map[string]string{}
		seen := map[string]bool{}
		for n := range 30 {
			key := fmt.Sprint("user-", n)
			before[key] = who(t, one, rpc.WithKey(key))
			seen[before[key]] = true
			if again := who(t, other, rpc.WithKey(key)); again != before[key] {
				t.Errorf("%s is at %s for one client and at %s for another", key, before[key], again)
			}
		}
		if len(seen) != 3 {
			t.Errorf("30 keys are all at %v", seen)
		}
		stop(t, c.servers[1])
		time.Sleep(100 * time.Millisecond)
		for key, id := range before {
			if now := who(t, one, rpc.WithKey(key)); id != "i1" && now != id {
				t.Errorf("%s moved from %s to %s", key, id, now)
			}
		}
	})
}

func TestStreamsAreOpenedWhereTheSelectorSays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newTroop(t, b, 3)
		client := choosy(t, b.Conn(t), "roundrobin")
		open := func() string {
			for m, err := range rpc.CallStream[HelloResponse](bustest.Context(t), client, greeter, "Say.Stream", &HelloRequest{}) {
				if err != nil {
					t.Error(err)
					return ""
				}
				return m.Msg
			}
			return ""
		}
		counts := map[string]int{}
		for range 9 {
			counts[open()]++
		}
		if counts["i0"] != 3 || counts["i1"] != 3 {
			t.Errorf("9 streams are at %v, want 3 each", counts)
		}
		c.links[2].Down()
		time.Sleep(time.Millisecond)
		for range 6 {
			if id := open(); id != "i0" && id != "i1" {
				t.Errorf("a stream is at %q", id)
			}
		}
	})
}

func TestTheFirstCallWaitsATenthOfASecondForTheSnapshot(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveHello(t, b)
		link := b.Link()
		client := choosy(t, b.Conn(t, link.Use), "random")
		link.Drop(bustest.ToBroker, "mbus.probe.>", 1000)
		link.Drop(bustest.ToBroker, "$SRV.>", 1000)
		begin := time.Now()
		if err := sayHello(bustest.Context(t), client); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < 100*time.Millisecond || took > 110*time.Millisecond {
			t.Errorf("the first call took %v, want the 100 ms of the wait", took)
		}
		begin = time.Now()
		if err := sayHello(bustest.Context(t), client); err != nil || time.Since(begin) > 10*time.Millisecond {
			t.Errorf("the second call waited %v as well (%v)", time.Since(begin), err)
		}
	})
}

func TestACallWaitsForTheListForAsLongAsItIsTold(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newTroop(t, b, 3)
		want := who(t, choosy(t, b.Conn(t), "consistent-hash"), rpc.WithKey("john"))
		for range 5 { // the bus would choose another one now and then
			link := b.Link()
			client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{
				Selector: selector.Config{Strategy: selector.ConsistentHash, Wait: 2 * time.Second},
			})
			link.Stall(bustest.ToBroker) // the View cannot be opened
			time.AfterFunc(900*time.Millisecond, link.Heal)
			begin := time.Now()
			got := who(t, client, rpc.WithKey("john"))
			if took := time.Since(begin); got != want || took < 900*time.Millisecond || took > 1200*time.Millisecond {
				t.Errorf("%s answered after %v, want %s once the list is there", got, took, want)
			}
			if err := client.Close(bustest.Context(t)); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWhoPassesAFilterIsNotGuessed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newTroop(t, b, 2)
		link := b.Link()
		client := choosy(t, b.Conn(t, link.Use), "version=1.0.0")
		link.Stall(bustest.ToBroker) // the View cannot be opened
		begin := time.Now()
		_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{})
		e := wantError(t, err, bus.Unavailable, bus.Nobody)
		if took := time.Since(begin); !strings.Contains(e.Message, "not known yet") || took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("got %q after %v, want that it is not known after a second", e.Message, took)
		}
		link.Heal()
		time.Sleep(time.Second)
		who(t, client)
	})
}

func TestAForeignServiceIsCalledAsWithoutASelector(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		foreign(t, b.Conn(t).NATS(), "greeter")
		conn := b.Conn(t)
		for _, text := range []string{"roundrobin", "version=1.0.0"} {
			res, err := choosy(t, conn, text).Do(bustest.Context(t), &rpc.Request{Service: "greeter", Method: "hello", Body: []byte(`{}`)})
			if err != nil {
				t.Errorf("with %s: %v", text, err)
				continue
			}
			if len(res.Body) == 0 {
				t.Errorf("with %s the answer is empty", text)
			}
		}
		_, err := choosy(t, conn, "version=9").Do(bustest.Context(t), &rpc.Request{Service: "greeter", Method: "hello", Body: []byte(`{}`)})
		wantError(t, err, bus.Unimplemented, bus.Nobody)
	})
}

func TestALocalServerIsCalledIfTheFiltersAdmitIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		here := newGreeter(conn, func(cfg *rpc.ServerConfig) { cfg.ID = "here" })
		rpc.Handle(here, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return &HelloResponse{Msg: "here"}, nil
		})
		serve(t, here)
		newTroop(t, b, 2, func(n int, cfg *rpc.ServerConfig) { cfg.Version = "2.0.0" })
		for version, local := range map[string]bool{"": true, "1.0.0": true, "2.0.0": false} {
			client := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{here}, Selector: selector.Config{Strategy: selector.RoundRobin, Version: version}})
			for range 4 {
				if id := who(t, client); (id == "here") != local {
					t.Errorf("with version %q the call went to %s", version, id)
				}
			}
			if err := client.Close(bustest.Context(t)); err != nil {
				t.Error(err)
			}
		}
		client := choosy(t, conn, "local")
		for range 6 {
			if id := who(t, client); id != "here" {
				t.Errorf("with local first the call went to %s", id)
			}
		}
		stop(t, here)
		if id := who(t, client); id == "here" || id == "" {
			t.Errorf("the call went to %q", id)
		}
	})
}

func TestTheViewEndsWithTheClient(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newTroop(t, b, 2)
		conn := b.Conn(t)
		before := len(b.Subscriptions(t, conn))
		client := choosy(t, conn, "roundrobin")
		who(t, client)
		if got := len(b.Subscriptions(t, conn)); got <= before+1 {
			t.Errorf("the connection has %d subscriptions, a View needs more", got)
		}
		if err := client.Close(bustest.Context(t)); err != nil {
			t.Error(err)
		}
		bustest.Eventually(t, time.Second, "the subscriptions are gone", func() bool {
			return len(b.Subscriptions(t, conn)) <= before+1 // its inbox stays
		})
		who(t, client) // plainly
		// One that is closed while it opens its View leaves nothing either.
		early := rpc.NewClient(conn, rpc.ClientConfig{Selector: selector.Config{Strategy: selector.Random}})
		ctx, cancel := context.WithCancel(bustest.Context(t))
		var call sync.WaitGroup
		call.Go(func() {
			_, err := early.Do(ctx, &rpc.Request{Service: greeter, Method: "Say.Hello", Body: []byte("{}")})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		if err := early.Close(bustest.Context(t)); err != nil {
			t.Error(err)
		}
		cancel()
		call.Wait()
	})
}

func TestAClientOutlivesTheBrokersRestart(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newTroop(t, b, 3)
		conn := b.Conn(t)
		client := choosy(t, conn, "roundrobin,version=1.0.0")
		deal(t, client, 3)
		b.Restart()
		b.Await(t, conn)
		time.Sleep(3 * time.Second)
		for id, n := range deal(t, client, 30) {
			if n != 10 {
				t.Errorf("%s has %d of 30 calls", id, n)
			}
		}
	})
}

func TestNoSuchSelector(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		defer func() {
			if recover() == nil {
				t.Error("a client was made with a selector that there is not")
			}
		}()
		rpc.NewClient(b.Conn(t), rpc.ClientConfig{Selector: selector.Config{Strategy: "best"}})
	})
}
