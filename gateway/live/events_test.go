package live_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

// publish publishes as any client of the bus does, and returns once the broker
// has it.
func publish(t testing.TB, conn *bus.Conn, topic, body string, header ...string) {
	t.Helper()
	var h nats.Header
	if len(header) == 2 {
		h = nats.Header{header[0]: {header[1]}}
	}
	if err := conn.PublishConfirmed(bustest.Context(t), topic, "", h, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func TestTopicsAreServerSentEvents(t *testing.T) {
	tests := []struct{ topic, body, name, data string }{
		{"user.created", `{"id":1}`, "user.created", `{"id":1}`},
		{"user.gone", "two\nlines\n", "user.gone", "two\nlines\n"},
		{"user.gone", " a space, a colon: and a #", "user.gone", " a space, a colon: and a #"},
		{"user.gone", "", "user.gone", ""},
		{"user.gone", "a\rb", "user.gone base64", "YQ1i"},
		{"user.gone", "a\r\nb", "user.gone base64", "YQ0KYg=="},
		{"user.gone", "\xff\x00", "user.gone base64", "/wA="},
		{"user.gone", "\xed\xa0\x80", "user.gone base64", "7aCA"},
		{"user.gone", "event: end\ndata: x\n\nid: 7", "user.gone", "event: end\ndata: x\n\nid: 7"},
		{"error", "x", "error", "x"},
		{"mbus-like.end", "x", "mbus-like.end", "x"},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("GET", "/events?topic=user.*&topic=error&topic=mbus-like.>&topic=error", "")
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%s, %v", res.Status, res.Header)
		}
		events, other := readSSE(res.Body), b.Conn(t)
		for _, test := range tests {
			publish(t, other, test.topic, test.body)
			if e, err := events.next(); err != nil || e != (sseEvent{"", test.name, test.data}) {
				t.Errorf("%q: %+v, %v", test.body, e, err)
			}
		}
		if events.retry != "2000" || !slices.Contains(events.comments, "listening") {
			t.Errorf("retry %q, comments %q", events.retry, events.comments)
		}
	})
}

func TestWhoComesBackToATopicIsToldThatNothingIsRepeated(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		events := readSSE(r.do("GET", "/events?topic=a", "", "Last-Event-ID", "17").Body)
		publish(t, r.conn, "a", "x")
		if _, err := events.next(); err != nil || !strings.Contains(events.comments[0], "not repeated") {
			t.Errorf("%v, comments %q", err, events.comments)
		}
	})
}

func TestTopicsAreLinesAndFramesOfJSON(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("GET", "/events?topic=a&topic=b.>", "", "Accept", "application/x-ndjson")
		if got := res.Header.Get("Content-Type"); got != "application/x-ndjson" {
			t.Fatalf("Content-Type %q", got)
		}
		s := r.raw("/events?topic=a&topic=b.>")
		want := []string{
			`{"topic":"a","data":"{\"id\":\r\n1}"}`,
			`{"topic":"b.c.d","data":"gf8=","encoding":"base64","content_type":"application/msgpack"}`,
		}
		publish(t, r.conn, "a", "{\"id\":\r\n1}")
		for i, w := range want {
			if i == 1 {
				publish(t, r.conn, "b.c.d", "\x81\xff", "Content-Type", "application/msgpack")
			}
			line := make([]byte, len(w)+1)
			if _, err := io.ReadFull(res.Body, line); err != nil || string(line) != w+"\n" {
				t.Errorf("got %s, %v", line, err)
			}
			if got := s.must(); got != "text "+w {
				t.Errorf("got %s", got)
			}
		}
		s.text("hello")
		if got := fmt.Sprint(s.rest()); got != "[close 1008 this socket only sends]" {
			t.Errorf("got %s", got)
		}
	})
}

func TestTopicsThatAreNobodysAreRefused(t *testing.T) {
	many := strings.Repeat("topic=a&", 1) + func() string {
		var b strings.Builder
		for i := range 17 {
			fmt.Fprintf(&b, "topic=t%d&", i)
		}
		return b.String()
	}()
	tests := []struct{ query, reason string }{
		{"", "no topic"},
		{"topic=", "no topic"},
		{"topic=mbus.rpc.x", "reserved"},
		{"topic=mbus", "reserved"},
		{"topic=$SYS.>", "reserved"},
		{"topic=$JS.API.INFO", "reserved"},
		{"topic=_INBOX.x", "reserved"},
		{"topic=*", "wildcard"},
		{"topic=>", "wildcard"},
		{"topic=*.a", "wildcard"},
		{"topic=a.>.b", "last token"},
		{"topic=a..b", "empty token"},
		{"topic=a%20b", "space"},
		{"topic=a%0d%0aPUB", "space"},
		{"topic=%ff", "UTF-8"},
		{"topic=" + strings.Repeat("x", 256), "255"},
		{"topic=a&topic=>", "wildcard"},
		{many, "topics"},
		{"topic=a&queue=b%20c", "queue"},
		{"topic=a&queue=b%0d", "queue"},
		{"topic=a&queue=" + strings.Repeat("x", 129), "queue"},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		before := len(b.Subscriptions(t, r.conn))
		for _, test := range tests {
			for _, do := range []string{"GET", "POST", "WS", "BROKER"} {
				method, path := do, "/events?"
				var header []string
				switch {
				case do == "BROKER":
					path = "/broker?"
					fallthrough
				case do == "WS":
					method = "GET"
					header = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
				}
				if do == "POST" && strings.Contains(test.query, "queue") || do == "BROKER" && (test.reason == "no topic" || strings.Count(test.query, "topic=") > 1) {
					continue
				}
				res := r.do(method, path+test.query, "x", header...)
				var f gateway.Failure
				if err := json.Unmarshal([]byte(text(t, res)), &f); err != nil || res.StatusCode != http.StatusBadRequest || f.Reason != "invalid_argument" {
					t.Errorf("%s %s: %s %+v, %v", do, test.query, res.Status, f, err)
				}
				if do != "POST" && !strings.Contains(f.Detail, test.reason) {
					t.Errorf("%s %s: %q does not say %q", do, test.query, f.Detail, test.reason)
				}
			}
		}
		if after := len(b.Subscriptions(t, r.conn)); after != before || r.live.Count() != 0 {
			t.Errorf("%d subscriptions, %d before; %d conversations", after, before, r.live.Count())
		}
	})
}

func TestAPublishedBodyIsTheEvent(t *testing.T) {
	tests := []struct{ kind, body, header string }{
		{"", "", ""},
		{"application/json", ` {"a": 1} `, ""},
		{"application/x-www-form-urlencoded", `{"a":1}`, ""},
		{"text/plain", "hello", ""},
		{"application/msgpack", "\x81\xa1a\x01", "application/msgpack"},
		{"application/octet-stream", "\x00\xff\r\n", "application/octet-stream"},
		{"application/json", strings.Repeat("x", 1000), ""},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b, func(c *live.Config) { c.MaxMessage = 1000 })
		got := make(chan *nats.Msg, 1)
		sub, err := b.Conn(t).NATS().ChanSubscribe("user.created", got)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		time.Sleep(time.Second)
		for _, test := range tests {
			res := r.do("POST", "/events?topic=user.created", test.body, "Content-Type", test.kind)
			if answer := text(t, res); res.StatusCode != http.StatusAccepted || answer != "" {
				t.Fatalf("%q: %s %s", test.kind, res.Status, answer)
			}
			if m := <-got; string(m.Data) != test.body || m.Header.Get("Content-Type") != test.header || len(m.Header) > 1 {
				t.Errorf("%q: %q %v", test.kind, m.Data, m.Header)
			}
		}
		refused := []struct {
			method, query, body string
			status              int
		}{
			{"POST", "topic=user.created", strings.Repeat("x", 1001), 413},
			{"POST", "topic=user.*", "x", 400},
			{"POST", "topic=a&topic=b", "x", 400},
			{"PUT", "topic=user.created", "x", 405},
			{"DELETE", "topic=user.created", "", 405},
			{"HEAD", "topic=user.created", "", 405},
		}
		for _, test := range refused {
			res := r.do(test.method, "/events?"+test.query, test.body)
			if res.StatusCode != test.status || test.status == 405 && res.Header.Get("Allow") != "GET, POST" {
				t.Errorf("%s %s: %s, Allow %q", test.method, test.query, res.Status, res.Header.Get("Allow"))
			}
		}
		select {
		case m := <-got:
			t.Errorf("%q was published", m.Data)
		case <-time.After(time.Second):
		}
	})
}

func TestEachEventGoesToOneMemberOfAQueue(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		count := make(chan string, 100)
		for range 2 {
			events := readSSE(r.do("GET", "/events?topic=a&queue=q", "").Body)
			go func() {
				for {
					e, err := events.next()
					if err != nil || e.name != "a" {
						return
					}
					count <- e.data
				}
			}()
		}
		for i := range 20 {
			publish(t, r.conn, "a", fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		if len(count) != 20 {
			t.Errorf("%d events came", len(count))
		}
	})
}

func TestAReaderOfATopicThatStopsLosesItsConnectionAndNothingElse(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		const n = 3000
		res := r.do("GET", "/events?topic=a", "")
		s := r.raw("/events?topic=a")
		other := b.Conn(t)
		for i := range n {
			publish(t, other, "a", fmt.Sprint(i))
		}
		events, next := readSSE(res.Body), 0
		for {
			e, err := events.next()
			if err != nil {
				t.Fatal(err)
			}
			if e.name == "mbus.lost" {
				if e.data != `{"reason":"slow"}` {
					t.Errorf("%+v", e)
				}
				break
			}
			if e.data != fmt.Sprint(next) {
				t.Fatalf("%d came as %+v", next, e)
			}
			next++
		}
		if next < 1024 || next > 1024+256 {
			t.Errorf("%d events came before the gap", next)
		}
		if _, err := events.next(); err == nil {
			t.Error("more came after the gap")
		}
		all := s.rest()
		for i, got := range all[:len(all)-1] {
			if want := fmt.Sprintf(`text {"topic":"a","data":"%d"}`, i); got != want {
				t.Fatalf("%d came as %s", i, got)
			}
		}
		if last := all[len(all)-1]; last != "close 1013 lost" || len(all) < 1024 || len(all) > 1024+256 {
			t.Errorf("%d frames, the last is %q", len(all), last)
		}
		r.idle(time.Second)
	})
}

func TestTheQueueOfAReaderIsBoundedInBytes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("GET", "/events?topic=a", "")
		body := strings.Repeat("x", 512<<10)
		for range 20 {
			publish(t, r.conn, "a", body)
		}
		events, got := readSSE(res.Body), 0
		for {
			e, err := events.next()
			if err != nil {
				t.Fatal(err)
			}
			if e.name != "a" {
				break
			}
			got++
		}
		if got < 7 || got > 9 { // 4 MiB, and one under way
			t.Errorf("%d events of half a MiB came", got)
		}
	})
}

func TestReadersOfATopicThatTakeNothingAreCutOff(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		r.do("GET", "/events?topic=a", "")
		r.raw("/events?topic=a")
		body := strings.Repeat("x", 100<<10)
		for range 3 {
			publish(t, r.conn, "a", body)
		}
		time.Sleep(29 * time.Second)
		if r.live.Count() != 2 {
			t.Errorf("%d conversations after 29 s", r.live.Count())
		}
		r.idle(10 * time.Second)
	})
}

func TestAGapMadeByTheBrokerIsTold(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		events := readSSE(r.do("GET", "/events?topic=a", "").Body)
		s := r.raw("/events?topic=a")
		b.Restart()
		b.Await(t, r.conn)
		publish(t, r.conn, "a", "x")
		for _, want := range []sseEvent{{"", "mbus.gap", `{"reason":"broker"}`}, {"", "a", "x"}} {
			if e, err := events.next(); err != nil || e != want {
				t.Errorf("got %+v, %v; want %+v", e, err, want)
			}
		}
		for _, want := range []string{`text {"gap":{"reason":"broker"}}`, `text {"topic":"a","data":"x"}`} {
			if got := s.must(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

func TestATopicWithoutABrokerIsRefusedAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		b.Stop()
		bustest.Eventually(t, time.Second, "the connection notices", func() bool { return !r.conn.Connected() })
		start := time.Now()
		res := r.do("GET", "/events?topic=a", "")
		body := text(t, res)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || res.Header.Get(gateway.HeaderEnd) != "broker" || !strings.Contains(body, "the broker is away") {
			t.Errorf("got %s %v %s", res.Status, res.Header, body)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		b.Start()
		b.Await(t, r.conn)
		res = r.do("GET", "/events?topic=a", "")
		if res.StatusCode != http.StatusOK {
			t.Errorf("with a broker again: %s", res.Status)
		}
		_ = res.Body.Close()
		r.idle(time.Second)
	})
}

func TestReadersOfATopicAreToldOfTheEnd(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		events := readSSE(r.do("GET", "/events?topic=a", "").Body)
		lines := r.do("GET", "/events?topic=a", "", "Accept", "application/x-ndjson")
		go func() { _ = r.live.Stop(bustest.Context(t)) }()
		if e, err := events.next(); err != nil || e != (sseEvent{"", "mbus.end", `{"reason":"shutdown"}`}) {
			t.Errorf("%+v, %v", e, err)
		}
		if got := text(t, lines); got != "{\"end\":{\"reason\":\"shutdown\"}}\n" {
			t.Errorf("%q", got)
		}
		r.idle(time.Second)
	})
}

func TestATopicIsPingedEveryFifteenSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		events := readSSE(r.do("GET", "/events?topic=a", "").Body)
		time.AfterFunc(46*time.Second, func() { _ = r.conn.Publish(t.Context(), "a", "", nil, []byte("x")) })
		if _, err := events.next(); err != nil || len(events.comments) != 4 {
			t.Errorf("%v, comments %q", err, events.comments)
		}
	})
}

func TestMicrosBrokerSpeaksInItsFrames(t *testing.T) {
	frame := func(header, body string) string {
		return fmt.Sprintf(`text {"Header":{%s},"Body":"%s"}`, header, base64.StdEncoding.EncodeToString([]byte(body)))
	}
	plain := `"Content-Type":"text/plain"`
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s, typed := r.raw("/broker?topic=user.created"), r.raw("/broker?topic=user.created", "Content-Type: text/csv\r\n")
		tests := []struct {
			from       *rawSocket
			first      byte
			body, want string
		}{
			{s, fin | opText, `{"id":1}`, frame("", `{"id":1}`)},
			{s, fin | opText, "hello", frame(plain, "hello")},
			{s, fin | opBinary, "\x00\xff", frame(plain, "\x00\xff")},
			{s, fin | opText, "\xff", frame(plain, "\xff")},
			{s, fin | opText, "", frame(plain, "")},
			{typed, fin | opText, `{"id":1}`, frame(`"Content-Type":"text/csv"`, `{"id":1}`)},
			{typed, fin | opText, strings.Repeat("x", 16384), frame(`"Content-Type":"text/csv"`, strings.Repeat("x", 16384))},
			{nil, 0, `{"id":2}`, frame("", `{"id":2}`)},
		}
		for _, test := range tests {
			if test.from == nil {
				publish(t, b.Conn(t), "user.created", test.body, "Nats-Secret", "x")
			} else {
				test.from.write(masked(test.first, test.body))
			}
			for _, to := range []*rawSocket{s, typed} { // to oneself, too
				if got := to.must(); got != test.want {
					t.Errorf("%.50q: got %.200s, want %.200s", test.body, got, test.want)
				}
			}
		}
		s.write(masked(fin|opText, strings.Repeat("x", 16385)))
		if got := fmt.Sprint(s.rest()); !strings.HasPrefix(got, "[close 1009") {
			t.Errorf("got %.200s", got)
		}
		wild := r.raw("/broker?topic=user.*")
		publish(t, r.conn, "user.gone", "1")
		if got := wild.must(); got != frame("", "1") {
			t.Errorf("got %s", got)
		}
		wild.text("1")
		if all := wild.rest(); len(all) != 2 || all[1] != "close 4400 invalid_argument" {
			t.Errorf("got %q", all)
		}
	})
}

func TestMicrosBrokerRefusesInItsWords(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		tests := []struct {
			method, query string
			status        int
			text          string
		}{
			{"GET", "", 400, "Topic not specified\n"},
			{"GET", "?topic=", 400, "Topic not specified\n"},
			{"GET", "?queue=q", 400, "Topic not specified\n"},
			{"POST", "?topic=a", 405, "Method not allowed\n"},
			{"DELETE", "", 405, "Method not allowed\n"},
		}
		for _, test := range tests {
			res := r.do(test.method, "/broker"+test.query, "")
			if got := text(t, res); res.StatusCode != test.status || got != test.text {
				t.Errorf("%s %s: %d %q", test.method, test.query, res.StatusCode, got)
			}
		}
	})
}

func TestMicrosBrokerPingsAndWaitsForPongs(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s := r.raw("/broker?topic=a")
		s.pong = false
		start := time.Now()
		time.AfterFunc(50*time.Second, func() { s.text("what it sends is no pong") })
		var got []string
		for range 3 {
			got = append(got, fmt.Sprintf("%.10s %v", s.must(), time.Since(start).Round(time.Second)))
		}
		if want := "[text {\"Hea 50s ping 54s close 1008 1m0s]"; fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
		_ = s.conn.Close()

		s = r.raw("/broker?topic=a")
		time.AfterFunc(5*time.Minute, func() { s.text("1") })
		if got := s.must(); !strings.HasPrefix(got, "text") {
			t.Errorf("got %s", got)
		}
		_ = s.conn.Close()
		r.idle(10 * time.Second)
	})
}

func TestMicrosBrokerCutsOffReadersAfterTenSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		r.raw("/broker?topic=a")
		publish(t, r.conn, "a", strings.Repeat("x", 100<<10))
		time.Sleep(9 * time.Second)
		if r.live.Count() != 1 {
			t.Errorf("%d conversations after 9 s", r.live.Count())
		}
		r.idle(7 * time.Second) // and five for the close
	})
}
