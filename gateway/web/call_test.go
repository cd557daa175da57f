package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/web"
)

type Envelope struct {
	OK                               bool
	Failure, Code, End, Detail, Text string
	Status                           int
	Body                             json.RawMessage
	Tried, Near                      []string
}

func TestACallHasAnEnvelopeThatTellsTheFailuresApart(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.greet(t)
		call := func(more map[string]any) Envelope {
			t.Helper()
			asked := map[string]any{"service": greeter, "method": "Say.Hello", "request": map[string]string{"name": "John"}}
			for k, v := range more {
				asked[k] = v
			}
			w := h.post("/-/call", asked)
			if w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return decode[Envelope](t, w.Body.Bytes())
		}
		if e := call(nil); !e.OK || string(e.Body) != `{"msg":"Hello John"}` {
			t.Errorf("a call: %+v", e)
		}
		if e := call(map[string]any{"node": greeter + "-" + s.ID()}); !e.OK {
			t.Errorf("a call of one node: %+v", e)
		}
		for _, on := range []bool{true, false} { // which no other room of the gateway passes on
			e := call(map[string]any{"node": greeter + "-" + s.ID(), "method": "Debug.Drain", "request": map[string]bool{"drain": on}})
			if want := fmt.Sprintf(`{"draining":%v}`, on); !e.OK || string(e.Body) != want {
				t.Errorf("to drain: %+v, want %s", e, want)
			}
			bustest.Eventually(t, time.Second, "the dashboard knows", func() bool { return h.gate.Known(greeter) != on })
		}
		if e := call(map[string]any{"request": map[string]string{}}); e.OK || e.Failure != "service" || e.Status != 400 || e.Code != "invalid_argument" || e.Detail != "name is empty" {
			t.Errorf("the service says no: %+v", e)
		}
		if e := call(map[string]any{"method": "Say.Helo"}); e.Failure != "nobody" || e.End != "nobody" || len(e.Near) != 1 || e.Near[0] != "Say.Hello" {
			t.Errorf("no such method: %+v", e)
		}
		if e := call(map[string]any{"service": "go.micro.srv.gretter"}); e.Failure != "nobody" || len(e.Near) != 1 || e.Near[0] != greeter {
			t.Errorf("no such service: %+v", e)
		}
		if e := call(map[string]any{"request": map[string]string{"name": "slow"}, "timeout_ms": 100}); e.Failure != "nobody" || e.End != "timeout" || len(e.Tried) != 1 {
			t.Errorf("no answer in time: %+v", e)
		}
		if e := call(map[string]any{"service": "not a name"}); e.Failure != "request" || e.Status != 400 {
			t.Errorf("a request that is none: %+v", e)
		}
		if e := call(map[string]any{"headers": map[string]string{"Mbus-Id": "x"}}); e.Failure != "request" {
			t.Errorf("a header of the bus: %+v", e)
		}
		b.Stop()
		if e := call(nil); e.Failure != "bus" || e.End != "broker" {
			t.Errorf("without a bus: %+v", e)
		}
		b.Start()
		b.Await(t, h.conn, h.gate.Conn)
	})
}

func TestTheTerminalTakesTheWordsOfTheCommand(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		for line, want := range map[string]string{
			"help":                   "query SERVICE METHOD [JSON]",
			"list services":          greeter + "\n",
			"mbus list":              greeter + "\n",
			"get service " + greeter: "Endpoint: Say.Hello",
			"health " + greeter:      "\t\tok\n",
			"stats " + greeter:       "started\tuptime\tmemory",
			"query " + greeter + ` Say.Hello {"name": "John"}`:    "{\n\t\"msg\": \"Hello John\"\n}\n",
			"query " + greeter + ` Say.Hello '{"name": "Jo hn"}'`: "Hello Jo hn",
			"": "",
		} {
			w := h.post("/-/terminal", map[string]string{"line": line})
			d := decode[struct {
				OK            bool
				Output, Error string
			}](t, w.Body.Bytes())
			if w.Code != http.StatusOK || !d.OK || !strings.Contains(d.Output, want) {
				t.Errorf("%q: %d %+v", line, w.Code, d)
			}
		}
		for line, want := range map[string]string{
			"get": "usage: get service NAME", "rm -rf /": `no "rm"`, "list; ls": `no "list;"`, "query x": "usage", "health go.micro.srv.gretter": greeter,
			"query " + greeter + " Say.Hello {": "inside quotes or braces", "query " + greeter + " Say.Hello {}": "invalid_argument: name is empty",
		} {
			d := decode[struct {
				OK    bool
				Error string
			}](t, h.post("/-/terminal", map[string]string{"line": line}).Body.Bytes())
			if d.OK || !strings.Contains(d.Error, want) {
				t.Errorf("%q: %+v", line, d)
			}
		}
	})
}

func TestEventsAreShownUpToARateAndTheRestIsCounted(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.live(t, "events:orders.%3E")
		bustest.Eventually(t, 5*time.Second, "the dashboard listens", func() bool {
			for _, subject := range b.Subscriptions(t, h.gate.Conn) {
				if subject == "orders.>" {
					return true
				}
			}
			return false
		})
		for i := range 500 {
			if err := h.conn.Publish(t.Context(), fmt.Sprintf("orders.n%d", i%3), "", nil, []byte(`{"i":1}`)); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.conn.Publish(t.Context(), "users.x", "", nil, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		shown, skipped := 0, 0
		for _, e := range s.events(t) {
			if e.kind == "events" {
				shown += len(e.data.Events)
				skipped += e.data.Skipped
			}
		}
		if shown != 50 || skipped != 450 {
			t.Errorf("%d shown, %d skipped", shown, skipped)
		}
		if err := h.conn.Publish(t.Context(), "orders.raw", "", nil, []byte{0xff, 0}); err != nil {
			t.Fatal(err)
		}
		s.await(t, 2*time.Second, "a binary event", func(e *event) bool {
			return e.kind == "events" && len(e.data.Events) == 1 && e.data.Events[0].Encoding == "base64" && e.data.Events[0].Data == "/wA="
		})
		d := page[struct {
			Subjects []struct{ Name string }
		}](t, h, "/events")
		names := fmt.Sprint(d.Subjects)
		for _, want := range []string{"orders.n0", "orders.raw"} {
			if !strings.Contains(names, want) {
				t.Errorf("%s is not among %s", want, names)
			}
		}
		s.close()
		bustest.Eventually(t, 5*time.Second, "the dashboard stops to listen", func() bool {
			return !strings.Contains(fmt.Sprint(b.Subscriptions(t, h.gate.Conn)), "orders")
		})
	})
}

func TestAnEventIsPublishedByteForByte(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		got := make(chan *nats.Msg, 4)
		sub, err := h.conn.Subscribe(t.Context(), "orders.>", "", bus.Limits{}, func(m *nats.Msg) { got <- m })
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Drain(t.Context()) }()
		w := h.post("/-/publish", map[string]any{"topic": "orders.new", "data": " {\"id\": 1}\n", "headers": map[string]string{"X-Why": "test"}})
		if !strings.Contains(w.Body.String(), `"ok":true`) {
			t.Fatal(w.Body)
		}
		if m := <-got; string(m.Data) != " {\"id\": 1}\n" || m.Header.Get("X-Why") != "test" {
			t.Errorf("%q %v", m.Data, m.Header)
		}
		for _, topic := range []string{"", "mbus.rpc.x", "$SYS.x", "_INBOX.x", "a.*", ">"} {
			w := h.post("/-/publish", map[string]any{"topic": topic, "data": "x"})
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"ok":false`) {
				t.Errorf("topic %q: %d %s", topic, w.Code, w.Body)
			}
		}
	})
}
