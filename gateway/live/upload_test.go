package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

func TestLinesOfABodyAreTheMessagesOfAClientStream(t *testing.T) {
	tests := []struct {
		name, kind, body string
		status           int
		want             string // the answer, or what its detail has
		taken            int64
	}{
		{"lines", "application/x-ndjson", "{\"i\":1}\n{\"i\":2}\n", 200, `{"i":3}`, 2},
		{"no end of the last line", "application/x-ndjson", "{\"i\":1}\n{\"i\":2}", 200, `{"i":3}`, 2},
		{"CRLF and empty lines", "application/x-ndjson", "\r\n{\"i\":1}\r\n\n  \n{\"i\":2}\r\n", 200, `{"i":3}`, 2},
		{"nothing", "application/x-ndjson", "", 200, `{"i":0}`, 0},
		{"curl -d", "application/x-www-form-urlencoded", `{"i":1}`, 200, `{"i":1}`, 1},
		{"no type", "", `{"i":1}`, 200, `{"i":1}`, 1},
		{"charset", "application/x-ndjson; charset=utf-8", `{"i":1}`, 200, `{"i":1}`, 1},
		{"other type", "text/html", `{"i":1}`, 415, "application/x-ndjson", 0},
		{"multipart", "multipart/form-data; boundary=x", `{"i":1}`, 415, "application/x-ndjson", 0},
		{"broken type", "a;b=c;b=d", `{"i":1}`, 415, "application/x-ndjson", 0},
		{"bad JSON", "application/x-ndjson", "{\"i\":1}\n{\"i\":", 400, "line 2", 1},
		{"two documents in a line", "application/x-ndjson", `{"i":1} {"i":2}`, 400, "line 1", 0},
		{"bad UTF-8", "application/x-ndjson", "\"\xff\"", 400, "line 1", 0},
		{"longest", "application/x-ndjson", `{"i":1,"pad":"` + strings.Repeat("x", 1000-16) + "\"}\n", 200, `{"i":1}`, 1},
		{"too long", "application/x-ndjson", `{"i":1,"pad":"` + strings.Repeat("x", 1000-15) + "\"}\n", 413, "line 1 has over 1000 bytes", 0},
		{"refused by the service", "application/x-ndjson", "{\"i\":1}\n{\"i\":-1}\n{\"i\":1}\n", 400, "a number is negative", 2},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b, func(c *live.Config) { c.MaxMessage = 1000 })
		for _, test := range tests {
			before := r.lab.sent.Load()
			res := r.do("POST", "/upload/Lab.Sum", test.body, "Content-Type", test.kind)
			got := text(t, res)
			if res.StatusCode != http.StatusOK {
				var f gateway.Failure
				if err := json.Unmarshal([]byte(got), &f); err != nil {
					t.Fatal(err)
				}
				got = f.Detail
			}
			if res.StatusCode != test.status || !strings.Contains(got, test.want) {
				t.Errorf("%s: %d %s, want %d %s", test.name, res.StatusCode, got, test.status, test.want)
			}
			r.idle(time.Second)
			if taken := r.lab.sent.Load() - before; taken > test.taken || test.status == 200 && taken != test.taken {
				t.Errorf("%s: the service got %d messages, want %d", test.name, taken, test.taken)
			}
		}
	})
}

// upload begins a request whose body is written by the test.
func (r *room) upload(ctx context.Context, method string) (*io.PipeWriter, <-chan *answer) {
	body, w := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://mbus/upload/"+method, body)
	if err != nil {
		r.t.Fatal(err)
	}
	answers := make(chan *answer, 1)
	go func() {
		defer close(answers)
		if res, err := r.client.Do(req); err == nil {
			r.t.Cleanup(func() { _ = res.Body.Close() })
			answers <- &answer{res}
		}
	}()
	return w, answers
}

func TestAServiceMayAnswerBeforeTheEndOfAnUpload(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, test := range []struct {
			last, want string
			status     int
		}{{`{"i":1000}`, `{"i":5}`, 200}, {`{"i":-1}`, "a number is negative", 400}} {
			w, answer := r.upload(bustest.Context(t), "Lab.Sum")
			if _, err := fmt.Fprintf(w, "{\"i\":5}\n%s\n", test.last); err != nil {
				t.Fatal(err)
			}
			res := <-answer
			if res == nil {
				t.Fatalf("%s: no answer", test.last)
			}
			if got := text(t, res); res.StatusCode != test.status || !strings.Contains(got, test.want) {
				t.Errorf("%s: %d %q", test.last, res.StatusCode, got)
			}
			_ = w.Close()
			r.idle(time.Second)
		}
	})
}

func TestAnUploadThatFallsSilentIsOver(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		w, answer := r.upload(t.Context(), "Lab.Sum")
		defer w.Close()
		start := time.Now()
		for range 3 {
			if _, err := io.WriteString(w, "{\"i\":1}\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(59 * time.Second)
		}
		res := <-answer
		if res == nil || res.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("the answer is %v", res)
		}
		if got := text(t, res); time.Since(start).Round(time.Second) != 178*time.Second || !strings.Contains(got, "after line 3") {
			t.Errorf("after %v: %s", time.Since(start), got)
		}
		r.idle(time.Second)
	})
}

func TestAnUploadWaitsForTheService(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		w, answer := r.upload(bustest.Context(t), "Lab.Stuck")
		line, written := []byte(`{"text":"`+strings.Repeat("x", 8192)+"\"}\n"), make(chan int)
		go func() {
			n := 0
			for ; n < 10_000; n++ {
				if _, err := w.Write(line); err != nil {
					break
				}
			}
			written <- n
		}()
		time.Sleep(20 * time.Second)
		if err := r.live.Stop(bustest.Context(t)); err != nil {
			t.Error(err)
		}
		if res := <-answer; res == nil || res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the answer is %v", res)
		}
		_ = w.Close()
		if n := <-written; n < 64 || n > 1<<20/8192+16 {
			t.Errorf("%d messages were taken from the client", n)
		}
		r.idle(time.Second)
	})
}

func TestAnUploadThatBreaksOffCancelsTheCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		ctx, cancel := context.WithCancel(bustest.Context(t))
		w, answer := r.upload(ctx, "Lab.Sum")
		if _, err := io.WriteString(w, "{\"i\":1}\n"); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, time.Second, "the message is there", func() bool { return r.lab.sent.Load() == 1 })
		cancel()
		_ = w.Close()
		<-answer
		r.idle(50 * time.Millisecond)
	})
}

func TestASlowAnswerToAnUploadIsWaitedFor(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		w, answer := r.upload(ctx, "Lab.Stuck")
		if _, err := io.WriteString(w, "{}\n"); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		time.Sleep(5 * time.Minute) // longer than the body may be quiet
		if r.live.Count() != 1 {
			t.Errorf("the client has been given up")
		}
		cancel()
		<-answer
		r.idle(50 * time.Millisecond)
	})
}
