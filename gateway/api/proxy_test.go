package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/api"
)

// register announces an app at an address as a registrar does.
func (h *house) register(t testing.TB, service, address string, port int, endpoints ...discovery.Endpoint) {
	t.Helper()
	a, err := discovery.NewAnnouncer(h.conn, discovery.AnnouncerConfig{
		Name: service, ID: fmt.Sprintf("%s-%s-%d", service, strings.ReplaceAll(address, ":", "-"), port), Address: address, Port: port, Endpoints: endpoints,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stop announcing %s: %v", service, err)
		}
	})
	bustest.Eventually(t, 5*time.Second, "the gateway knows "+service, func() bool {
		for _, i := range h.gate.Apps(service) {
			if i.Address == address && i.Port == port {
				return true
			}
		}
		return false
	})
}

// app serves an app by HTTP and registers it.
func (h *house) app(t testing.TB, service string, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	host, port := place(t, s)
	h.register(t, service, host, port)
	return s
}

func place(t testing.TB, s *httptest.Server) (string, int) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return host, n
}

// free is a port on which nobody listens.
func free(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestAnAppGetsTheRequestAsItIs(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	var seen *http.Request
	var body string
	s := h.app(t, "go.micro.api.app", func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen, body = r, string(got)
		w.Header().Set("X-App", "1")
		w.Header().Set("Mbus-End", "forged")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "from the app")
	})
	h.begin = http.Header{"Content-Security-Policy": {"default-src 'none'"}, "X-App": {"the edge's"}, "Referrer-Policy": {"no-referrer"}}
	got := h.do(t, "PUT", "/app/a%20b/c?x=1&y=2", "the body", "Content-Type", "text/plain", "Cookie", "c=1", "Authorization", "Bearer x",
		"Mbus-From", "evil", "Connection", "X-Hop", "X-Hop", "1", "X-Forwarded-For", "10.0.0.1")
	got.want(t, "the answer", http.StatusTeapot, "from the app", 0)
	if seen.URL.RequestURI() != "/app/a%20b/c?x=1&y=2" || seen.Method != http.MethodPut || body != "the body" || "http://"+seen.Host != s.URL {
		t.Errorf("the app got %s %s at %s with %q", seen.Method, seen.URL.RequestURI(), seen.Host, body)
	}
	for name, want := range map[string]string{
		"Cookie": "c=1", "Authorization": "Bearer x", "Mbus-From": "", "X-Hop": "", "X-Forwarded-For": "10.0.0.1, 192.0.2.1", "X-Forwarded-Host": "example.com",
	} {
		if v := seen.Header.Get(name); v != want {
			t.Errorf("the app got %s %q, want %q", name, v, want)
		}
	}
	for name, want := range map[string]string{"X-App": "1", "Mbus-End": "", "Access-Control-Allow-Origin": "", "Set-Cookie": "a=b", "Content-Security-Policy": "", "Referrer-Policy": "no-referrer"} {
		if v := got.header.Get(name); v != want {
			t.Errorf("got %s %q, want %q", name, v, want)
		}
	}
}

func TestAppsAreFoundByMicrosRule(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	name := func(n string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, n+" "+r.URL.Path) }
	}
	h.app(t, "go.micro.api.foo", name("foo"))
	h.app(t, "go.micro.api.v1.foo", name("v1 foo"))
	s := h.server("go.micro.api.foo.bar")
	h.serve(t, s)
	for path, want := range map[string]string{
		"/foo": "foo /foo", "/foo/": "foo /foo/", "/foo/x/y/z": "foo /foo/x/y/z", "/v1/foo/x": "v1 foo /v1/foo/x",
	} {
		h.do(t, "GET", path, "").want(t, path, 200, want, 0)
	}
	h.do(t, "GET", "/foo/bar/baz/cat", "").want(t, "a service on the bus comes first", 404, "go.micro.api.foo.bar has no method Baz.Cat", 0)
	h.register(t, "go.micro.api.methods", "127.0.0.1", free(t), discovery.Endpoint{Name: "Methods.Do"})
	h.do(t, "POST", "/methods/do", "{}").want(t, "a method of an app is called over the bus", 404, "through a sidecar", 0)
	h.do(t, "POST", "/methods/other", "{}").want(t, "the rest of it by HTTP", 503, "takes no connections", 0)
	h.do(t, "GET", "/none/x", "").want(t, "unknown", 404, "no service go.micro.api.none", 0)
}

func TestOnlyAllowedTargetsAreDialled(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	other := open(t, b, api.Config{Targets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(s.Close)
	_, port := place(t, s)
	for i, address := range []string{
		"169.254.169.254", "10.0.0.1", "0.0.0.0", "::ffff:10.0.0.1", "fe80::1", "224.0.0.1", "192.0.2.1", "255.255.255.255",
	} {
		service := fmt.Sprintf("go.micro.api.evil%d", i)
		h.register(t, service, address, port)
		got := h.do(t, "GET", fmt.Sprintf("/evil%d", i), "")
		got.want(t, address, 403, "outside of the networks", 0)
		if strings.Contains(got.failure(t).Detail, address) {
			t.Errorf("%s: the answer shows the address", address)
		}
	}
	for i, address := range []string{"127.0.0.1@evil.example", "evil.example:80/x", "2130706433", "0177.0.0.1", "http://127.0.0.1", "unix:///x"} {
		service := fmt.Sprintf("go.micro.api.odd%d", i)
		h.register(t, service, address, port)
		if got := h.do(t, "GET", fmt.Sprintf("/odd%d", i), ""); got.status != 403 && got.status != 503 {
			t.Errorf("%s: got %d, %s", address, got.status, got.body)
		}
	}
	h.register(t, "go.micro.api.here", "127.0.0.1", port)
	bustest.Eventually(t, 5*time.Second, "the other gateway knows it", func() bool { return other.gate.Known("go.micro.api.here") })
	other.do(t, "GET", "/here", "").want(t, "loopback where it is not allowed", 403, "outside of the networks", 0)
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls have gone out", n)
	}
	h.register(t, "go.micro.api.mapped", "::ffff:127.0.0.1", port)
	for _, path := range []string{"/here", "/mapped"} {
		h.do(t, "GET", path, "").want(t, path, 200, "", 0)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls have gone out, want 2", n)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	h.app(t, "go.micro.api.app", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
	})
	got := h.do(t, "GET", "/app", "")
	if got.status != 302 || got.header.Get("Location") != "http://169.254.169.254/" {
		t.Errorf("got %d, %v", got.status, got.header)
	}
}

func TestTheNextInstanceIsTriedWhenOneRefuses(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	var got atomic.Value
	h.app(t, "go.micro.api.app", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got.Store(string(body))
	})
	h.register(t, "go.micro.api.app", "127.0.0.1", free(t))
	for range 20 {
		got.Store("")
		h.do(t, "POST", "/app", "all of the body").want(t, "POST", 200, "", 0)
		if got.Load() != "all of the body" {
			t.Fatalf("the app got %q", got.Load())
		}
	}
	h.register(t, "go.micro.api.gone", "127.0.0.1", free(t))
	r := h.do(t, "GET", "/gone", "")
	r.want(t, "nobody listens", 503, "takes no connections", 0)
	if r.header.Get("Retry-After") == "" || r.header.Get("Mbus-End") != "nobody" {
		t.Errorf("got the headers %v", r.header)
	}
}

func TestAnAppThatBreaksOffIsUnavailableAndNotAskedAgain(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{MaxUpload: 1 << 20})
	var calls atomic.Int64
	breaks := func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	h.app(t, "go.micro.api.app", breaks)
	h.app(t, "go.micro.api.app", breaks)
	for _, method := range []string{"POST", "GET"} {
		calls.Store(0)
		h.do(t, method, "/app", "").want(t, method+" broken off", 503, "go.micro.api.app", 0)
		if n := calls.Load(); n != 1 {
			t.Errorf("%s: %d calls, want 1", method, n)
		}
	}
	h.app(t, "go.micro.api.big", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1073741824") })
	h.do(t, "GET", "/big", "").want(t, "an answer over the limit", 413, "1073741824", 0)
	h.do(t, "POST", "/big", strings.Repeat("x", 1<<20+1)).want(t, "a body over the limit", 413, "1048576", 0)
	h.app(t, "go.micro.api.sink", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	web := httptest.NewServer(h.api)
	defer web.Close()
	res, err := http.Post(web.URL+"/sink", "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 2<<20)))) // of no known length
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the limit without a length: got %v, %v", res, err)
	}
	if err == nil {
		res.Body.Close()
	}
	h.app(t, "go.micro.api.odd", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "nonsense\r\n\r\n")
		conn.Close()
	})
	h.do(t, "GET", "/odd", "").want(t, "no HTTP", 503, "go.micro.api.odd", 0)
}

func TestAnAnswerWithoutALengthIsCutAtTheLimit(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{MaxUpload: 1 << 20})
	h.app(t, "go.micro.api.app", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
				return
			}
		}
	})
	web := httptest.NewServer(h.api)
	defer web.Close()
	res, err := http.Get(web.URL + "/app")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil || n > 1<<20 {
		t.Errorf("got %d bytes, %v; want the connection to break", n, err)
	}
}

func TestAWebSocketReachesAnApp(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	echo := func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, data); err != nil {
				return
			}
		}
	}
	h.app(t, "go.micro.api.app", echo)
	plain := open(t, b, api.Config{Handler: "http"})
	bustest.Eventually(t, 5*time.Second, "the other gateway knows it", func() bool { return plain.gate.Known("go.micro.api.app") })
	for _, c := range []struct {
		h       *house
		upgrade bool
	}{{h, true}, {plain, false}} {
		web := httptest.NewServer(c.h.api)
		defer web.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, res, err := websocket.Dial(ctx, web.URL+"/app/ws", nil) //nolint:bodyclose // the library closes it
		if !c.upgrade {
			if err == nil {
				t.Error("the handler http has opened a WebSocket")
			}
			continue
		}
		if err != nil {
			t.Fatal(err, res)
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, data, err := conn.Read(ctx); err != nil || string(data) != "hello" {
			t.Errorf("got %q, %v", data, err)
		}
		_ = conn.CloseNow()
	}
}

func TestAClientThatLeavesAnAppEndsTheRequest(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	began, ended := make(chan struct{}), make(chan struct{})
	h.app(t, "go.micro.api.app", func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	web := httptest.NewServer(h.api)
	defer web.Close()
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(r); !errors.Is(err, context.Canceled) {
		if err == nil {
			res.Body.Close()
		}
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the app still works")
	}
}
