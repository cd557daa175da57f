package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const ruby = "ruby.micro.srv.greeter"

// A host is the loopback network of a test, in virtual time.
type host struct {
	mu    sync.Mutex
	apps  map[string]*app // by address
	dials []string
}

// dial is the sidecar's way to the apps.
func (h *host) dial(ctx context.Context, network, address string) (net.Conn, error) {
	h.mu.Lock()
	h.dials = append(h.dials, address)
	a := h.apps[address]
	h.mu.Unlock()
	if a != nil {
		here, there := net.Pipe()
		select {
		case a.conns <- there:
			return here, nil
		case <-a.gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
}

func (h *host) dialled() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dials
}

// An app is an HTTP server on the host.
type app struct {
	host    *host
	address string
	conns   chan net.Conn
	gone    chan struct{}
	server  *http.Server
	once    sync.Once

	mu   sync.Mutex
	seen []seen
}

// A seen is a request that reached an app.
type seen struct {
	method, uri string
	header      http.Header
	body        string
}

// listen starts an app that stops with the test.
func (h *host) listen(t *testing.T, address string, f http.HandlerFunc) *app {
	t.Helper()
	a := &app{host: h, address: address, conns: make(chan net.Conn), gone: make(chan struct{})}
	a.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.mu.Lock()
		a.seen = append(a.seen, seen{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		a.mu.Unlock()
		f(w, r)
	})}
	h.mu.Lock()
	if h.apps == nil {
		h.apps = make(map[string]*app)
	}
	h.apps[address] = a
	h.mu.Unlock()
	go func() { _ = a.server.Serve(a) }()
	t.Cleanup(a.kill)
	return a
}

func (a *app) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.gone:
		return nil, net.ErrClosed
	}
}

func (a *app) Close() error   { return nil }
func (a *app) Addr() net.Addr { return &net.TCPAddr{} }

// kill ends the app and all its connections.
func (a *app) kill() {
	a.once.Do(func() {
		a.host.mu.Lock()
		if a.host.apps[a.address] == a {
			delete(a.host.apps, a.address)
		}
		a.host.mu.Unlock()
		close(a.gone)
		_ = a.server.Close()
	})
}

func (a *app) requests() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

// A world is a bus with a registrar, a host, a sidecar on it, and a client
// elsewhere.
type world struct {
	*host
	t       *testing.T
	bus     *bustest.Bus
	gateway *gateway.Bus
	sidecar *sidecar.Sidecar
	conn    *bus.Conn
	client  *rpc.Client
}

func newWorld(t *testing.T, b *bustest.Bus, change ...func(*sidecar.Config)) *world {
	t.Helper()
	w := &world{host: &host{}, t: t, bus: b, conn: b.Conn(t)}
	r, err := registrar.New(b.Conn(t), registrar.Config{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, r)
	w.gateway, w.sidecar = w.another(change...)
	w.client = rpc.NewClient(w.conn, rpc.ClientConfig{})
	t.Cleanup(func() { _ = w.client.Close(context.Background()) })
	return w
}

// another starts one more sidecar on the host; the returned Bus and it stop with
// the test.
func (w *world) another(change ...func(*sidecar.Config)) (*gateway.Bus, *sidecar.Sidecar) {
	w.t.Helper()
	g := gateway.NewBus(w.bus.Conn(w.t), gateway.BusConfig{From: sidecar.Service})
	start(w.t, g)
	cfg := sidecar.Config{Host: "here", Dial: w.dial, Logger: g.Conn.Logger()}
	for _, f := range change {
		f(&cfg)
	}
	s, err := sidecar.New(g, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	start(w.t, s)
	return g, s
}

func start(t *testing.T, r bus.Runner) {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, r) })
}

func stop(t *testing.T, r bus.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// do sends a request to the sidecar.
func (w *world) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	return do(w.t, w.sidecar, method, path, body, header...)
}

func do(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(t.Context())
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// register registers a node of ruby with some metadata, by POST.
func (w *world) register(id, address, query string, metadata ...string) {
	w.t.Helper()
	rec := w.do("POST", "/registry"+query, definition(id, address, metadata...))
	if rec.Code != 200 || rec.Body.Len() != 0 {
		w.t.Fatalf("POST /registry%s: %d %s", query, rec.Code, rec.Body)
	}
}

func definition(id, address string, metadata ...string) string {
	ip, port, _ := net.SplitHostPort(address)
	meta := map[string]string{}
	for i := 0; i+1 < len(metadata); i += 2 {
		meta[metadata[i]] = metadata[i+1]
	}
	text, _ := json.Marshal(map[string]any{
		"name": ruby, "version": "1.0.0",
		"nodes": []any{map[string]any{"id": id, "address": ip, "port": json.Number(port), "metadata": meta}},
	})
	return string(text)
}

// call calls ruby over the bus.
func (w *world) call(method, body string) (string, error) {
	res, err := w.client.Do(w.t.Context(), &rpc.Request{Service: ruby, Method: method, Codec: codec.JSON, Body: []byte(body)})
	if err != nil {
		return "", err
	}
	return string(res.Body), nil
}

// nodes are the ids of the nodes of ruby in the registry.
func (w *world) nodes() []string {
	services, err := discovery.Get(w.t.Context(), w.conn, ruby)
	if err != nil {
		return nil
	}
	var ids []string
	for _, s := range services {
		for _, n := range s.Nodes {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// sayHello is an app in Micro's form.
func sayHello(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Method string
		Params []struct{ Name string }
		ID     json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil || len(call.Params) != 1 || r.URL.Path != "/" {
		http.Error(w, "no call", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"id": call.ID, "result": map[string]string{"msg": call.Method + " " + call.Params[0].Name}, "error": nil})
}

func wantError(t *testing.T, err error, code bus.Code, end bus.End) *bus.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", code)
	}
	e := bus.AsError(err)
	if e.Code != code || e.End != end {
		t.Fatalf("got %v, end %q; want %v, end %q", e, e.End, code, end)
	}
	return e
}
