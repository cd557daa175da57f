package sidecar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/rpc"
)

func TestAnAppIsCalledInMicrosForm(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register(ruby+"-1", "127.0.0.1:8000", "")
		res, err := w.client.Do(t.Context(), &rpc.Request{
			Service: ruby, Method: "Say.Hello", Codec: codec.JSON, Body: []byte(`{"name":"John"}`), From: "some.caller",
			Meta: rpc.Metadata{"X-Colour": "red", "Content-Length": "9999", "Connection": "X-Colour", "traceparent": "00-1-2-01"},
		})
		if err != nil || string(res.Body) != `{"msg":"Say.Hello John"}` {
			t.Fatalf("got %v, %v", res, err)
		}
		all := a.requests()
		got := all[len(all)-1]
		if got.method != "POST" || got.uri != "/" || got.body != `{"method":"Say.Hello","params":[{"name":"John"}],"id":1}` {
			t.Errorf("the app saw %+v", got)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "X-Colour": "red", "X-Micro-From-Service": "some.caller", "Traceparent": "00-1-2-01", "Connection": "",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
			}
		}
		ns, err := strconv.Atoi(got.header.Get("Timeout"))
		if left := time.Duration(ns); err != nil || left <= 4*time.Second || left > 5*time.Second {
			t.Errorf("Timeout is %q", got.header.Get("Timeout"))
		}
	})
}

func TestAnAppIsCalledInThePlainerForm(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = fmt.Fprintf(w, `{"path":%q}`, r.URL.Path)
		})
		w.register("1", "127.0.0.1:8000", "", "protocol", "http")
		got, err := w.call("Say.Hello", `{"name":"John"}`)
		if err != nil || got != `{"path":"/Say.Hello"}` {
			t.Fatalf("got %s, %v", got, err)
		}
		if all := a.requests(); all[len(all)-1].body != `{"name":"John"}` {
			t.Errorf("the app saw %+v", all)
		}
	})
}

func TestWhatAnAppAnswersBecomesAnAnswerOrATypedError(t *testing.T) {
	write := func(status int, text string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	hijack := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = conn.Write([]byte(text))
				_ = conn.Close()
			}
		}
	}
	tests := []struct {
		name, form string
		app        http.HandlerFunc
		want       string // an answer
		code       bus.Code
		end        bus.End
		status     int
		message    string
	}{
		{name: "a result", form: "jsonrpc", app: write(200, `{"id":1,"result":{"n":12345678901234567890},"error":null}`), want: `{"n":12345678901234567890}`},
		{name: "no result", form: "jsonrpc", app: write(200, `{"id":1}`), want: `null`},
		{name: "another id", form: "jsonrpc", app: write(200, `{"id":"x","result":[1]}`), want: `[1]`},
		{name: "words for an error", form: "jsonrpc", app: write(200, `{"id":1,"error":"it broke"}`), code: bus.Internal, end: bus.Handler, status: 500, message: "it broke"},
		{name: "Micro's error", form: "jsonrpc", app: write(200, `{"error":"{\"id\":\"x\",\"code\":403,\"detail\":\"not you\",\"status\":\"Forbidden\"}"}`), code: bus.PermissionDenied, end: bus.Refused, status: 403, message: "not you"},
		{name: "Micro's error as an object", form: "jsonrpc", app: write(200, `{"error":{"id":"x","code":418,"detail":"tea"}}`), code: bus.InvalidArgument, end: bus.Handler, status: 418, message: "tea"},
		{name: "JSON-RPC's error", form: "jsonrpc", app: write(200, `{"error":{"code":-32601,"message":"no such method"}}`), code: bus.NotFound, end: bus.Handler, status: 404, message: "no such method"},
		{name: "Micro's missing method", form: "jsonrpc", app: write(200, `{"error":"rpc: can't find method Say.Hello"}`), code: bus.NotFound, end: bus.Handler, status: 404, message: "can't find"},
		{name: "a status", form: "jsonrpc", app: write(503, `going down`, "Retry-After", "3"), code: bus.Unavailable, end: bus.Refused, status: 503, message: "going down"},
		{name: "a redirect", form: "jsonrpc", app: write(302, ``, "Location", "http://169.254.169.254/"), code: bus.Internal, end: bus.Handler, status: 500, message: "redirect"},
		{name: "no JSON", form: "jsonrpc", app: write(200, `<html>`), code: bus.DataLoss, end: bus.Handler, status: 500, message: "the answer of the app"},
		{name: "other JSON", form: "jsonrpc", app: write(200, `[1,2]`), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "deep JSON", form: "jsonrpc", app: write(200, strings.Repeat("[", 100_000)), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "two documents", form: "jsonrpc", app: write(200, `{"result":1}{"result":2}`), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "nothing", form: "jsonrpc", app: write(200, ``), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "no HTTP", form: "jsonrpc", app: hijack("\x00\x01garbage\r\n\r\n"), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "an end without an answer", form: "jsonrpc", app: hijack(""), code: bus.Unavailable, end: bus.Handler, status: 503, message: "without an answer"},
		{name: "half an answer", form: "jsonrpc", app: hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"re"), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "a gibibyte announced", form: "jsonrpc", app: hijack("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\nxxx"), code: bus.TooLarge, end: bus.Handler, status: 413},
		{name: "a gibibyte of headers", form: "jsonrpc", app: hijack("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "more than allowed", form: "jsonrpc", app: func(w http.ResponseWriter, _ *http.Request) {
			for range 64 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, code: bus.TooLarge, end: bus.Handler, status: 413},
		{name: "never", form: "jsonrpc", app: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, code: bus.DeadlineExceeded, end: bus.Timeout, status: 504},
		{name: "a drop a second", form: "jsonrpc", app: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}, code: bus.DeadlineExceeded, end: bus.Timeout, status: 504},

		{name: "a result", form: "http", app: write(200, `{"n":1}`, "Content-Type", "application/json"), want: `{"n":1}`},
		{name: "created", form: "http", app: write(201, `[]`, "Content-Type", "application/json"), want: `[]`},
		{name: "no content", form: "http", app: write(204, ``), want: `null`},
		{name: "JSON of no type", form: "http", app: write(200, `{"n":1}`, "Content-Type", "text/plain"), want: `{"n":1}`},
		{name: "words", form: "http", app: write(200, `hello`, "Content-Type", "text/plain"), want: `hello`},
		{name: "broken JSON", form: "http", app: write(200, `{`, "Content-Type", "application/json"), code: bus.DataLoss, end: bus.Handler, status: 500},
		{name: "a status with words", form: "http", app: write(404, `no such greeting`), code: bus.NotFound, end: bus.Handler, status: 404, message: "no such greeting"},
		{name: "a status without", form: "http", app: write(409, ``), code: bus.Conflict, end: bus.Handler, status: 409, message: "status 409"},
		{name: "a status with an error inside", form: "http", app: write(400, `{"error":"name is missing"}`), code: bus.InvalidArgument, end: bus.Handler, status: 400, message: "name is missing"},
		{name: "a status with Micro's error", form: "http", app: write(500, `{"id":"x","code":429,"detail":"slow down"}`), code: bus.ResourceExhausted, end: bus.Handler, status: 429, message: "slow down"},
		{name: "too many", form: "http", app: write(429, `slow down`, "Retry-After", "2"), code: bus.ResourceExhausted, end: bus.Refused, status: 429, message: "slow down"},
		{name: "a redirect", form: "http", app: write(307, ``, "Location", "/elsewhere"), code: bus.Internal, end: bus.Handler, status: 500, message: "redirect"},
		{name: "not modified", form: "http", app: write(304, ``), code: bus.Internal, end: bus.Handler, status: 500},
	}
	for _, tt := range tests {
		t.Run(tt.form+" "+tt.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				w := newWorld(t, b, func(c *sidecar.Config) { c.MaxBody = 1 << 20 })
				a := w.listen(t, "127.0.0.1:8000", tt.app)
				w.register("1", "127.0.0.1:8000", "?ttl=1m", "protocol", tt.form)
				res, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Body: []byte(`{}`), Retries: new(0)})
				if tt.want != "" {
					if err != nil || string(res.Body) != tt.want {
						t.Fatalf("got %v, %v; want %s", res, err, tt.want)
					}
					return
				}
				e := wantError(t, err, tt.code, tt.end)
				if e.Status != tt.status || !strings.Contains(e.Message, tt.message) {
					t.Errorf("status %d, %q; want %d with %q", e.Status, e.Message, tt.status, tt.message)
				}
				// The next call meets a sidecar that is well.
				a.kill()
				w.listen(t, "127.0.0.1:8000", write(200, `{"result":1}`))
				if tt.form == "jsonrpc" {
					if got, err := w.call("Say.Hello", `{}`); err != nil || got != "1" {
						t.Errorf("the next call: %s, %v", got, err)
					}
				}
			})
		})
	}
}

func TestACallThatTheFormCannotCarryNeverReachesTheApp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		for body, c := range map[string]codec.Codec{`{}],"id":9,"x":[{`: codec.JSON, `{"a":1`: codec.JSON, "\xc1": codec.Msgpack, "bytes": codec.Raw} {
			_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Codec: c, Body: []byte(body)})
			want := bus.InvalidArgument
			if c == codec.Raw {
				want = bus.Unimplemented
			}
			wantError(t, err, want, bus.Handler)
		}
		if n := len(a.requests()); n != 0 {
			t.Errorf("%d requests reached the app", n)
		}
		res, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Codec: codec.Msgpack, Body: []byte("\x81\xa4name\xa4John")})
		if err != nil || string(res.Body) != `{"msg":"Say.Hello John"}` {
			t.Errorf("msgpack: %v, %v", res, err)
		}
	})
}

func TestAnAppWithEndpointsGetsThoseAndNoOthers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		rec := w.do("POST", "/registry", `{"Name":"`+ruby+`","Nodes":[{"Id":"1","Address":"127.0.0.1","Port":8000}],
			"Endpoints":[{"Name":"Say.Hello"},{"Name":"Say.Slow","Metadata":{"timeout":"100"}}]}`)
		if rec.Code != 200 {
			t.Fatal(rec.Body)
		}
		if got, err := w.call("Say.Hello", `{"name":"John"}`); err != nil || got != `{"msg":"Say.Hello John"}` {
			t.Errorf("got %s, %v", got, err)
		}
		before := len(a.requests())
		_, err := w.call("Say.Helo", `{}`)
		if e := wantError(t, err, bus.NotFound, bus.Nobody); !strings.Contains(e.Message, "did you mean Say.Hello") {
			t.Errorf("got %v", e)
		}
		if n := len(a.requests()); n != before {
			t.Errorf("%d requests reached the app", n-before)
		}
	})
}

func TestDebugMethodsOfAnApp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register(ruby+"-1", "127.0.0.1:8000", "?ttl=1m")
		for range 3 {
			if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
				t.Fatal(err)
			}
		}
		for _, node := range []string{"", ruby + "-1"} {
			opts := []rpc.CallOption{rpc.WithNode(node)}
			if node == "" {
				opts = nil
			}
			health, err := rpc.Call[rpc.Health](t.Context(), w.client, ruby, rpc.MethodHealth, nil, opts...)
			if err != nil || health.Status != "ok" {
				t.Errorf("health of node %q: %v, %v", node, health, err)
			}
			stats, err := rpc.Call[rpc.Stats](t.Context(), w.client, ruby, rpc.MethodStats, nil, opts...)
			if err != nil {
				t.Fatal(err)
			}
			last := stats.Endpoints[len(stats.Endpoints)-1]
			if last.Name != "Say.Hello" || last.Requests != 3 {
				t.Errorf("stats of node %q: %+v", node, last)
			}
		}
		a.kill()
		_, err := rpc.Call[rpc.Health](t.Context(), w.client, ruby, rpc.MethodHealth, nil)
		wantError(t, err, bus.Unavailable, bus.Handler)
	})
}

func TestAnAppGetsNoMoreCallsThanItTakes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b, func(c *sidecar.Config) { c.Concurrency, c.Queue = 4, 3 })
		var now, most atomic.Int32
		release := make(chan struct{})
		w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, r *http.Request) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-release
			now.Add(-1)
			sayHello(rw, r)
		})
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		results := make(chan error, 20)
		for range 20 {
			go func() {
				_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Body: []byte(`{"name":"x"}`), Retries: new(0)})
				results <- err
			}()
		}
		for range 13 {
			wantError(t, <-results, bus.ResourceExhausted, bus.Refused)
		}
		// It can still be asked how it is.
		if _, err := rpc.Call[rpc.Health](t.Context(), w.client, ruby, rpc.MethodHealth, nil); err != nil {
			t.Errorf("health: %v", err)
		}
		w.await(time.Second, "four calls at work", func() bool { return now.Load() == 4 })
		close(release)
		for range 7 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != 4 {
			t.Errorf("%d calls were at work at once", most.Load())
		}
	})
}

func TestACallerWhoGivesUpEndsTheRequestToTheApp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		began, ended := make(chan bool), make(chan bool)
		w.listen(t, "127.0.0.1:8000", func(_ http.ResponseWriter, r *http.Request) {
			began <- true
			<-r.Context().Done()
			ended <- true
		})
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _ = w.client.Do(ctx, &rpc.Request{Service: ruby, Method: "Say.Hello", Body: []byte(`{}`)})
		}()
		<-began
		at := time.Now()
		cancel()
		<-ended
		if took := time.Since(at); took > 50*time.Millisecond {
			t.Errorf("the app learnt of it after %v", took)
		}
	})
}

func TestLargeRequestsAndAnswersPass(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", func(w http.ResponseWriter, r *http.Request) {
			var call struct{ Params []json.RawMessage }
			_ = json.NewDecoder(r.Body).Decode(&call)
			_, _ = fmt.Fprintf(w, `{"result":%s}`, call.Params[0])
		})
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		for _, size := range []int{200 << 10, 3 << 20} {
			body := `"` + strings.Repeat("x", size) + `"`
			if got, err := w.call("Say.Hello", body); err != nil || got != body {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
	})
}

func TestSeveralNodesAndSeveralAppsShareNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		named := func(name string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, `{"result":%q}`, name) }
		}
		w.listen(t, "127.0.0.1:8001", named("one"))
		w.listen(t, "127.0.0.1:8002", named("two"))
		w.listen(t, "127.0.0.2:8001", named("other"))
		w.register(ruby+"-1", "127.0.0.1:8001", "?ttl=1m")
		w.register(ruby+"-2", "127.0.0.1:8002", "?ttl=1m")
		if rec := w.do("POST", "/registry", `{"name":"other","nodes":[{"id":"1","address":"127.0.0.2","port":8001}]}`); rec.Code != 200 {
			t.Fatal(rec.Body)
		}
		got := map[string]int{}
		for range 10 {
			name, err := w.call("Say.Hello", `{}`)
			if err != nil {
				t.Fatal(err)
			}
			got[name]++
		}
		if got[`"one"`] != 5 || got[`"two"`] != 5 {
			t.Errorf("ten calls in turn went to %v", got)
		}
		for _, id := range []string{ruby + "-2", "2"} {
			res, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "X.Y", Instance: strings.TrimPrefix(id, ruby+"-")})
			if err != nil || string(res.Body) != `"two"` {
				t.Errorf("node %s: %v, %v", id, res, err)
			}
		}
		res, err := w.client.Do(t.Context(), &rpc.Request{Service: "other", Method: "X.Y"})
		if err != nil || string(res.Body) != `"other"` {
			t.Errorf("the other app: %v, %v", res, err)
		}
	})
}

func TestOnlyAppsOfThisHostAreServed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", sayHello)
		_, there := w.another(func(c *sidecar.Config) {
			c.Host = "there"
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				t.Error("the other host's sidecar calls an app that is not its own")
				return nil, net.ErrClosed
			}
		})
		w.register("1", "127.0.0.1:8000", "")
		for range 4 {
			if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Second)
		if len(w.nodes()) != 1 {
			t.Error("the app was deregistered")
		}
		if there.Host() != "there" {
			t.Error(there.Host())
		}
	})
}
