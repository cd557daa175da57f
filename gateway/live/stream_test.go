package live_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/rpc"
)

func TestAServerStreamIsNDJSONForThoseWhoDoNotSay(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, accept := range []string{"", "*/*", "application/x-ndjson", "text/html, */*;q=0.1", "text/event-stream;q=0.2, application/x-ndjson"} {
			res := r.do("POST", "/stream/Lab.Count", `{"n":3}`, "Accept", accept)
			if got := text(t, res); res.StatusCode != http.StatusOK || got != "{\"i\":0}\n{\"i\":1}\n{\"i\":2}\n" {
				t.Errorf("Accept %q: %d %q", accept, res.StatusCode, got)
			}
			if got := res.Header.Get("Content-Type"); got != "application/x-ndjson" {
				t.Errorf("Accept %q: Content-Type %q", accept, got)
			}
			if got := res.Trailer.Get("Mbus-End"); got != "ok" {
				t.Errorf("Accept %q: Mbus-End %q", accept, got)
			}
		}
	})
}

func TestAServerStreamIsServerSentEventsForThoseWhoAcceptThem(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("POST", "/stream/Lab.Count", `{"n":2}`, "Accept", "text/event-stream")
		if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("Content-Type %q", got)
		}
		want := "retry: 2000\n\nid: 1\ndata: {\"i\":0}\n\nid: 2\ndata: {\"i\":1}\n\nevent: end\ndata: {\"reason\":\"done\"}\n\n"
		if got := text(t, res); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestWhatAServiceSendsHasOneFormInJSON(t *testing.T) {
	tests := []struct{ name, want, end string }{
		{"bytes", "\"AAH/\"\n", "ok"},
		{"empty", "null\n", "ok"},
		{"lines", "{\"i\":12345678901234567890}\n", "ok"},
		{"msgpack", "{\"i\":7}\n", "ok"},
		{"error", "{\"error\":{\"code\":404}}\n", "ok"},
		{"trailer", "", "ok"},
		{"text", "500 data_loss", ""},
		{"protobuf", "501 unimplemented", ""},
		{"nothing", "404 not_found", ""},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, test := range tests {
			res := r.do("POST", "/stream/Lab.Odd", fmt.Sprintf(`{"text":%q}`, test.name))
			got := text(t, res)
			if res.StatusCode != http.StatusOK {
				var f gateway.Failure
				if err := json.Unmarshal([]byte(got), &f); err != nil {
					t.Fatal(err)
				}
				got = fmt.Sprint(res.StatusCode, " ", f.Reason)
			}
			if got != test.want || res.Trailer.Get("Mbus-End") != test.end {
				t.Errorf("%s: %q and Mbus-End %q, want %q and %q", test.name, got, res.Trailer.Get("Mbus-End"), test.want, test.end)
			}
			if test.name == "trailer" && (res.Trailer.Get("rows") != "3" || res.Trailer.Get("X-Mbus-Secret") != "") {
				t.Errorf("the trailer is %v", res.Trailer)
			}
		}
		res := r.do("POST", "/stream/Lab.Odd", `{"text":"trailer"}`, "Accept", "text/event-stream")
		if got, want := text(t, res), "retry: 2000\n\nevent: end\ndata: {\"reason\":\"done\",\"trailer\":{\"rows\":\"3\"}}\n\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAFailureBeforeTheFirstMessageIsAStatus(t *testing.T) {
	tests := []struct {
		method, accept string
		status         int
		reason, end    string
	}{
		{"Lab.Count", "", 400, "invalid_argument", "handler"},
		{"Lab.Count", "text/event-stream", 400, "invalid_argument", "handler"},
		{"Lab.Nothing", "", 404, "not_found", "nobody"},
		{"Lab.Count", "application/json", 406, "invalid_argument", ""},
		{"Lab.Count", "text/event-stream;q=0", 406, "invalid_argument", ""},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, test := range tests {
			res := r.do("POST", "/stream/"+test.method, `{"fail":"first"}`, "Accept", test.accept)
			var f gateway.Failure
			if err := json.Unmarshal([]byte(text(t, res)), &f); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.status || f.Reason != test.reason || res.Header.Get("Mbus-End") != test.end {
				t.Errorf("%s, %q: %d %s, Mbus-End %q; want %d %s, %q", test.method, test.accept,
					res.StatusCode, f.Reason, res.Header.Get("Mbus-End"), test.status, test.reason, test.end)
			}
		}
	})
}

func TestAFailureAfterTheFirstMessageIsTheLastOne(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("POST", "/stream/Lab.Count", `{"n":1,"fail":"last"}`)
		first, rest, _ := strings.Cut(text(t, res), "\n")
		var last struct{ Error gateway.Failure }
		if err := json.Unmarshal([]byte(rest), &last); err != nil {
			t.Fatal(err)
		}
		f := last.Error
		if first != `{"i":0}` || f.Code != 409 || f.Reason != "conflict" || f.ID != lab+".Lab.Count" || string(f.Data) != `{"why":"test"}` {
			t.Errorf("%s, then %+v", first, f)
		}
		if got := res.Trailer.Get("Mbus-End"); got != "handler" {
			t.Errorf("Mbus-End %q", got)
		}

		events := readSSE(r.do("POST", "/stream/Lab.Count", `{"n":1,"fail":"last"}`, "Accept", "text/event-stream").Body)
		if e, err := events.next(); err != nil || e != (sseEvent{"1", "", `{"i":0}`}) {
			t.Errorf("%+v, %v", e, err)
		}
		e, err := events.next()
		if err != nil || e.name != "error" || json.Unmarshal([]byte(e.data), &f) != nil || f.Code != 409 {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err := events.next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %+v, %v", e, err)
		}
	})
}

func TestAQuietStreamIsPingedEveryFifteenSeconds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		start := time.Now()
		events := readSSE(r.do("POST", "/stream/Lab.Count", `{"n":2,"every":47000}`, "Accept", "text/event-stream").Body)
		for range 2 {
			if _, err := events.next(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start).Round(time.Second); took != 47*time.Second || len(events.comments) != 3 || events.retry != "2000" {
			t.Errorf("after %v the comments are %q, the retry is %q", took, events.comments, events.retry)
		}
	})
}

func TestTheHeadOfAQuietStreamComesSoon(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		start := time.Now()
		r.do("POST", "/stream/Lab.Stuck", `{}`)
		if took := time.Since(start).Round(100 * time.Millisecond); took != 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAnEventSourceThatComesBackDoesNotCallAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("GET", "/stream/Lab.Count?q={}", "", "Accept", "text/event-stream", "Last-Event-ID", "17")
		if res.StatusCode != http.StatusNoContent || r.lab.calls.Load() != 0 {
			t.Errorf("%d after %d calls", res.StatusCode, r.lab.calls.Load())
		}
	})
}

func TestAClientThatGoesCancelsTheCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, accept := range []string{"application/x-ndjson", "text/event-stream"} {
			ctx, cancel := context.WithCancel(bustest.Context(t))
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, `http://mbus/stream/Lab.Count?q={"n":9,"every":60000}`, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			res, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = bufio.NewReader(res.Body).ReadString('\n')
			cancel()
			_ = res.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			r.idle(50 * time.Millisecond)
		}
	})
}

func TestAReaderThatStopsCostsNoMoreThanTheWindow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		// Messages of 8 KiB: the window is a megabyte, of which half is granted anew.
		res := r.do("POST", "/stream/Lab.Count", `{"n":100000,"pad":8192}`)
		line, err := bufio.NewReaderSize(res.Body, 16).ReadString('\n')
		if err != nil || len(line) < 8192 {
			t.Fatalf("%q, %v", line, err)
		}
		time.Sleep(20 * time.Second)
		taken := r.lab.sent.Load()
		if taken < 64 || taken > 1<<20/8192+16 {
			t.Errorf("%d messages were taken from the service", taken)
		}
		time.Sleep(9 * time.Second)
		if now := r.lab.sent.Load(); now != taken || r.live.Count() != 1 {
			t.Errorf("later %d messages were taken, and %d conversations are left", now, r.live.Count())
		}
		time.Sleep(2 * time.Second)
		r.idle(time.Second) // 30 s are over
	})
}

func TestAReaderThatIsSlowStays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("POST", "/stream/Lab.Count", `{"n":1,"pad":40960}`)
		body, got := make([]byte, 8192), 0
		for {
			n, err := io.ReadFull(res.Body, body)
			got += n
			if err != nil {
				break
			}
			time.Sleep(10 * time.Second) // 16 KiB in 20 s, of 30 s
		}
		if want := len(`{"i":0,"pad":""}`) + 40960 + 1; got != want {
			t.Errorf("%d bytes came, want %d", got, want)
		}
	})
}

func TestStopTellsStreamsAndWaitsForThem(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		lines := r.do("POST", "/stream/Lab.Count", `{"n":9,"every":60000}`)
		events := readSSE(r.do("POST", "/stream/Lab.Count", `{"n":9,"every":60000}`, "Accept", "text/event-stream").Body)
		if r.live.Count() != 2 {
			t.Fatalf("%d conversations", r.live.Count())
		}
		stopped := make(chan error, 1)
		go func() { stopped <- r.live.Stop(bustest.Context(t)) }()
		_, last, _ := strings.Cut(text(t, lines), "\n")
		var f struct{ Error gateway.Failure }
		if err := json.Unmarshal([]byte(last), &f); err != nil || f.Error.Code != 503 || lines.Trailer.Get("Mbus-End") != "refused" {
			t.Errorf("the last line is %q (%v), Mbus-End %q", last, err, lines.Trailer.Get("Mbus-End"))
		}
		if e, err := events.next(); err != nil || e.id != "1" {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err := events.next(); err != nil || e != (sseEvent{"", "end", `{"reason":"shutdown"}`}) {
			t.Errorf("%+v, %v", e, err)
		}
		if err := <-stopped; err != nil || r.live.Count() != 0 {
			t.Errorf("%v, and %d conversations are left", err, r.live.Count())
		}
		r.idle(50 * time.Millisecond)
		res := r.do("POST", "/stream/Lab.Count", `{"n":1}`)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("after the stop: %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
		}
	})
}

func TestStopCutsOffThoseWhoDoNotListen(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		r.do("POST", "/stream/Lab.Count", `{"n":100000,"pad":8192}`) // and never read
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := r.live.Stop(ctx)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took.Round(time.Second) != 3*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if r.live.Count() != 0 {
			t.Errorf("%d conversations are left", r.live.Count())
		}
	})
}

func TestConversationsAreCounted(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b, func(c *live.Config) { c.MaxStreams = 2 })
		r.do("POST", "/stream/Lab.Stuck", `{}`)
		r.do("GET", "/events?topic=a", "")
		paths := []string{"/stream/Lab.Count", "/upload/Lab.Sum", "/events?topic=a"}
		for _, path := range paths {
			method := "POST"
			if strings.HasPrefix(path, "/events") {
				method = "GET"
			}
			res := r.do(method, path, `{}`)
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(text(t, res), "resource_exhausted") {
				t.Errorf("%s: %d, Retry-After %q", path, res.StatusCode, res.Header.Get("Retry-After"))
			}
		}
		if got := r.lab.calls.Load(); got != 1 {
			t.Errorf("%d calls reached the service", got)
		}
	})
}

func TestStopCutsOffAStreamThatIsBeingOpened(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		// A service that hears of the stream late.
		link := b.Link()
		conn := b.Conn(t, link.Use)
		mute := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.mute"})
		mute.HandleRawStream("Mute.Talk", "bidi", func(context.Context, *rpc.RawStream) error { return nil })
		if err := mute.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, mute.Stop) })
		time.Sleep(time.Second)
		link.Delay(bustest.FromBroker, 1500*time.Millisecond)
		defer link.Heal()
		res := make(chan struct{})
		go func() {
			defer close(res)
			r.do("POST", "/stream/Mute.Talk?service=go.micro.srv.mute", "{}")
		}()
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		_ = r.live.Stop(ctx)
		if took := time.Since(start); took > 250*time.Millisecond || r.live.Count() != 0 {
			t.Errorf("after %v %d conversations are left", took, r.live.Count())
		}
		<-res
	})
}
