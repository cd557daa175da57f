package web_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/rpc"
)

type (
	Numbers struct {
		Calls   int
		Rate    *float64 `json:"rps"`
		Percent *float64 `json:"error_percent"`
		P50     *float64 `json:"p50_ms"`
		P95     *float64 `json:"p95_ms"`
		P99     *float64 `json:"p99_ms"`
	}
	Comparison struct {
		Compare *struct {
			A, B, Over, Note string
			Endpoints        []struct {
				Name       string
				A, B       *Numbers
				Difference Numbers
			}
		}
		ByVersion []struct {
			Version   string
			Instances int
			Endpoints []struct {
				Name         string
				Minute, Life Numbers
			}
		} `json:"by_version"`
	}
)

// version starts an instance of a version of the greeter that takes its time, and
// fails every so many calls.
func (h *house) version(t testing.TB, version string, takes time.Duration, failing int, more ...string) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(h.bus.Conn(t), rpc.ServerConfig{Name: greeter, Version: version, Logger: h.conn.Logger()})
	n := 0
	for _, method := range append(more, "Say.Hello") {
		rpc.Handle(s, method, func(context.Context, *HelloRequest) (*HelloResponse, error) {
			time.Sleep(takes)
			if n++; failing > 0 && n%failing == 0 {
				return nil, errors.New("not this one")
			}
			return &HelloResponse{}, nil
		})
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func near(got *float64, want, by float64) bool { return got != nil && math.Abs(*got-want) <= by }

func TestTwoVersionsAreComparedByTheirOwnCalls(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		old := []*rpc.Server{h.version(t, "1.0.0", 10*time.Millisecond, 0), h.version(t, "1.0.0", 10*time.Millisecond, 0)}
		canary := h.version(t, "1.1.0", 40*time.Millisecond, 10, "Say.Bye")
		bustest.Eventually(t, 5*time.Second, "all are known", func() bool { return len(h.gate.View().Instances(greeter)) == 3 })
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		call := func(s *rpc.Server) {
			_, _ = client.Do(t.Context(), &rpc.Request{Service: greeter, Method: "Say.Hello", Instance: s.ID(), Body: []byte("{}")}) // some fail
		}
		browser := h.live(t, "versions:"+greeter)
		for range 90 { // each second 8 calls of the old version and 4 of the new one
			began := time.Now()
			for range 4 {
				call(old[0])
				call(old[1])
				call(canary)
			}
			time.Sleep(time.Second - time.Since(began))
		}
		d := page[Comparison](t, h, "/services/"+greeter+"/stats?a=1.0.0&b=1.1.0")
		if len(d.ByVersion) != 2 || d.ByVersion[0].Version != "1.0.0" || d.ByVersion[0].Instances != 2 {
			t.Fatalf("versions %s", show(d.ByVersion))
		}
		c := d.Compare
		if c == nil || c.Note != "" || len(c.Endpoints) != 2 {
			t.Fatalf("compare %s", show(c))
		}
		if bye := c.Endpoints[0]; bye.Name != "Say.Bye" || bye.A != nil || bye.B == nil || bye.Difference.Rate != nil {
			t.Errorf("a method of one version: %s", show(bye))
		}
		hello := c.Endpoints[1]
		if !near(hello.A.Rate, 8, 0.5) || !near(hello.B.Rate, 4, 0.3) || !near(hello.Difference.Rate, -4, 0.5) {
			t.Errorf("rates %s", show(hello))
		}
		if *hello.A.Percent != 0 || !near(hello.B.Percent, 10, 1) || !near(hello.Difference.Percent, 10, 1) {
			t.Errorf("errors %s", show(hello))
		}
		for _, q := range [][3]*float64{{hello.A.P50, hello.B.P50, hello.Difference.P50}, {hello.A.P95, hello.B.P95, hello.Difference.P95}, {hello.A.P99, hello.B.P99, hello.Difference.P99}} {
			if !near(q[0], 10, 2) || !near(q[1], 40, 8) || !near(q[2], 30, 9) {
				t.Errorf("quantiles %s", show(hello))
			}
		}
		if hello.A.Calls < 470 || hello.A.Calls > 570 {
			t.Errorf("%d calls in the last minute", hello.A.Calls)
		}
		time.Sleep(2 * time.Second) // the instances are asked one after the other: now all have been since the last call
		life := page[Comparison](t, h, "/services/"+greeter+"/stats?a=1.1.0&b=1.0.0&over=life").Compare.Endpoints[1]
		if life.A.Calls < 355 || life.A.Calls > 360 || life.B.Calls != 2*life.A.Calls || !near(life.Difference.Rate, 4, 0.5) {
			t.Errorf("since the start %s", show(life))
		}

		text := h.ask(http.MethodGet, "/services/"+greeter+"/stats?a=1.0.0&b=1.1.0", "").Body.String()
		if !strings.Contains(text, "1.0.0 beside 1.1.0, the last minute") || !strings.Contains(text, "DIFFERENCE") || !strings.Contains(text, "p95 ms") {
			t.Errorf("as text:\n%s", text)
		}
		e := browser.await(t, 3*time.Second, "versions", func(e *event) bool { return e.kind == "versions" })
		if live := decode[Comparison](t, []byte(e.raw)); len(live.ByVersion) != 2 || len(live.ByVersion[1].Endpoints) != 2 {
			t.Errorf("live %s", e.raw)
		}

		for query, note := range map[string]string{"a=1.0.0&b=3.0.0": `no node runs "3.0.0"; there is 1.0.0, 1.1.0`, "a=1.0.0&b=1.0.0": "two different", "a=1.0.0": "as b"} {
			if c := page[Comparison](t, h, "/services/"+greeter+"/stats?"+query).Compare; c == nil || !strings.Contains(c.Note, note) {
				t.Errorf("%s: %s", query, show(c))
			}
		}
		if w := h.ask(http.MethodGet, "/services/"+greeter+"/stats?a=1.0.0&b=1.1.0&over=year", "", "Accept", "application/json"); w.Code != http.StatusBadRequest {
			t.Errorf("over a year: %d", w.Code)
		}
		if err := canary.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if d := page[Comparison](t, h, "/services/"+greeter+"/stats?a=1.0.0&b=1.1.0"); d.Compare == nil || !strings.Contains(d.Compare.Note, "only one version") || len(d.ByVersion) != 0 {
			t.Errorf("once one has left: %s", show(d.Compare))
		}
	})
}

func TestTheRatesOfVersionsAreRightFromTheFirstLook(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.version(t, "1.0.0", 0, 0)
		s := h.version(t, "1.1.0", 0, 0)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		for range 5 * 129 { // nobody has looked for long, and nobody was asked for some seconds
			if _, err := client.Do(t.Context(), &rpc.Request{Service: greeter, Method: "Say.Hello", Instance: s.ID(), Body: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		d := page[Comparison](t, h, "/services/"+greeter+"/stats?a=1.0.0&b=1.1.0")
		if got := d.Compare.Endpoints[0].B.Rate; !near(got, 5, 0.1) {
			t.Errorf("%v calls a second, want 5", *got)
		}
	})
}

func TestTheVersionsThatAreCountedApartAreBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		for i := range 12 {
			h.version(t, fmt.Sprintf("1.%d.0", i), 0, 0)
		}
		h.version(t, "1.5.0", 0, 0)
		bustest.Eventually(t, 5*time.Second, "all are known", func() bool { return len(h.gate.View().Instances(greeter)) == 13 })
		d := page[Comparison](t, h, "/services/"+greeter+"/stats")
		if len(d.ByVersion) != 8 || d.ByVersion[0].Version != "1.5.0" || d.ByVersion[0].Instances != 2 || d.Compare != nil {
			t.Errorf("%s", show(d.ByVersion))
		}
	})
}

func TestAVersionWithoutANameCanBeCompared(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.register(t, greeter, "10.0.0.1", 9000) // an app, in no version
		h.version(t, "2", 0, 0)
		bustest.Eventually(t, 5*time.Second, "both are known", func() bool { return len(h.gate.View().Instances(greeter)) == 2 })
		if c := page[Comparison](t, h, "/services/"+greeter+"/stats?a=-&b=2").Compare; c == nil || c.Note != "" || len(c.Endpoints) != 1 {
			t.Errorf("%s", show(c))
		}
	})
}
