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

func TestNumbersGrowOldWhileTheBusIsAway(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		time.Sleep(5 * time.Second)
		b.Stop()
		time.Sleep(20 * time.Second)
		d := page[struct {
			Bus struct {
				Age int64 `json:"age_ms"`
			}
		}](t, h, "/services")
		b.Start()
		b.Await(t, h.conn, h.gate.Conn)
		if d.Bus.Age < 15_000 || d.Bus.Age > 40_000 {
			t.Errorf("20 s after the bus was lost the numbers are %d ms old", d.Bus.Age)
		}
	})
}

// A model is what a page makes of its JSON and the deltas after it.
func model(t *testing.T, first Services, s *stream) map[int]*float64 {
	t.Helper()
	rates, seq := make(map[int]*float64), first.Seq
	for _, r := range first.Rows {
		rates[r.ID] = r.Rate
	}
	for _, e := range s.events(t) {
		if e.kind != "services" || e.data.Seq <= seq {
			continue
		}
		if e.data.Prev > seq {
			t.Fatalf("after %d came one after %d", seq, e.data.Prev)
		}
		seq = e.data.Seq
		for _, r := range e.data.Rows {
			rates[r.ID] = r.Rate
		}
		for _, n := range e.data.N {
			rate, _ := n[1].(float64)
			rates[int(n[0].(float64))] = &rate
		}
	}
	return rates
}

func TestAPageAndItsDeltasMakeThePageOfLater(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		s := h.live(t, "services")
		time.Sleep(5 * time.Second)
		s.close() // with the rate 0
		time.Sleep(2 * time.Minute)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		for range 40 {
			if _, err := rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{Name: "John"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)               // all are asked once in this time, while nobody looks
		first := page[Services](t, h, "/services") // with another
		s = h.live(t, fmt.Sprintf("services@%d", first.Seq))
		time.Sleep(5 * time.Second)
		rates := model(t, first, s)
		for _, r := range page[Services](t, h, "/services").Rows {
			if have := rates[r.ID]; r.Rate != nil && (have == nil || *have != *r.Rate) {
				t.Errorf("%s has the rate %v, and the page shows %s", r.Name, *r.Rate, show(have))
			}
		}
	})
}

func TestThePageOfANodeTellsErrorsAndTheLatestCalls(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		srv := h.greet(t)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		call := func(name string) {
			_, _ = rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{Name: name}) // half of them fail
		}
		h.live(t, "services")
		for range 20 {
			call("slow")
		}
		for range 60 {
			call("")
			call("John")
			time.Sleep(100 * time.Millisecond)
		}
		d := page[struct {
			Endpoints []struct {
				Name    string
				Percent *float64 `json:"error_percent"`
				P99     *float64 `json:"p99_ms"`
			}
		}](t, h, "/nodes/"+greeter+"-"+srv.ID())
		for _, e := range d.Endpoints {
			if e.Name != "Say.Hello" {
				continue
			}
			if e.Percent == nil || *e.Percent < 40 || *e.Percent > 60 {
				t.Errorf("half of the calls fail, and the page says %s %%", show(e.Percent))
			}
			if e.P99 == nil || *e.P99 > 100 {
				t.Errorf("the latest calls are quick, and the page says %s ms", show(e.P99))
			}
		}
	})
}

func TestWhatHasGoneIsNoCandidateAndNoEntry(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.greet(t)
		time.Sleep(3 * time.Second)
		page[Services](t, h, "/services")
		if err := s.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if w := h.ask(http.MethodGet, "/registry", "", "Content-Type", "application/json"); strings.Contains(w.Body.String(), greeter) {
			t.Errorf("Micro's registry has a service without nodes: %s", w.Body)
		}
		w := h.ask(http.MethodGet, "/services/"+greeter+"/raw", "", "Accept", "application/json")
		if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "no service") {
			t.Errorf("what a service was that has left: %d %s", w.Code, w.Body)
		}
		w = h.post("/-/terminal", map[string]string{"line": "get service " + greeter})
		if strings.Contains(w.Body.String(), "mean") {
			t.Errorf("the terminal proposes what it has just not found: %s", w.Body)
		}
	})
}

func TestTwoNodesMayHaveTheSameID(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.enter(t, "go.micro.web.one", "node-1", nil)
		leave := h.enter(t, "go.micro.web.two", "node-1", nil)
		time.Sleep(3 * time.Second)
		if w := h.ask(http.MethodGet, "/nodes/node-1", ""); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		leave()
		time.Sleep(8 * time.Second)
		if w := h.ask(http.MethodGet, "/nodes/node-1", "", "Accept", "application/json"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "go.micro.web.one") {
			t.Errorf("the other one has left: %d %.300s", w.Code, w.Body)
		}
	})
}

func TestLinksToNodesLeadThere(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.enter(t, "go.micro.web.app", "app #1?", nil)
		time.Sleep(3 * time.Second)
		d := decode[struct {
			Near []struct{ Path string }
		}](t, h.ask(http.MethodGet, "/nodes/app%20%231", "", "Accept", "application/json").Body.Bytes())
		if len(d.Near) != 1 {
			t.Fatalf("near: %v", d.Near)
		}
		if strings.ContainsAny(d.Near[0].Path, " #?") {
			t.Fatalf("%q is no path", d.Near[0].Path)
		}
		if w := h.ask(http.MethodGet, d.Near[0].Path, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d", d.Near[0].Path, w.Code)
		}
	})
}

func TestTextForTerminalsCannotControlThem(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := rpc.NewServer(h.conn, rpc.ServerConfig{Name: greeter, Version: "1 \x1b]0;evil\a", Logger: h.conn.Logger()})
		rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) { return &HelloResponse{}, nil })
		if err := s.Start(t.Context()); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
		time.Sleep(3 * time.Second)
		for _, path := range []string{"/services", "/services/" + greeter, "/nodes"} {
			w := h.ask(http.MethodGet, path, "")
			if i := strings.IndexFunc(w.Body.String(), func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 }); i >= 0 {
				t.Errorf("%s: %q", path, w.Body.String()[max(0, i-20):])
			}
		}
	})
}

func TestAnAppThatIsNotThereLeavesNoError(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.ask(http.MethodGet, "/", "", "Host", "app.localhost:8082")
		h.enter(t, "go.micro.web.app", "app-1", nil)
		time.Sleep(3 * time.Second)
		w := h.ask(http.MethodGet, "/webapps", "", "Accept", "application/json")
		if d := decode[struct {
			Apps []struct{ Error json.RawMessage }
		}](t, w.Body.Bytes()); len(d.Apps) != 1 || string(d.Apps[0].Error) != "null" {
			t.Errorf("%s", w.Body)
		}
	})
}

func TestAStepOfTheHistoryIsTheMeanOfItsSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		h.live(t, "stats")
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		time.Sleep(10*time.Second - time.Duration(time.Now().UnixNano()%int64(10*time.Second)))
		for range 12 { // a hundred calls at once, and then none for nine seconds
			time.Sleep(4500 * time.Millisecond)
			for range 100 {
				if _, err := rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{Name: "John"}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(5500 * time.Millisecond)
		}
		time.Sleep(1500 * time.Millisecond)
		type rates struct {
			RPS []*float64 `json:"rps"`
		}
		d := page[struct {
			Total    rates
			Services []rates
		}](t, h, "/stats")
		s := page[struct {
			Series    rates
			Endpoints map[string]rates `json:"endpoint_series"`
		}](t, h, "/services/"+greeter+"/stats")
		for what, list := range map[string][]*float64{"total": d.Total.RPS, "service": d.Services[0].RPS, "its page": s.Series.RPS, "method": s.Endpoints["Say.Hello"].RPS} {
			for _, v := range list[len(list)-12:] {
				if v == nil || *v < 8 || *v > 12 {
					t.Errorf("%s: ten calls a second are %s", what, show(list[len(list)-12:]))
					break
				}
			}
		}
	})
}

func TestTheSparkHasASecondForEachPointAlsoWhereNobodyWatched(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		page[Services](t, h, "/services")
		time.Sleep(2 * time.Minute)
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		for range 200 { // for 20 s
			if _, err := rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{Name: "John"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		busy := 0
		spark := page[Services](t, h, "/services").row(greeter).Spark
		for _, v := range spark {
			if rate, ok := v.(float64); ok && rate > 0 {
				busy++
			}
		}
		if busy < 9 || busy > 25 {
			t.Errorf("after 20 s of calls %d of 40 s have some: %v", busy, spark)
		}
	})
}

func TestThePictureOfManyHasWhatIsIll(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		for i := range 700 {
			h.enter(t, fmt.Sprintf("go.micro.web.a%03d", i), "1", nil)
		}
		leave := h.enter(t, "go.micro.web.zulu", "1", nil)
		bustest.Eventually(t, 10*time.Second, "all are there", func() bool { return page[Services](t, h, "/services").Matched == 701 })
		leave()
		time.Sleep(3 * time.Second)
		d := page[struct {
			Nodes  []struct{ Name, Health string }
			Hidden int
		}](t, h, "/topology")
		if len(d.Nodes) != 600 || d.Hidden != 101 || d.Nodes[0].Name != "go.micro.web.zulu" || d.Nodes[0].Health != "down" {
			t.Errorf("%d of them, %d left out, the first is %v", len(d.Nodes), d.Hidden, d.Nodes[0])
		}
	})
}
