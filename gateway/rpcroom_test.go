package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// An echo serves test.echo, and counts.
type echo struct {
	calls atomic.Int32
	meta  atomic.Pointer[rpc.Metadata]
}

func (e *echo) serve(t *testing.T, conn *bus.Conn) {
	t.Helper()
	s := rpc.NewServer(conn, rpc.ServerConfig{Name: "test.echo", ID: "1"})
	s.HandleRaw("Echo.Back", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		e.calls.Add(1)
		meta := r.Clone().Meta
		e.meta.Store(&meta)
		return &rpc.Response{Codec: r.Codec, Body: bytes.Clone(r.Body)}, nil
	})
	s.HandleRaw("Echo.Msgpack", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Codec: codec.Msgpack, Body: []byte("\x81\xa1a\xcf\xff\xff\xff\xff\xff\xff\xff\xff")}, nil
	})
	s.HandleRaw("Echo.Hang", func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		e.calls.Add(1)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
}

// room starts a Bus for a test, and serves test.echo beside it.
func room(t *testing.T, b *bustest.Bus) (*gateway.Bus, *echo) {
	t.Helper()
	g := gateway.NewBus(b.Conn(t), gateway.BusConfig{From: "go.micro.sidecar"})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop(context.Background()) })
	e := &echo{}
	e.serve(t, b.Conn(t))
	return g, e
}

func TestRPCReadsEveryFormOfARequest(t *testing.T) {
	const form, jsonType = "application/x-www-form-urlencoded", "application/json"
	tests := []struct {
		name, method, kind, body string
		status                   int
		want                     string // in the body
		calls                    int32
	}{
		{"an object", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back","request":{"n":12345678901234567890}}`, 200, `{"n":12345678901234567890}`, 1},
		{"a string of JSON", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back","request":"{\"n\":12345678901234567890}"}`, 200, `{"n":12345678901234567890}`, 1},
		{"with a charset", "POST", "application/json; charset=utf-8", `{"service":"test.echo","method":"Echo.Back","request":[1]}`, 200, `[1]`, 1},
		{"no request", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back"}`, 200, `null`, 1},
		{"a node", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back","request":1,"node":"test.echo-1"}`, 200, `1`, 1},
		{"its subject as the address", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back","request":1,"address":"mbus.node.test_echo.1"}`, 200, `1`, 1},
		{"another node", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back","request":1,"address":"2","retries":0}`, 404, `no instance 2`, 0},
		{"msgpack answer", "POST", jsonType, `{"service":"test.echo","method":"Echo.Msgpack","request":{}}`, 200, `{"a":18446744073709551615}`, 0},
		{"a form", "POST", form, `service=test.echo&method=Echo.Back&request=%7B%22name%22%3A%22John%22%7D`, 200, `{"name":"John"}`, 1},
		{"a form without a type", "POST", "", `service=test.echo&method=Echo.Back&request=1`, 200, `1`, 1},
		{"a form of another type", "POST", "text/plain", `service=test.echo&method=Echo.Back&request=1&address=1`, 200, `1`, 1},
		{"a form without a request", "POST", form, `service=test.echo&method=Echo.Back`, 400, `"detail":"error decoding request string: EOF"`, 0},
		{"a string that is no JSON", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back","request":"{"}`, 400, `"detail":"error decoding request string: `, 0},
		{"no service", "POST", jsonType, `{"method":"Echo.Back"}`, 400, `{"id":"go.micro.rpc","code":400,"detail":"invalid service","status":"Bad Request"`, 0},
		{"a service that is none", "POST", form, `service=a%20b&method=Echo.Back`, 400, `"detail":"invalid service"`, 0},
		{"no method", "POST", jsonType, `{"service":"test.echo"}`, 400, `"detail":"invalid method"`, 0},
		{"a method with a wildcard", "POST", jsonType, `{"service":"test.echo","method":"Echo.*"}`, 400, `"detail":"invalid method"`, 0},
		{"broken JSON", "POST", jsonType, `{"service":`, 400, `"code":400`, 0},
		{"two documents", "POST", jsonType, `{"service":"test.echo","method":"Echo.Back"}{}`, 400, `"code":400`, 0},
		{"deep JSON", "POST", jsonType, strings.Repeat("[", 100_000), 400, `"code":400`, 0},
		{"a string for retries", "POST", form, `service=test.echo&method=Echo.Back&request=1&retries=x`, 400, `retries`, 0},
		{"over the limit", "POST", jsonType, `"` + strings.Repeat("x", gateway.MaxForm) + `"`, 413, `"reason":"too_large"`, 0},
		{"an unknown service", "POST", jsonType, `{"service":"test.eco","method":"Echo.Back","request":{}}`, 404, `did you mean test.echo`, 0},
		{"an unknown method", "POST", jsonType, `{"service":"test.echo","method":"Echo.Bck","request":{}}`, 404, `did you mean Echo.Back`, 0},
		{"GET", "GET", "", ``, 405, "Method not allowed\n", 0},
		{"OPTIONS", "OPTIONS", "", ``, 200, ``, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				g, e := room(t, b)
				r := httptest.NewRequest(tt.method, "/rpc", strings.NewReader(tt.body)).WithContext(t.Context())
				if tt.kind != "" {
					r.Header.Set("Content-Type", tt.kind)
				}
				w := httptest.NewRecorder()
				gateway.RPC(g).ServeHTTP(w, r)
				if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
					t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
				}
				if tt.status != 405 && tt.method == "POST" && w.Header().Get("Content-Type") != "application/json" {
					t.Errorf("the content type is %q", w.Header().Get("Content-Type"))
				}
				if n := e.calls.Load(); n != tt.calls {
					t.Errorf("%d calls reached the service, want %d", n, tt.calls)
				}
			})
		})
	}
}

func TestRPCPassesHeadersAsMetadataAndKeepsItsOwn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		g, e := room(t, b)
		r := httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(`{"service":"test.echo","method":"Echo.Back","request":1}`)).WithContext(t.Context())
		r.Header.Set("Content-Type", "application/json")
		r.Header["X-Colour"] = []string{"red", "blue"}
		r.Header.Set("Mbus-From", "someone.else")
		r.Header.Set("Cookie", "secret")
		w := httptest.NewRecorder()
		gateway.RPC(g).ServeHTTP(w, r)
		meta := *e.meta.Load()
		if w.Code != 200 || meta.Get("X-Colour") != "red, blue" || meta.Get("Mbus-From") != "" || meta.Get("Cookie") != "" {
			t.Errorf("status %d, metadata %v", w.Code, meta)
		}
	})
}

func TestRPCWaitsAsLongAsTheRequestSays(t *testing.T) {
	for text, want := range map[string]struct {
		status int
		took   time.Duration
	}{
		"0.25": {504, 250 * time.Millisecond}, "12": {504, 12 * time.Second}, "": {504, 5 * time.Second},
		"soon": {400, 0}, "0": {400, 0}, "-1": {400, 0}, "NaN": {400, 0},
	} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			g, _ := room(t, b)
			r := httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(`{"service":"test.echo","method":"Echo.Hang","request":1}`)).WithContext(t.Context())
			r.Header.Set("Content-Type", "application/json")
			if text != "" {
				r.Header.Set("Request-Timeout", text)
			}
			w, began := httptest.NewRecorder(), time.Now()
			gateway.RPC(g).ServeHTTP(w, r)
			took := time.Since(began)
			if w.Code != want.status || took < want.took*95/100 || took > want.took+time.Second/10 {
				t.Errorf("Request-Timeout %q: %d after %v, want %d after %v", text, w.Code, took, want.status, want.took)
			}
			var f gateway.Failure
			if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Code != want.status {
				t.Errorf("the body is %s", w.Body)
			}
			if end := w.Header().Get("Mbus-End"); want.status == http.StatusGatewayTimeout && end != "timeout" {
				t.Errorf("the end is %q", end)
			}
		})
	}
}
