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
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/rpc"
)

func TestRatesAndQuantilesAreThoseOfTheLastSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		s := h.live(t, "services,svc:"+greeter)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{From: "go.micro.api"})
		call := func(name string) {
			_, _ = rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{Name: name}) // some fail
		}
		for range 200 {
			call("John")
			time.Sleep(100 * time.Millisecond)
		}
		d := page[Services](t, h, "/services")
		r := d.row(greeter)
		if r.Health != "ok" || r.Rate == nil || *r.Rate < 8 || *r.Rate > 12 || r.P99 == nil || *r.P99 > 5 || *r.Percent != 0 {
			t.Fatalf("after 20 s of 10 calls a second: %s", show(r))
		}
		if len(r.Spark) != 40 || r.Spark[39] == nil || r.Spark[38] == nil {
			t.Errorf("spark %v", r.Spark)
		}
		n := s.await(t, time.Second, "numbers of the greeter", func(e *event) bool { return e.kind == "services" && len(e.data.N) > 0 })
		if len(n.data.N[0]) != 7 {
			t.Errorf("numbers %v", n.data.N)
		}
		// What is slow now shows, however long it was fast.
		for range 30 {
			call("slow")
		}
		if r := page[Services](t, h, "/services").row(greeter); *r.P50 < 900 || *r.P50 > 1200 {
			t.Errorf("the median after 30 calls of a second is %v ms", *r.P50)
		}
		for range 300 {
			call("")
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if r := page[Services](t, h, "/services").row(greeter); r.Health == "ok" || *r.Percent < 50 {
			t.Errorf("with many errors: %s", show(r))
		}
		p := page[struct {
			Callers []struct {
				From string
				RPS  float64
			}
			Errors []struct{ Text string }
		}](t, h, "/services/"+greeter)
		if len(p.Callers) != 1 || p.Callers[0].From != "go.micro.api" || p.Callers[0].RPS == 0 {
			t.Errorf("callers %v", p.Callers)
		}
		if len(p.Errors) == 0 || !strings.Contains(p.Errors[0].Text, "name is empty") {
			t.Errorf("errors %v", p.Errors)
		}
		top := page[struct {
			Edges []struct{ From, To, Source string }
		}](t, h, "/topology")
		if len(top.Edges) == 0 || top.Edges[0].From != "go.micro.api" || top.Edges[0].To != greeter {
			t.Errorf("edges %v", top.Edges)
		}
	})
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestTheHistoryOfAnHourIsKeptAndOneThatIsNotWatchedToo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		for range 40 * 60 { // nobody looks for 40 minutes
			for range 2 {
				if _, err := rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{Name: "John"}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		d := page[struct {
			T     []int64
			Total struct {
				RPS []*float64 `json:"rps"`
				P99 []*float64 `json:"p99_ms"`
			}
			Services []struct {
				Name string
				RPS  []*float64 `json:"rps"`
			}
			Bytes int
		}](t, h, "/stats?range=60m")
		if len(d.T) != 360 || len(d.Services) == 0 {
			t.Fatalf("%d steps, %d services", len(d.T), len(d.Services))
		}
		known, right := 0, 0
		for i, v := range d.Total.RPS {
			if v == nil {
				continue
			}
			known++
			if *v > 1.5 && *v < 2.5 && d.Total.P99[i] != nil {
				right++
			}
		}
		if known < 230 || known > 245 || right < known-5 {
			t.Errorf("of 240 steps %d are known and %d right", known, right)
		}
		if d.Total.RPS[10] != nil || d.Services[0].RPS[10] != nil {
			t.Error("a time when nothing ran is not unknown")
		}
		if d.Bytes <= 0 || d.Bytes > 1<<20 {
			t.Errorf("the history takes %d bytes", d.Bytes)
		}
	})
}

func TestAServiceThatDiesIsDownAndFirstWithinASecond(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.greet(t)
		time.Sleep(5 * time.Second)
		before := page[Services](t, h, "/services")
		if r := before.row(greeter); r.Health != "ok" {
			t.Fatalf("at first %s", show(r))
		}
		browser := h.live(t, fmt.Sprintf("services@%d", before.Seq))
		began := time.Now()
		if err := s.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		e := browser.await(t, time.Second, "the greeter is down", func(e *event) bool {
			return e.kind == "services" && len(e.data.Rows) > 0 && e.data.Rows[0].Health == "down"
		})
		if took := time.Since(began); took > time.Second || e.data.Rows[0].Instances != 0 || !strings.Contains(e.data.Rows[0].Why, "stopped") {
			t.Errorf("after %v: %s", took, e.raw)
		}
		after := page[Services](t, h, "/services")
		if len(after.Rows) == 0 || after.Rows[0].Name != greeter || after.Rows[0].Health != "down" {
			t.Errorf("rows %s", show(after.Rows))
		}
		// The page of a service that has gone is there, and then no longer.
		if w := h.ask(http.MethodGet, "/services/"+greeter, "", "Accept", "application/json"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"gone":true`) {
			t.Errorf("the page of the service: %d", w.Code)
		}
		time.Sleep(11 * time.Minute)
		if r := page[Services](t, h, "/services").row(greeter); r.Name != "" {
			t.Errorf("eleven minutes later: %s", show(r))
		}
		browser.await(t, 2*time.Second, "the row is gone", func(e *event) bool { return e.kind == "services" && len(e.data.Gone) == 1 })
	})
}

func TestDeltasHaveNoGapsAndAClientThatComesBackMissesNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		d := page[Services](t, h, "/services")
		time.Sleep(2500 * time.Millisecond) // the page takes its time
		s := h.live(t, fmt.Sprintf("services@%d", d.Seq))
		time.Sleep(5 * time.Second)
		seq, last := d.Seq, ""
		for _, e := range s.events(t) {
			last = e.id
			if e.kind == "resync" {
				t.Error("a resync for who has missed nothing")
			}
			if e.kind != "services" {
				continue
			}
			if e.data.Prev != seq || e.data.Seq != seq+1 {
				t.Fatalf("after %d came %d after %d", seq, e.data.Seq, e.data.Prev)
			}
			seq = e.data.Seq
		}
		if seq < d.Seq+6 {
			t.Errorf("only %d deltas in seven seconds", seq-d.Seq)
		}
		s.close()
		time.Sleep(4 * time.Second)
		again := h.live(t, "services", "Last-Event-ID", last)
		time.Sleep(time.Second)
		for _, e := range again.events(t) {
			if e.kind == "services" {
				if e.data.Prev != seq {
					t.Fatalf("after %d came one after %d", seq, e.data.Prev)
				}
				seq = e.data.Seq
			}
		}
		again.close()
		// Too late, or of another life of the process: everything anew.
		for _, id := range []string{"other.5", last[:strings.Index(last, ".")] + ".999999", "x"} {
			s := h.live(t, "services,nodes", "Last-Event-ID", id)
			s.await(t, time.Second, "resync after "+id, func(e *event) bool { return e.kind == "resync" && e.data.Topic == "nodes" })
			s.close()
		}
	})
}

func TestAClientThatTakesNothingIsBoundedAndToldSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		s := h.live(t, "services")
		other := h.live(t, "services")
		time.Sleep(2 * time.Second)
		s.stick()
		time.Sleep(2 * time.Minute)
		if n := len(other.events(t)); n < 115 {
			t.Errorf("another client got %d events in two minutes", n)
		}
		s.release()
		s.await(t, 3*time.Second, "resync", func(e *event) bool { return e.kind == "resync" && e.data.Topic == "services" })
		n := len(s.events(t))
		time.Sleep(5 * time.Second)
		if len(s.events(t)) < n+4 {
			t.Error("nothing comes after the resync")
		}
	})
}

func TestTheStreamsOfAHouseAreBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		for range 256 {
			h.live(t, "services")
		}
		time.Sleep(time.Second)
		if w := h.ask(http.MethodGet, "/-/live?topics=services", ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("one more: %d %v", w.Code, w.Header())
		}
		for _, topics := range []string{"what", "svc", "services:x", "events:mbus.x", "events:%3E%3E", strings.Repeat("stats,", 40), "events:a,events:b,events:c,events:d,events:e,events:f,events:g,events:h,events:i"} {
			if w := h.ask(http.MethodGet, "/-/live?topics="+topics, ""); w.Code != http.StatusBadRequest {
				t.Errorf("topics %s: %d", topics, w.Code)
			}
		}
	})
}

func TestAStreamTakesOtherTopics(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		s := h.live(t, "stats")
		hello := s.await(t, time.Second, "hello", func(e *event) bool { return e.kind == "hello" })
		if w := h.post("/-/live", map[string]any{"id": hello.data.ID, "topics": []string{"svc:" + greeter}}); w.Code != http.StatusNoContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		s.await(t, 2*time.Second, "the service", func(e *event) bool { return e.kind == "service" })
		if w := h.post("/-/live", map[string]any{"id": "nobody", "topics": []string{}}); w.Code != http.StatusNotFound {
			t.Errorf("an unknown stream: %d", w.Code)
		}
	})
}

// While nobody watches, looks are five seconds apart. Who comes just after one does
// not wait for the next of those.
func TestAStreamThatEndsTheIdlingHearsWithinASecond(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		for range 3 {
			time.Sleep(time.Minute)
			time.Sleep(5500*time.Millisecond - time.Duration(time.Now().UnixNano()%int64(5*time.Second)))
			s := h.live(t, "svc:"+greeter)
			s.await(t, time.Second, "the service", func(e *event) bool { return e.kind == "service" })
			s.close()
		}
	})
}

func TestABusThatIsAwayIsToldAndWhatWasThereStays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		s := h.live(t, "services")
		time.Sleep(3 * time.Second)
		b.Stop()
		s.await(t, 2*time.Second, "the link is lost", func(e *event) bool { return e.kind == "link" && e.data.Connected != nil && !*e.data.Connected })
		d := page[Services](t, h, "/services")
		if d.Bus.Connected || d.row(greeter).Name == "" {
			t.Errorf("while the bus is away: %s", show(d))
		}
		b.Start()
		b.Await(t, h.conn, h.gate.Conn)
		seen := len(s.events(t))
		bustest.Eventually(t, 10*time.Second, "the link is back", func() bool {
			for _, e := range s.events(t)[seen:] {
				if e.kind == "link" && e.data.Connected != nil && *e.data.Connected {
					return true
				}
			}
			return page[Services](t, h, "/services").Bus.Connected
		})
		if r := page[Services](t, h, "/services").row(greeter); r.Health == "down" {
			t.Errorf("after the bus is back: %s", show(r))
		}
	})
}

func TestTheChartHasNoHoleWhereNobodyWatched(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		page[Services](t, h, "/services")
		time.Sleep(2 * time.Minute)
		d := page[struct {
			Series struct {
				T   []int64
				RPS []*float64 `json:"rps"`
			}
		}](t, h, "/services")
		holes := 0
		for _, v := range d.Series.RPS {
			if v == nil {
				holes++
			}
		}
		if len(d.Series.T) < 105 || holes > 11 {
			t.Errorf("%d seconds with %d holes", len(d.Series.T), holes)
		}
	})
}
