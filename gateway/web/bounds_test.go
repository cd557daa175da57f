package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/pubsub"
	"github.com/mbus-dev/mbus/rpc"
)

// enter registers an instance that is reached by HTTP, and returns how to take it
// out again.
func (h *house) enter(t testing.TB, service, id string, metadata map[string]string) (leave func()) {
	t.Helper()
	a, err := discovery.NewAnnouncer(h.conn, discovery.AnnouncerConfig{Name: service, ID: id, Address: "127.0.0.1", Port: 9, Metadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = a.Stop(context.Background()) } // a second time it has nothing to do
	t.Cleanup(stop)
	return stop
}

func TestNodesThatLeaveWhileNobodyLooksAreNotKept(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		before := page[Services](t, h, "/nodes")
		time.Sleep(time.Minute) // nobody looks any more
		for i := range 20 {
			leave := h.enter(t, "go.micro.web.app", fmt.Sprint("app-", i), nil)
			time.Sleep(6 * time.Second)
			leave()
		}
		time.Sleep(6 * time.Second)
		s := h.live(t, "nodes")
		time.Sleep(1500 * time.Millisecond)
		d := decode[struct {
			Prev int
			Gone []string
		}](t, []byte(s.last(t, "nodes")))
		if len(d.Gone) > 1 {
			t.Errorf("%d that have left long ago were kept for whoever looks next", len(d.Gone))
		}
		if d.Prev <= before.Seq {
			t.Errorf("a page of two minutes ago has %d and is not told to fetch anew by one after %d", before.Seq, d.Prev)
		}
	})
}

func TestTopicsThatNothingComesOfMakeRoomForOthers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		for i := range 1100 {
			if w := h.post("/-/publish", map[string]string{"topic": fmt.Sprint("orders.", i), "data": "{}"}); w.Code != http.StatusOK {
				t.Fatal(w.Body)
			}
		}
		type events struct {
			Subjects []struct{ Name string }
			More     int
		}
		if d := page[events](t, h, "/events"); len(d.Subjects) != 1000 || d.More != 100 {
			t.Fatalf("%d topics and %d more", len(d.Subjects), d.More)
		}
		time.Sleep(2 * time.Minute)
		h.post("/-/publish", map[string]string{"topic": "late.one", "data": "{}"})
		d := page[events](t, h, "/events")
		found := false
		for _, s := range d.Subjects {
			found = found || s.Name == "late.one"
		}
		if !found || len(d.Subjects) > 1000 {
			t.Errorf("the topic of this moment is not among %d", len(d.Subjects))
		}
	})
}

func TestAllEventsAreABoundedNumberOfSubscriptions(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		before := h.gate.Conn.NATS().NumSubscriptions()
		h.live(t, "events:%3E")
		for i := range 300 {
			h.post("/-/publish", map[string]string{"topic": fmt.Sprint("root", i), "data": "{}"})
		}
		time.Sleep(time.Minute)
		if n := h.gate.Conn.NATS().NumSubscriptions() - before; n > 64 {
			t.Errorf("%d subscriptions for all events, want 64 at most", n)
		}
	})
}

func TestBigEventsAreShownAndTheRestIsCounted(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.live(t, "events:big")
		time.Sleep(time.Second)
		for _, body := range []string{strings.Repeat("x", 60<<10), strings.Repeat("\x01", 60<<10), strings.Repeat("<", 60<<10)} {
			time.Sleep(2*time.Second - time.Duration(time.Now().Nanosecond()))
			seen := len(s.events(t))
			for range 50 {
				if err := pubsub.Publish(t.Context(), h.conn, "big", []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(900 * time.Millisecond)
			shown, skipped := 0, 0
			for _, e := range s.events(t)[seen:] {
				if e.kind == "resync" {
					t.Errorf("events of %.3q… are lost to a client that takes everything", body)
				}
				shown, skipped = shown+len(e.data.Events), skipped+e.data.Skipped
			}
			if shown == 0 || shown+skipped != 50 {
				t.Errorf("of 50 events of %.3q… %d are shown and %d counted", body, shown, skipped)
			}
		}
	})
}

func TestALongTimeLimitIsTheLongestThatThereIs(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		w := h.post("/-/call", map[string]any{"service": greeter, "method": "Say.Hello", "request": HelloRequest{Name: "John"}, "timeout_ms": int64(1) << 62})
		if !strings.Contains(w.Body.String(), "Hello John") {
			t.Errorf("%s", w.Body)
		}
	})
}

func TestMetadataOfManyNodesDoesNotMakeThePageHuge(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		big := map[string]string{"note": strings.Repeat("x", 20<<10), "zone": "a"}
		for i := range 50 {
			h.enter(t, "go.micro.web.app", fmt.Sprint("app-", i), big)
		}
		bustest.Eventually(t, 10*time.Second, "all are there", func() bool { return len(h.gate.Apps("go.micro.web.app")) == 50 })
		time.Sleep(time.Second)
		for _, path := range []string{"/nodes", "/services/go.micro.web.app", "/webapps"} {
			if w := h.ask(http.MethodGet, path, "", "Accept", "application/json"); w.Body.Len() > 200<<10 {
				t.Errorf("%s has %d bytes", path, w.Body.Len())
			}
		}
		if w := h.ask(http.MethodGet, "/nodes/app-7", "", "Accept", "application/json"); w.Body.Len() < 20<<10 {
			t.Errorf("the page of one node has %d bytes, and not all of its metadata", w.Body.Len())
		}
	})
}

func TestAHEADOfTheStreamEnds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		over := make(chan int, 1)
		go func() { over <- h.ask(http.MethodHead, "/-/live?topics=services", "").Code }()
		select {
		case code := <-over:
			if code != http.StatusOK {
				t.Errorf("status %d", code)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("it holds a stream that nobody can read")
		}
	})
}

// A Wide message has a tree of 400 parts.
type Wide struct {
	A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T Narrow
}

// A Narrow one is a part of it.
type Narrow struct {
	A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T string
}

func TestAServiceOfManyMethodsHasAPageOfBoundedSize(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := rpc.NewServer(h.conn, rpc.ServerConfig{Name: greeter, Version: "1.0.0", Logger: h.conn.Logger()})
		const methods = 200
		for i := range methods {
			rpc.Handle(s, fmt.Sprint("Say.M", i), func(_ context.Context, r *Wide) (*Wide, error) { return r, nil })
		}
		start(t, s)
		time.Sleep(3 * time.Second)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		h.live(t, "svc:"+greeter)
		for range 25 {
			for i := range 30 {
				if _, err := rpc.Call[Wide](t.Context(), client, greeter, fmt.Sprint("Say.M", i), &Wide{}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		w := h.ask(http.MethodGet, "/services/"+greeter+"/stats", "", "Accept", "application/json")
		d := decode[struct {
			Endpoints []struct {
				Request json.RawMessage
				LeftOut bool `json:"left_out"`
			}
			Series map[string]any `json:"endpoint_series"`
		}](t, w.Body.Bytes())
		described, left := 0, 0
		for _, e := range d.Endpoints {
			if string(e.Request) != "null" {
				described++
			}
			if e.LeftOut {
				left++
			}
		}
		if len(d.Endpoints) < methods || described == 0 || left == 0 || w.Body.Len() > 6<<20 {
			t.Errorf("%d methods, %d described and %d left out, in %d bytes", len(d.Endpoints), described, left, w.Body.Len())
		}
		if len(d.Series) != 24 {
			t.Errorf("%d methods have charts, want the 24 busiest", len(d.Series))
		}
		if q := h.ask(http.MethodGet, "/query/"+greeter+"/Say.M199", "", "Accept", "application/json"); !strings.Contains(q.Body.String(), `"properties"`) {
			t.Error("the page of a query does not describe its method")
		}
	})
}
