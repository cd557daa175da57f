package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const (
	greeter = "go.micro.srv.greeter"
	here    = "127.0.0.1:8082"
)

type HelloRequest struct {
	Name string `json:"name"`
}

type HelloResponse struct {
	Msg string `json:"msg"`
}

// A house is a bus with a dashboard on it, behind an edge.
type house struct {
	bus  *bustest.Bus
	conn *bus.Conn // of the services
	gate *gateway.Bus
	web  *web.Web
	room http.Handler
}

func open(t testing.TB, b *bustest.Bus, cfg web.Config) *house {
	t.Helper()
	return guarded(t, b, cfg, nil)
}

// guarded is open where rules say who may do what.
func guarded(t testing.TB, b *bustest.Bus, cfg web.Config, rules *token.Rules) *house {
	t.Helper()
	h := &house{bus: b, conn: b.Conn(t)}
	conn := b.Conn(t)
	cfg.Logger = conn.Logger()
	h.gate = gateway.NewBus(conn, gateway.BusConfig{From: web.Service, Rules: rules, Logger: conn.Logger()})
	var err error
	if h.web, err = web.New(h.gate, cfg); err != nil {
		t.Fatal(err)
	}
	start(t, h.gate)
	start(t, h.web)
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: web.Service, Hosts: web.Hosts(), Pages: web.Page, Public: web.Public, OriginsFlag: "--web-cors"})
	if err != nil {
		t.Fatal(err)
	}
	h.room = edge.Wrap(h.web)
	return h
}

func start(t testing.TB, r bus.Runner) {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

// greet starts a greeter, and waits until the dashboard knows it. An empty name
// is refused, and "panic" is an error of the service.
func (h *house) greet(t testing.TB) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(h.conn, rpc.ServerConfig{Name: greeter, Version: "1.0.0", Logger: h.conn.Logger()})
	rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
		switch r.Name {
		case "":
			return nil, bus.Errorf(bus.InvalidArgument, "name is empty")
		case "slow":
			time.Sleep(time.Second)
		}
		return &HelloResponse{Msg: "Hello " + r.Name}, nil
	}, rpc.Describe("Greets."))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	bustest.Eventually(t, 5*time.Second, "the dashboard knows the greeter", func() bool { return h.gate.Known(greeter) })
	return s
}

// ask makes a request; the arguments after the body are headers and their values.
func (h *house) ask(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://"+here+target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	r.RemoteAddr = "127.0.0.1:40000"
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.room.ServeHTTP(w, r)
	return w
}

// page gets a page as JSON.
func page[T any](t testing.TB, h *house, target string) T {
	t.Helper()
	w := h.ask(http.MethodGet, target, "", "Accept", "application/json")
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return decode[T](t, w.Body.Bytes())
}

func decode[T any](t testing.TB, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
	return v
}

// post sends JSON to one of the dashboard's own endpoints.
func (h *house) post(target string, v any) *httptest.ResponseRecorder {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // tests send what JSON has
	}
	return h.ask(http.MethodPost, target, string(body), "Content-Type", "application/json")
}

type (
	Row struct {
		ID        int      `json:"id"`
		Name      string   `json:"name"`
		Health    string   `json:"health"`
		Why       string   `json:"why"`
		Instances int      `json:"instances"`
		Rate      *float64 `json:"rps"`
		P50       *float64 `json:"p50_ms"`
		P99       *float64 `json:"p99_ms"`
		Percent   *float64 `json:"error_percent"`
		Spark     []any    `json:"spark"`
	}
	Services struct {
		Seq  int   `json:"seq"`
		Rows []Row `json:"rows"`
		Bus  struct {
			Connected bool `json:"connected"`
		} `json:"bus"`
		Matched int `json:"matched"`
	}
	Delta struct {
		Topic     string  `json:"topic"`
		Seq       int     `json:"-"`
		Prev      int     `json:"-"`
		Rows      []Row   `json:"rows"`
		Gone      []int   `json:"gone"`
		N         [][]any `json:"n"`
		Connected *bool   `json:"connected"`
		Events    []Shown `json:"events"`
		Skipped   int     `json:"skipped"`
		ID        string  `json:"id"`
	}
	Shown struct {
		Subject, Data, Encoding string
	}
)

func (s Services) row(name string) Row {
	for _, r := range s.Rows {
		if r.Name == name {
			return r
		}
	}
	return Row{}
}

// A stream is a browser's /-/live.
type stream struct {
	header http.Header
	cancel context.CancelFunc
	over   chan struct{}

	mu    sync.Mutex
	text  bytes.Buffer
	stuck chan struct{} // while it is there nothing is taken
}

// live opens a stream; the arguments after the topics are headers and values.
func (h *house) live(t testing.TB, topics string, headers ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &stream{header: make(http.Header), cancel: cancel, over: make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://"+here+"/-/live?topics="+topics, http.NoBody)
	r.RemoteAddr = "127.0.0.1:40000"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	go func() {
		defer close(s.over)
		h.room.ServeHTTP(s, r)
	}()
	t.Cleanup(s.close)
	return s
}

func (s *stream) close() {
	s.release()
	s.cancel()
	<-s.over
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) WriteHeader(int)     {}
func (s *stream) Flush()              {}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	stuck := s.stuck
	s.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *stream) stick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = make(chan struct{})
}

func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck != nil {
		close(s.stuck)
		s.stuck = nil
	}
}

// An event is one of a stream.
type event struct {
	id, kind string
	data     Delta
	raw      string
}

func (s *stream) events(t testing.TB) []event {
	t.Helper()
	s.mu.Lock()
	text := s.text.String()
	s.mu.Unlock()
	var all []event
	for block := range strings.SplitSeq(text, "\n\n") {
		var e event
		for line := range strings.SplitSeq(block, "\n") {
			key, value, _ := strings.Cut(line, ": ")
			switch key {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.raw = value
				if e.kind == "nodes" {
					continue // others are gone from there
				}
				e.data = decode[Delta](t, []byte(value))
				// encoding/json wants a tag for each of them.
				var seq struct{ Seq, Prev int }
				_ = json.Unmarshal([]byte(value), &seq)
				e.data.Seq, e.data.Prev = seq.Seq, seq.Prev
			}
		}
		if e.kind != "" {
			all = append(all, e)
		}
	}
	return all
}

// last is the data of the last event of a kind, "" before there is one.
func (s *stream) last(t testing.TB, kind string) (raw string) {
	t.Helper()
	for _, e := range s.events(t) {
		if e.kind == kind {
			raw = e.raw
		}
	}
	return raw
}

// await waits for an event that is wanted, and returns it.
func (s *stream) await(t testing.TB, within time.Duration, what string, want func(*event) bool) event {
	t.Helper()
	var found event
	bustest.Eventually(t, within, what, func() bool {
		for _, e := range s.events(t) {
			if want(&e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

var _ io.Writer = (*stream)(nil)
