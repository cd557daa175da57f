package live_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
)

const (
	chat     = "/ws/" + lab + "/Lab.Chat"
	speaking = "Sec-WebSocket-Protocol: "
)

// end is what comes behind n echoes.
func end(n int) []string {
	return []string{"text ", fmt.Sprintf(`text {"trailer":{"count":"%d"}}`, n), "close 1000"}
}

func TestAServerStreamGoesOverAWebSocket(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s := r.raw(`/stream/Lab.Count?q={"n":2}`)
		if got, want := fmt.Sprint(s.rest()), `[text {"i":0} text {"i":1} close 1000]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// Its request may come in a frame, too.
		s = r.raw("/ws/" + lab + "/Lab.Count")
		s.text(`{"n":1}`)
		if got, want := fmt.Sprint(s.rest()), `[text {"i":0} close 1000]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		r.idle(time.Second)
	})
}

func TestAClientStreamGoesOverAWebSocket(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newRoom(t, b).raw("/upload/Lab.Sum")
		for _, text := range []string{`{"i":1}`, `{"i":2}`, ""} {
			s.text(text)
		}
		if got, want := fmt.Sprint(s.rest()), `[text {"i":3} close 1000]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestAFailureOfAWebSocketIsItsLastTextAndItsCode(t *testing.T) {
	tests := []struct{ path, send, code, detail string }{
		{"/ws/" + lab + "/Lab.Nothing", "", "close 4404 not_found", "Lab.Nothing"},
		{"/ws/go.micro.srv.nobody/Lab.Chat", "", "close 4404 not_found", "go.micro.srv.nobody"},
		{`/stream/Lab.Count?q={"fail":"first"}`, "", "close 4400 invalid_argument", "n is wrong"},
		{`/stream/Lab.Count?q={"n":1,"every":60000}`, `{"n":1}`, "close 4400 invalid_argument", "takes no messages"},
		{chat, m("fail"), "close 4409 conflict", "you asked for it"},
		{"/ws/" + lab + "/Lab.Stuck", "", "", ""},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, test := range tests {
			s := r.raw(test.path)
			if test.code == "" { // two ends of messages are one, a message after it is wrong
				s.text("")
				s.text("")
				s.text(m("more"))
				test.code, test.detail = "close 4400 invalid_argument", "the end of them"
			}
			if test.send != "" {
				s.text(test.send)
			}
			all := s.rest()
			if len(all) < 2 || all[len(all)-1] != test.code || !strings.Contains(all[len(all)-2], test.detail) {
				t.Errorf("%s: %q, want %q and %q", test.path, all, test.detail, test.code)
			}
		}
		r.idle(time.Second)
	})
}

func TestTheSubprotocolDecidesWhichFramesThereAre(t *testing.T) {
	packed := "\x81\xa4text\xa2ok"
	text, binary := masked(fin|opText, m("ok")), masked(fin|opBinary, packed)
	tests := []struct {
		header, chosen string
		send           []byte
		want           string
	}{
		{"", "", text, `text {"text":"ok"}`},
		{"", "", binary, "binary 81a474657874a26f6b"},
		{"", "", join(binary, text), "binary 81a474657874a26f6b"},
		{speaking + "mbus.json\r\n", "mbus.json", text, `text {"text":"ok"}`},
		{speaking + "mbus.json\r\n", "mbus.json", binary, "close 1003 binary frames carry msgpack; this socket is mbus.json"},
		{speaking + "mbus.msgpack\r\n", "mbus.msgpack", binary, "binary 81a474657874a26f6b"},
		{speaking + "mbus.msgpack\r\n", "mbus.msgpack", text, "close 1003 text frames carry JSON; this socket is mbus.msgpack"},
		{speaking + "other, mbus.msgpack\r\n", "mbus.msgpack", binary, "binary 81a474657874a26f6b"},
		{speaking + "MBUS.JSON\r\n", "MBUS.JSON", binary, "close 1003 binary frames carry msgpack; this socket is mbus.json"},
		{speaking + "other\r\n", "", text, `text {"text":"ok"}`},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for i, test := range tests {
			s := r.raw(chat, test.header)
			if i == 2 { // one after another: the answer has the kind of the question
				s.write(binary)
				if got := s.must(); got != test.want {
					t.Errorf("got %q", got)
				}
				s.write(text)
				test.want = `text {"text":"ok"}`
			} else {
				s.write(test.send)
			}
			if got := s.must(); got != test.want {
				t.Errorf("%q: got %q, want %q", test.header, got, test.want)
			}
			s.write(closingFrame(1000, ""))
			s.rest()
		}
		s := r.raw(`/stream/Lab.Odd?q={"text":"bytes"}`, speaking+"mbus.msgpack\r\n")
		if got, want := fmt.Sprint(s.rest()), "[binary c4030001ff close 1000]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		s = r.raw(`/stream/Lab.Odd?q={"text":"lines"}`, speaking+"mbus.msgpack\r\n")
		if got, want := fmt.Sprint(s.rest()), "[binary 81a169cfab54a98ceb1f0ad2 close 1000]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestAWebSocketThatGoesCancelsTheCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, goes := range []func(*rawSocket){
			func(s *rawSocket) { s.write(closingFrame(1001, "")) },
			func(s *rawSocket) { _ = s.conn.Close() },
		} {
			s := r.raw(`/stream/Lab.Count?q={"n":9,"every":60000}`)
			s.must()
			goes(s)
			go s.rest()
			r.idle(50 * time.Millisecond)
		}
	})
}

func TestAWebSocketIsPingedAndGivenUpWithoutPongs(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s := r.raw(chat)
		s.pong = false
		start := time.Now()
		var got []string
		for len(got) < 4 {
			got = append(got, fmt.Sprint(s.must(), " ", time.Since(start).Round(time.Second)))
		}
		if want := "[ping 20s ping 40s ping 1m0s close 1008 no pong 1m0s]"; fmt.Sprint(got) != want && fmt.Sprint(got) != "[ping 20s ping 40s close 1008 no pong 1m0s]" {
			t.Errorf("got %v, want %s", got, want)
		}
		_ = s.conn.Close()
		r.idle(10 * time.Second)
	})
}

func TestAnIdleWebSocketThatPongsStays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s := r.raw(chat)
		time.AfterFunc(5*time.Minute, func() { s.text(m("still here")) })
		if got := s.must(); got != `text {"text":"still here"}` {
			t.Errorf("got %q", got)
		}
		_ = s.conn.Close()
		r.idle(time.Second)
	})
}

func TestAWebSocketWaitsForAServiceThatIsSlow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s := r.raw("/ws/" + lab + "/Lab.Late")
		const n = 300
		sent := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			for i := range n {
				// A pipe takes nothing that is not read: the deadline is far off.
				if !s.slowly(masked(fin|opText, fmt.Sprintf(`{"text":"%d %s"}`, i, strings.Repeat("x", 8192)))) {
					break
				}
			}
			s.text("")
			sent <- time.Since(start)
		}()
		for i := range n {
			if got, want := s.must(), fmt.Sprintf(`text {"text":"%d `, i); !strings.HasPrefix(got, want) {
				t.Fatalf("%d: got %.40q", i, got)
			}
		}
		for _, want := range end(n) {
			if got := s.must(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if took := <-sent; took < 3*time.Minute {
			t.Errorf("the gateway took everything in %v", took)
		}
		_ = s.conn.Close()
		r.idle(time.Second)
	})
}

func TestAWebSocketThatVanishesWhileTheServiceTakesNothingIsNoticed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		s := r.raw("/ws/" + lab + "/Lab.Stuck")
		_ = s.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		line := masked(fin|opText, m(strings.Repeat("x", 8192)))
		n := 0
		for ; n < 10_000; n++ {
			if _, err := s.conn.Write(line); err != nil {
				break
			}
		}
		if n < 64 || n > 1<<20/8192+16 {
			t.Errorf("%d messages were taken from the client", n)
		}
		_ = s.conn.Close()
		r.idle(40 * time.Second)
	})
}

func TestAWebSocketThatIsNotReadCostsTheWindowAndIsCutOff(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		r.raw(`/stream/Lab.Count?q={"n":100000,"pad":8192}`)
		time.Sleep(20 * time.Second)
		taken := r.lab.sent.Load()
		if taken < 64 || taken > 1<<20/8192+16 {
			t.Errorf("%d messages were taken from the service", taken)
		}
		if r.live.Count() != 1 {
			t.Errorf("%d conversations", r.live.Count())
		}
		time.Sleep(11 * time.Second)
		if now := r.lab.sent.Load(); now != taken {
			t.Errorf("later %d messages were taken", now)
		}
		r.idle(10 * time.Second)
	})
}

func TestStopClosesWebSockets(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		sockets := []*rawSocket{r.raw(chat), r.raw("/events?topic=a"), r.raw("/broker?topic=a")}
		stopped := make(chan error, 1)
		go func() { stopped <- r.live.Stop(bustest.Context(t)) }()
		for _, s := range sockets {
			if got := fmt.Sprint(s.rest()); got != "[close 1001 shutdown]" {
				t.Errorf("got %s", got)
			}
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		r.idle(50 * time.Millisecond)
	})
}

func TestStopTakesFiveSecondsForThoseWhoDoNotListen(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		r.raw(`/stream/Lab.Count?q={"n":100000,"pad":8192}`)
		r.raw("/events?topic=a")
		r.do("GET", "/events?topic=a", "")
		r.do("POST", "/stream/Lab.Count", `{"n":100000,"pad":8192}`)
		r.do("POST", "/stream/Lab.Stuck", `{"text":"`+strings.Repeat("x", 2<<20)+`"}`) // waits to be sent
		publish(t, r.conn, "a", strings.Repeat("x", 100<<10))
		time.Sleep(10 * time.Second)
		start := time.Now()
		if err := r.live.Stop(bustest.Context(t)); err != nil || time.Since(start).Round(time.Second) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		r.idle(time.Second)
	})
}

func TestStopCutsOffAWebSocketThatDoesNotAnswer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		r.raw(`/stream/Lab.Count?q={"n":100000,"pad":8192}`)
		r.raw(chat)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := r.live.Stop(ctx); err == nil || time.Since(start).Round(time.Second) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// slowly writes without a deadline.
func (s *rawSocket) slowly(p []byte) bool {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	_ = s.conn.SetWriteDeadline(time.Time{})
	_, err := s.conn.Write(p)
	return err == nil
}
