package live_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestAStreamOverHTTP2OutlivesItsSilence(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoomFor(t, b, true)
		res := r.do("POST", "/stream/Lab.Count", `{"n":1,"every":45000}`)
		if got := text(t, res); res.ProtoMajor != 2 || got != "{\"i\":0}\n" {
			t.Errorf("%s %q", res.Proto, got)
		}
		if got := res.Trailer.Get("Mbus-End"); got != "ok" {
			t.Errorf("Mbus-End %q", got)
		}
	})
}

func TestAReaderOverHTTP2ThatStopsIsCutOffAlone(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoomFor(t, b, true)
		res := r.do("POST", "/stream/Lab.Count", `{"n":100000,"pad":8192}`)
		if _, err := bufio.NewReaderSize(res.Body, 16).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		events := readSSE(r.do("GET", "/events?topic=a", "").Body) // on the same connection
		time.Sleep(20 * time.Second)
		// The client's own window comes in front of that of the stream.
		if taken := r.lab.sent.Load(); taken < 64 || taken > 8<<20/8192 {
			t.Errorf("%d messages were taken from the service", taken)
		}
		time.Sleep(15 * time.Second)
		if got := r.live.Count(); got != 1 {
			t.Errorf("%d conversations are left", got)
		}
		publish(t, r.conn, "a", "x")
		if e, err := events.next(); err != nil || e.data != "x" {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

func TestUploadsOverHTTP2AreAnsweredEarlyAndGivenUp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoomFor(t, b, true)
		w, answer := r.upload(bustest.Context(t), "Lab.Sum")
		if _, err := fmt.Fprint(w, "{\"i\":5}\n{\"i\":1000}\n"); err != nil {
			t.Fatal(err)
		}
		res := <-answer
		if res == nil {
			t.Fatal("no answer")
		}
		if got := text(t, res); res.StatusCode != http.StatusOK || got != `{"i":5}` {
			t.Errorf("%d %q", res.StatusCode, got)
		}
		_ = w.Close()
		r.idle(time.Second)

		w, answer = r.upload(t.Context(), "Lab.Sum")
		if _, err := io.WriteString(w, "{\"i\":5}\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if res := <-answer; res == nil || res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("the answer is %v", res)
		}
		_ = w.Close()
		r.idle(time.Second)
	})
}
