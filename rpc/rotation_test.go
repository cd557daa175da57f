package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/rpc"
)

// A twin is a service of which each instance answers with its id.
const twin = "twin"

func newTwin(conn *bus.Conn, id string, change ...func(*rpc.ServerConfig)) *rpc.Server {
	cfg := rpc.ServerConfig{Name: twin, ID: id, Logger: conn.Logger()}
	for _, f := range change {
		f(&cfg)
	}
	s := rpc.NewServer(conn, cfg)
	for _, method := range []string{"Who.Am", "Who.Are", "Who.Waits"} {
		rpc.Handle(s, method, func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
			if d, err := time.ParseDuration(r.Name); err == nil {
				time.Sleep(d)
			}
			return &HelloResponse{Msg: id}, nil
		})
	}
	return s
}

// drain asks an instance of twin, and returns what it says.
func drain(t testing.TB, c *rpc.Client, id string, on bool) bool {
	t.Helper()
	res, err := rpc.Call[rpc.Draining](bustest.Context(t), c, twin, rpc.MethodDrain, &rpc.DrainRequest{Drain: &on}, rpc.WithNode(id))
	if err != nil {
		t.Fatalf("drain %s: %v", id, err)
	}
	return res.Draining
}

// answering counts who answers, of n calls of each method, in frames and plainly.
func answering(t testing.TB, c *rpc.Client, conn *bus.Conn, n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for i := range n {
		method := []string{"Who.Am", "Who.Are"}[i%2]
		res, err := rpc.Call[HelloResponse](bustest.Context(t), c, twin, method, &HelloRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got[res.Msg]++
		var plain HelloResponse
		m, err := conn.NATS().Request("mbus.rpc.twin."+method, []byte(`{}`), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &plain); err != nil {
			t.Fatal(err)
		}
		got[plain.Msg]++
	}
	return got
}

func TestADrainedInstanceTakesOnlyCallsThatNameIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		shared, conn := b.Conn(t), b.Conn(t)
		for _, id := range []string{"a", "b"} { // on one connection, which shares subscriptions
			serve(t, newTwin(shared, id))
		}
		serve(t, newTwin(b.Conn(t), "c"))
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		if got := answering(t, client, conn, 200); got["a"] == 0 || got["b"] == 0 || got["c"] == 0 {
			t.Fatalf("at first %v", got)
		}
		for _, id := range []string{"a", "c"} {
			for range 2 { // the second changes nothing
				if !drain(t, client, id, true) {
					t.Errorf("%s says that it does not drain", id)
				}
			}
		}
		if got := answering(t, client, conn, 200); got["b"] != 400 {
			t.Errorf("with a and c drained %v, want b alone", got)
		}
		for _, method := range []string{"Who.Am", "Who.Are"} {
			res, err := rpc.Call[HelloResponse](t.Context(), client, twin, method, &HelloRequest{}, rpc.WithNode("a"))
			if err != nil || res.Msg != "a" {
				t.Errorf("%s of a: %v, %v", method, res, err)
			}
		}
		health, err := rpc.Call[rpc.Health](t.Context(), client, twin, rpc.MethodHealth, nil, rpc.WithNode("a"))
		if err != nil || health.Status != "draining" {
			t.Errorf("health of a: %v, %v", health, err)
		}
		for range 2 {
			if drain(t, client, "a", false) {
				t.Error("a says that it still drains")
			}
		}
		if got := answering(t, client, conn, 200); got["a"] == 0 || got["b"] == 0 || got["c"] != 0 {
			t.Errorf("with a back %v, want a and b", got)
		}
		health, err = rpc.Call[rpc.Health](t.Context(), client, twin, rpc.MethodHealth, nil, rpc.WithNode("a"))
		if err != nil || health.Status != "ok" {
			t.Errorf("health of a that is back: %v, %v", health, err)
		}
	})
}

func TestDrainingLosesNoCallHoweverOftenAndByHowMany(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serve(t, newTwin(b.Conn(t), "a"))
		serve(t, newTwin(b.Conn(t), "b"))
		conn := b.Conn(t)
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		var calls sync.WaitGroup
		var over atomic.Bool
		var made atomic.Int64
		for i := range 16 {
			calls.Go(func() {
				for !over.Load() {
					name := fmt.Sprintf("%dms", i%4)
					if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, twin, "Who.Am", &HelloRequest{Name: name}); err != nil {
						t.Errorf("a call: %v", err)
						return
					}
					made.Add(1)
					time.Sleep(time.Millisecond)
				}
			})
		}
		var askers sync.WaitGroup
		for range 2 {
			askers.Go(func() {
				for i := range 30 {
					drain(t, client, "a", i%2 == 0)
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		askers.Wait()
		over.Store(true)
		calls.Wait()
		if made.Load() < 1000 {
			t.Errorf("only %d calls", made.Load())
		}
		drain(t, client, "a", false)
		if got := answering(t, client, conn, 50); got["a"] == 0 {
			t.Errorf("in the end %v", got)
		}
	})
}

func TestCallsAndStreamsAtWorkEndAsUsualWhenTheirInstanceDrains(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s, _ := serveLab(t, b.Conn(t))
		rest := newTwin(b.Conn(t), "a")
		serve(t, rest)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		stream := openChat(t, client)
		said := make(chan error, 1)
		go func() {
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, twin, "Who.Waits", &HelloRequest{Name: "3s"})
			said <- err
		}()
		time.Sleep(time.Second)
		began := time.Now()
		drain(t, client, "a", true)
		on := true
		if _, err := rpc.Call[rpc.Draining](t.Context(), client, lab, rpc.MethodDrain, &rpc.DrainRequest{Drain: &on}, rpc.WithNode(s.ID())); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("to drain took %v; it is not to wait for the calls", took)
		}
		if err := <-said; err != nil {
			t.Errorf("the call at work: %v", err)
		}
		for range 3 {
			if err := stream.Send(&Text{"x"}); err != nil {
				t.Fatal(err)
			}
			if m, err := stream.Recv(); err != nil || m.Text != "x" {
				t.Fatalf("the open stream: %v, %v", m, err)
			}
			time.Sleep(5 * time.Second)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := rpc.OpenStream[Text, Text](bustest.Context(t), client, lab, "Lab.Chat"); !errors.Is(err, bus.Unavailable) {
			t.Errorf("a new stream: %v, want unavailable", err)
		}
	})
}

func TestDrainIsForOneInstanceThatIsNamed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, far := b.Conn(t), b.Conn(t)
		s := newTwin(conn, "a")
		serve(t, s)
		on := true
		for name, client := range map[string]*rpc.Client{
			"the bus":     rpc.NewClient(far, rpc.ClientConfig{}),
			"the process": rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}}),
		} {
			for range 3 { // the first goes plainly
				_, err := rpc.Call[rpc.Draining](t.Context(), client, twin, rpc.MethodDrain, &rpc.DrainRequest{Drain: &on})
				if e := wantError(t, err, bus.InvalidArgument, bus.Handler); !strings.Contains(e.Message, "mbus query --node ID") {
					t.Errorf("from %s: %v", name, e)
				}
				time.Sleep(time.Second)
			}
		}
		for body, want := range map[string]string{`{"drain":true}`: "mbus query --node ID"} {
			if m := ask(t, far, "mbus.rpc.twin.Debug.Drain", nil, body); m.Header.Get("Mbus-Error") != "invalid_argument" ||
				!strings.Contains(m.Header.Get("Nats-Service-Error"), want) {
				t.Errorf("%s: %v", body, m.Header)
			}
		}
		for _, body := range []string{``, `{}`, `{"drain":null}`, `{"drain":1}`, `{"drain":true,"undo":true}`} {
			if m := ask(t, far, "mbus.node.twin.a.Debug.Drain", nil, body); m.Header.Get("Mbus-Error") != "invalid_argument" {
				t.Errorf("%s: %v %s", body, m.Header, m.Data)
			}
		}
		if m := ask(t, far, "mbus.node.twin.a.Debug.Health", nil, ``); string(m.Data) != `{"status":"ok"}` {
			t.Errorf("after refusals: %s", m.Data)
		}
		if m := ask(t, far, "mbus.node.twin.a.Debug.Drain", nil, `{"drain":true}`); string(m.Data) != `{"draining":true}` {
			t.Errorf("plainly: %v %s", m.Header, m.Data)
		}
	})
}

func TestALocalCallLeavesAProcessWhoseServerDrains(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		here := newTwin(conn, "here")
		serve(t, here)
		serve(t, newTwin(b.Conn(t), "there"))
		client := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{here}})
		for _, on := range []bool{false, true, false} {
			drain(t, client, "here", on)
			want := "here"
			if on {
				want = "there"
			}
			for range 10 {
				if res, err := rpc.Call[HelloResponse](t.Context(), client, twin, "Who.Am", &HelloRequest{}); err != nil || res.Msg != want {
					t.Errorf("drain %v: %v, %v; want %s", on, res, err, want)
				}
			}
			res, err := rpc.Call[HelloResponse](t.Context(), client, twin, "Who.Am", &HelloRequest{}, rpc.WithNode("here"))
			if err != nil || res.Msg != "here" {
				t.Errorf("drain %v, by its id: %v, %v", on, res, err)
			}
		}
	})
}

func TestAServiceWhoseLastInstanceDrainsIsUnavailable(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		serve(t, newTwin(b.Conn(t), "a"))
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		drain(t, client, "a", true)
		for name, c := range map[string]*rpc.Client{
			"one that knows it":      client,
			"a new one":              rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)}),
			"one that chooses":       rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0), Selector: selector.Config{Strategy: selector.RoundRobin}}),
			"one that chooses among": rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0), Selector: selector.Config{Version: "0.0.0"}}),
		} {
			_, err := rpc.Call[HelloResponse](t.Context(), c, twin, "Who.Am", &HelloRequest{})
			if e := wantError(t, err, bus.Unavailable, bus.Nobody); !strings.Contains(e.Message, "drain") || e.Retry == bus.RetryNever {
				t.Errorf("%s: %v, retry %v", name, e, e.Retry)
			}
			_, err = rpc.Call[HelloResponse](t.Context(), c, twin, "Who.Is", &HelloRequest{})
			wantError(t, err, bus.NotFound, bus.Nobody)
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWatchersAndToolsSeeThatAnInstanceIsOutOfRotation(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, other := b.Conn(t), b.Conn(t)
		serve(t, newTwin(b.Conn(t), "a"))
		serve(t, newTwin(b.Conn(t), "b"))
		client := rpc.NewClient(conn, rpc.ClientConfig{Selector: selector.Config{Strategy: selector.RoundRobin}})
		view, err := discovery.Watch(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		defer view.Close()
		<-view.Ready()
		ready := func() (ids []string) {
			for _, i := range view.Instances(twin) {
				ids = append(ids, i.ID)
			}
			return ids
		}
		state := func(subject string) string {
			var answer struct {
				ID        string
				Metadata  map[string]string
				Endpoints []any
			}
			m := ask(t, other, subject, nil, "")
			if err := json.Unmarshal(m.Data, &answer); err != nil || answer.ID != "a" {
				t.Fatalf("%s: %s, %v", subject, m.Data, err)
			}
			if !strings.HasPrefix(subject, "$SRV.PING") && len(answer.Endpoints) != 7 {
				t.Errorf("%s: %d endpoints, want the three methods and four of the server", subject, len(answer.Endpoints))
			}
			return answer.Metadata["mbus.state"]
		}
		for _, on := range []bool{true, false, true, false} {
			drain(t, client, "a", on)
			want, said := []string{"a", "b"}, ""
			if on {
				want, said = []string{"b"}, "draining"
			}
			bustest.Eventually(t, 100*time.Millisecond, "the watcher knows", func() bool { return slices.Equal(ready(), want) })
			time.Sleep(30 * time.Second) // beats, polls and sweeps change nothing
			if got := ready(); !slices.Equal(got, want) || len(view.All(twin)) != 2 {
				t.Errorf("drain %v: later %v of %d are ready, want %v of 2", on, got, len(view.All(twin)), want)
			}
			for _, verb := range []string{"PING", "INFO", "STATS"} {
				if got := state("$SRV." + verb + ".twin.a"); got != said {
					t.Errorf("drain %v: %s says %q, want %q", on, verb, got, said)
				}
			}
			found, err := discovery.Query(t.Context(), other, twin)
			if err != nil || len(found) != 2 || found[0].ID != "a" || string(found[0].State) != said {
				t.Errorf("drain %v: asked once: %v, %v", on, found, err)
			}
			for range 4 {
				res, err := rpc.Call[HelloResponse](t.Context(), client, twin, "Who.Am", &HelloRequest{})
				if err != nil || on && res.Msg != "b" {
					t.Errorf("drain %v: the selector chose %v, %v", on, res, err)
				}
			}
		}
	})
}

func TestADrainedInstanceStaysSoOnANewConnection(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, conn := b.Conn(t), b.Conn(t)
		serve(t, newTwin(server, "a"))
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		drain(t, client, "a", true)
		b.Restart()
		b.Await(t, server, conn)
		time.Sleep(5 * time.Second)
		for _, s := range b.Subscriptions(t, server) {
			if strings.HasSuffix(s, " q") {
				t.Errorf("it subscribes to %s", s)
			}
		}
		found, err := discovery.Query(t.Context(), conn, twin)
		if err != nil || len(found) != 1 || found[0].State != discovery.StateDraining {
			t.Errorf("it announces %v, %v", found, err)
		}
		if drain(t, client, "a", false) {
			t.Error("it does not come back")
		}
		if _, err := rpc.Call[HelloResponse](t.Context(), client, twin, "Who.Am", &HelloRequest{}); err != nil {
			t.Error(err)
		}
	})
}

func TestADrainedServerStopsAsAnyOther(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, conn := b.Conn(t), b.Conn(t)
		s := newTwin(server, "a")
		ctx, end := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		bustest.Eventually(t, time.Second, "it serves", func() bool {
			_, err := rpc.Call[HelloResponse](t.Context(), client, twin, "Who.Am", &HelloRequest{})
			return err == nil
		})
		drain(t, client, "a", true)
		said := make(chan error, 1)
		go func() { // a call at work, which names the instance
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, twin, "Who.Waits", &HelloRequest{Name: "2s"}, rpc.WithNode("a"))
			said <- err
		}()
		time.Sleep(time.Second)
		end()
		if err := <-said; err != nil {
			t.Errorf("the call at work: %v", err)
		}
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		for _, s := range b.Subscriptions(t, server) {
			if strings.HasPrefix(s, "mbus.") {
				t.Errorf("it still subscribes to %s", s)
			}
		}
	})
}

// A change of the rotation and the end of the server may meet in any order.
func TestDrainAndStopAtOnceLeaveNothingBehind(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, conn := b.Conn(t), b.Conn(t)
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		for range 40 {
			s := newTwin(server, "a")
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			var asked sync.WaitGroup
			for i := range 8 {
				asked.Go(func() {
					on := i%2 == 0
					_, err := rpc.Call[rpc.Draining](bustest.Context(t), client, twin, rpc.MethodDrain, &rpc.DrainRequest{Drain: &on}, rpc.WithNode("a"))
					if err != nil && !errors.Is(err, bus.Conflict) && !errors.Is(err, bus.Unavailable) && !errors.Is(err, bus.NotFound) {
						t.Errorf("drain: %v", err)
					}
				})
			}
			stop(t, s)
			asked.Wait()
			for _, s := range b.Subscriptions(t, server) {
				if strings.HasPrefix(s, "mbus.rpc.") {
					t.Fatalf("it still subscribes to %s", s)
				}
			}
		}
	})
}

func TestAChangeOfTheRotationIsLoggedWithWhoWantedIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var log bytes.Buffer
		s := newTwin(b.Conn(t), "a", func(c *rpc.ServerConfig) { c.Logger = zerolog.New(&log) })
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{From: "go.micro.web"})
		for _, on := range []bool{true, true, false, false} {
			drain(t, client, "a", on)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "taken out of rotation") || !strings.Contains(lines[1], "back in rotation") {
			t.Fatalf("log:\n%s", log.String())
		}
		for _, line := range lines {
			if !strings.Contains(line, `"level":"info"`) || !strings.Contains(line, `"from":"go.micro.web"`) || !strings.Contains(line, `"instance":"a"`) {
				t.Errorf("log: %s", line)
			}
		}
	})
}

func TestWhatARegistrarAnnouncesCannotBeDrained(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serve(t, newTwin(b.Conn(t), "a", func(c *rpc.ServerConfig) { c.Unannounced = true }))
		conn := b.Conn(t)
		if m := ask(t, conn, "mbus.node.twin.a.Debug.Drain", nil, `{"drain":true}`); m.Header.Get("Mbus-Error") != "unimplemented" {
			t.Errorf("got %v %s", m.Header, m.Data)
		}
		ask(t, conn, "mbus.rpc.twin.Who.Am", nil, `{}`)
	})
}
