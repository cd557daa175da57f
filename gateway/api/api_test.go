package api_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const greeter = "go.micro.srv.greeter"

type HelloRequest struct {
	Name string `json:"name"`
}

type HelloResponse struct {
	Msg string `json:"msg"`
}

// A house is a bus with an API on it, and counts the calls that reach services.
type house struct {
	bus   *bustest.Bus
	conn  *bus.Conn // of the services
	gate  *gateway.Bus
	api   *api.API
	calls atomic.Int64
	begin http.Header // of the answers, as an edge may have begun them
}

// open makes a house whose services are those that furnish starts.
func open(t testing.TB, b *bustest.Bus, cfg api.Config) *house {
	t.Helper()
	return openWith(t, b, cfg, gateway.BusConfig{})
}

func openWith(t testing.TB, b *bustest.Bus, cfg api.Config, side gateway.BusConfig) *house {
	t.Helper()
	h := &house{bus: b, conn: b.Conn(t)}
	conn := b.Conn(t)
	cfg.Logger = conn.Logger()
	side.From, side.Logger = "go.micro.api", conn.Logger()
	h.gate = gateway.NewBus(conn, side)
	if err := h.gate.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.gate.Stop(ctx); err != nil {
			t.Errorf("stop the gateway's side of the bus: %v", err)
		}
	})
	var err error
	if h.api, err = api.New(h.gate, cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

// server makes a service of the house that is not started yet.
func (h *house) server(name string) *rpc.Server {
	return rpc.NewServer(h.conn, rpc.ServerConfig{
		Name: name, Version: "1.0.0", Timeout: 2 * time.Minute, Logger: h.conn.Logger(), // the gateway's bounds are to count
		Middleware: []rpc.Middleware{func(next rpc.HandlerFunc) rpc.HandlerFunc {
			return func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				if !strings.HasPrefix(r.Method, "Debug.") {
					h.calls.Add(1)
				}
				return next(ctx, r)
			}
		}},
	})
}

// serve starts a service that stops with the test, and waits until the gateway
// knows it.
func (h *house) serve(t testing.TB, s *rpc.Server) {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("start %s: %v", s.Name(), err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop %s: %v", s.Name(), err)
		}
	})
	bustest.Eventually(t, 5*time.Second, "the gateway knows "+s.Name(), func() bool { return h.gate.Known(s.Name()) })
}

// greet adds the greeter to the house.
func (h *house) greet(t testing.TB) *rpc.Server {
	t.Helper()
	s := h.server(greeter)
	rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
		return &HelloResponse{Msg: "Hello " + r.Name}, nil
	})
	h.serve(t, s)
	return s
}

// A reply is what a client of the house has got.
type reply struct {
	status int
	header http.Header
	body   string
	calls  int // that reached a service
}

// do sends one request to the house.
func (h *house) do(t testing.TB, method, target, body string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return h.send(t, r)
}

func (h *house) send(t testing.TB, r *http.Request) reply {
	t.Helper()
	before := h.calls.Load()
	w := httptest.NewRecorder()
	maps.Copy(w.Header(), h.begin)
	h.api.ServeHTTP(w, r)
	res := w.Result()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{status: res.StatusCode, header: res.Header, body: string(body), calls: int(h.calls.Load() - before)}
}

// failure reads the body of an error.
func (r reply) failure(t testing.TB) gateway.Failure {
	t.Helper()
	var f gateway.Failure
	if err := json.Unmarshal([]byte(r.body), &f); err != nil {
		t.Fatalf("status %d with the body %q: %v", r.status, r.body, err)
	}
	return f
}

// want checks status, body and the count of calls.
func (r reply) want(t testing.TB, what string, status int, body string, calls int) {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, body) || r.calls != calls {
		t.Errorf("%s: got %d, %d calls, %s; want %d, %d calls, %q in the body", what, r.status, r.calls, r.body, status, calls, body)
	}
}

func TestTheFormsOfACallAllReachTheGreeter(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		const form = "application/x-www-form-urlencoded"
		for _, c := range []struct{ name, target, kind, body string }{
			{"a form", "/rpc", form, "service=go.micro.srv.greeter&method=Say.Hello&request=%7B%22name%22%3A%22John%22%7D"},
			{"JSON with an object", "/rpc", "application/json", `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`},
			{"JSON with a string", "/rpc", "application/json", `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":"{\"name\":\"John\"}"}`},
			{"the direct form", "/go.micro.srv.greeter/Say.Hello", "application/json", `{"name":"John"}`},
			{"the direct form as curl sends it", "/go.micro.srv.greeter/Say.Hello", form, `{"name":"John"}`},
		} {
			got := h.do(t, "POST", c.target, c.body, "Content-Type", c.kind)
			got.want(t, c.name, 200, `{"msg":"Hello John"}`, 1)
			if kind := got.header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("%s: got the content type %q", c.name, kind)
			}
		}
	})
}
