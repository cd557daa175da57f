package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/gateway"
)

// A canary is a room that counts who got in.
type canary struct {
	calls atomic.Int32
	last  atomic.Pointer[http.Request]
	serve http.HandlerFunc // or nil
}

func (c *canary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.calls.Add(1)
	c.last.Store(r)
	if c.serve != nil {
		c.serve(w, r)
		return
	}
	_, _ = io.WriteString(w, "sung")
}

// edge puts a canary behind an edge.
func edge(t testing.TB, cfg gateway.EdgeConfig) (http.Handler, *canary) {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "go.micro.api"
	}
	e, err := gateway.NewEdge(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{}
	return e.Wrap(c), c
}

// ask makes a request to localhost:8080 with these header fields.
func ask(method, target string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:8080/", nil)
	if target != "" {
		fresh, err := http.NewRequest(method, "http://localhost:8080"+target, nil)
		if err != nil {
			panic(err)
		}
		r.URL = fresh.URL
		r.URL.Scheme, r.URL.Host = "", ""
		r.RequestURI = target
	}
	r.Host = "localhost:8080"
	r.RemoteAddr = "127.0.0.1:5"
	for i := 0; i < len(fields); i += 2 {
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	return r
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// refused checks that an answer is an error of the edge that no room has seen.
func refused(t *testing.T, w *httptest.ResponseRecorder, c *canary, status int, detail string) {
	t.Helper()
	var f gateway.Failure
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("status %d, the body %q is no JSON: %v", w.Code, w.Body, err)
	}
	if w.Code != status || f.Code != status || !strings.Contains(f.Detail, detail) || f.ID != "go.micro.api" || f.RequestID == "" {
		t.Errorf("got %d %+v, want %d and a detail with %q", w.Code, f, status, detail)
	}
	if n := c.calls.Load(); n != 0 {
		t.Errorf("the room was asked %d times", n)
	}
}

func TestOnlyRequestsForOurNamesComeIn(t *testing.T) {
	tests := []struct {
		host string
		ok   bool
	}{
		{"localhost", true},
		{"localhost:8080", true},
		{"LocalHost:1", true},
		{"localhost.:8080", true},
		{"127.0.0.1:8080", true},
		{"127.1.2.3", true},
		{"[::1]:8080", true},
		{"::1", true},
		{"[::ffff:127.0.0.1]", true},
		{"10.0.0.7:8080", true}, // where the request came to
		{"10.0.0.8:8080", false},
		{"api.example.com", true},
		{"API.EXAMPLE.COM:443", true},
		{"a.below.example", true},
		{"a.b.below.example:80", true},
		{"below.example", false},
		{"xbelow.example", false},
		{"evil.example", false},
		{"localhost.evil.example", false},
		{"localhost:evil", false},
		{"localhost:80:80", false},
		{"localhost@evil.example", false},
		{"127.0.0.1.evil.example", false},
		{"2130706433", false},
		{"0x7f.1", false},
		{"0", false},
		{"", false},
		{":8080", false},
		{"a.localhost", false},
	}
	for _, test := range tests {
		t.Run(test.host, func(t *testing.T) {
			h, c := edge(t, gateway.EdgeConfig{Hosts: []string{"api.example.com", "*.below.example"}})
			r := ask("GET", "/")
			r.Host = test.host
			r = r.WithContext(contextAt(r, "10.0.0.7:8080"))
			w := answer(h, r)
			if test.ok {
				if w.Code != 200 || c.calls.Load() != 1 {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
				return
			}
			refused(t, w, c, 421, "--allow-host")
			if w.Header().Get("Connection") != "close" {
				t.Error("the connection stays")
			}
		})
	}
}

func TestPathsWithTwoReadingsAreRefused(t *testing.T) {
	tests := []struct {
		path string
		want string // the path that the room sees; "" is a refusal
	}{
		{"/", "/"},
		{"/foo/bar", "/foo/bar"},
		{"/foo//bar", "/foo/bar"},
		{"//foo///bar//", "/foo/bar/"},
		{"/foo/bar/", "/foo/bar/"},
		{"/foo/b%20r", "/foo/b r"},
		{"/foo/%C3%A4", "/foo/ä"},
		{"/foo/bar;a=b", "/foo/bar;a=b"},
		{"/foo/...", "/foo/..."},
		{"/foo/.bar", "/foo/.bar"},
		{"/foo/%252f", "/foo/%2f"},
		{"/foo/%2e%2e%2e", "/foo/..."},
		{"/foo/./bar", ""},
		{"/foo/../bar", ""},
		{"/..", ""},
		{"/.", ""},
		{"/foo/%2e%2e/bar", ""},
		{"/foo/.%2E/bar", ""},
		{"/foo/%2e/bar", ""},
		{"/foo%2fbar", ""},
		{"/foo%2Fbar", ""},
		{"/foo%5cbar", ""},
		{"/foo%5Cbar", ""},
		{`/foo\bar`, ""},
		{"/foo%00", ""},
		{"/foo%0d%0aX:y", ""},
		{"/foo%1b", ""},
		{"/foo%7f", ""},
		{"/foo%ff", ""},
		{"/foo%c0%af", ""},
		{"/foo%c0%ae%c0%ae/", ""},
		{"/foo%ed%a0%80", ""},
		{"*", ""},
		{"foo", ""},
	}
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			h, c := edge(t, gateway.EdgeConfig{})
			r := ask("GET", "/")
			r.RequestURI = test.path
			u, err := r.URL.Parse("/")
			if err != nil {
				t.Fatal(err)
			}
			// As net/http parses a request line.
			if parsed, err := http.ReadRequest(newReader("GET " + test.path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")); err == nil {
				u = parsed.URL
			} else {
				u.Path, u.RawPath = test.path, ""
			}
			r.URL = u
			w := answer(h, r)
			if test.want == "" {
				refused(t, w, c, 400, "the path")
				return
			}
			if w.Code != 200 || c.calls.Load() != 1 {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if got := c.last.Load().URL.Path; got != test.want {
				t.Errorf("the room sees %q, want %q", got, test.want)
			}
		})
	}
}

func TestHygiene(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		header string // one that the answer must have
		closed bool
	}{
		{"a method nobody knows", func(r *http.Request) { r.Method = "FOO!" }, 405, "Allow", false},
		{"lower case", func(r *http.Request) { r.Method = "get" }, 405, "Allow", false},
		{"TRACE", func(r *http.Request) { r.Method = "TRACE" }, 405, "Allow", false},
		{"CONNECT", func(r *http.Request) { r.Method = "CONNECT" }, 405, "Allow", false},
		{"HTTP/1.2", func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.2", 1, 2 }, 505, "", true},
		{"a URI of 9 KiB", func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", 9<<10) }, 414, "", true},
		{"a URI of 8 KiB", func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", 8<<10-1) }, 200, "", false},
		{"101 fields", func(r *http.Request) { r.Header["X-A"] = make([]string, 101) }, 431, "", true},
		{"100 fields", func(r *http.Request) { r.Header["X-A"] = make([]string, 100) }, 200, "", false},
		{"33 KiB in one field", func(r *http.Request) { r.Header.Set("X-A", strings.Repeat("a", 33<<10)) }, 431, "", true},
		{"a chunked body", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 200, "", true},
		{"a chunked body in HTTP/2", func(r *http.Request) { r.ProtoMajor, r.TransferEncoding = 2, []string{"chunked"} }, 200, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, c := edge(t, gateway.EdgeConfig{})
			r := ask("GET", "/a")
			test.change(r)
			w := answer(h, r)
			if test.status == 200 {
				if w.Code != 200 {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
			} else {
				refused(t, w, c, test.status, "")
			}
			if test.header != "" && w.Header().Get(test.header) == "" {
				t.Errorf("no %s", test.header)
			}
			if got := w.Header().Get("Connection") == "close"; got != test.closed {
				t.Errorf("the connection is closed: %v, want %v", got, test.closed)
			}
		})
	}
}

func TestWhatOnlyTheBusMaySayIsStripped(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	r := ask("GET", "/a", "Mbus-Id", "1", "Mbus-Timeout", "5", "X-Mbus-From", "root", "Nats-Service-Error", "no", "Nats-Expected-Stream", "s", "X-Mine", "kept")
	r.Trailer = http.Header{"Mbus-End": nil, "X-Sum": nil}
	answer(h, r)
	got := c.last.Load()
	if want := (http.Header{"X-Mine": {"kept"}}); !maps.EqualFunc(got.Header, want, func(a, b []string) bool { return a[0] == b[0] }) {
		t.Errorf("the room sees %v, want %v", got.Header, want)
	}
	if _, ok := got.Trailer["Mbus-End"]; ok || len(got.Trailer) != 1 {
		t.Errorf("the room sees the trailer %v", got.Trailer)
	}
}

func TestOnlyTrustedProxiesAreBelieved(t *testing.T) {
	proxies, err := gateway.ParseProxies([]string{"10.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, peer string
		fields     []string
		client     string
		kept       bool
	}{
		{"a stranger", "203.0.113.5:1", []string{"X-Forwarded-For", "1.2.3.4"}, "203.0.113.5", false},
		{"a proxy", "10.1.1.1:1", []string{"X-Forwarded-For", "1.2.3.4"}, "1.2.3.4", true},
		{"a proxy of IPv6", "[::1]:1", []string{"X-Forwarded-For", "2001:db8::1"}, "2001:db8::1", true},
		{"two proxies", "10.1.1.1:1", []string{"X-Forwarded-For", "9.9.9.9, 1.2.3.4, 10.2.2.2"}, "1.2.3.4", true},
		{"two fields", "10.1.1.1:1", []string{"X-Forwarded-For", "9.9.9.9", "X-Forwarded-For", "1.2.3.4"}, "1.2.3.4", true},
		{"a client that forges", "10.1.1.1:1", []string{"X-Forwarded-For", "127.0.0.1, 1.2.3.4"}, "1.2.3.4", true},
		{"nonsense", "10.1.1.1:1", []string{"X-Forwarded-For", "unknown"}, "10.1.1.1", true},
		{"nothing", "10.1.1.1:1", nil, "10.1.1.1", false},
		{"other spellings of a stranger", "203.0.113.5:1", []string{"X-Real-Ip", "1.2.3.4", "Forwarded", "for=1.2.3.4", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil"}, "203.0.113.5", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, c := edge(t, gateway.EdgeConfig{Proxies: proxies})
			var got netip.Addr
			c.serve = func(_ http.ResponseWriter, r *http.Request) { got = gateway.ClientAddr(r.Context()) }
			r := ask("GET", "/a", test.fields...)
			r.RemoteAddr = test.peer
			answer(h, r)
			if got.String() != test.client {
				t.Errorf("the client is %v, want %s", got, test.client)
			}
			left := 0
			for name := range c.last.Load().Header {
				if strings.HasPrefix(name, "X-Forwarded") || name == "X-Real-Ip" || name == "Forwarded" {
					left++
				}
			}
			if (left > 0) != test.kept {
				t.Errorf("the room sees %v", c.last.Load().Header)
			}
		})
	}
}

func TestAPanicBecomesAnAnswerAndALine(t *testing.T) {
	var log bytes.Buffer
	h, c := edge(t, gateway.EdgeConfig{Logger: zerolog.New(&log)})
	c.serve = func(http.ResponseWriter, *http.Request) { panic("secret of the room") }
	w := answer(h, ask("GET", "/a"))
	c.calls.Store(0)
	refused(t, w, c, 500, "its log says how")
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("the client learns %s", w.Body)
	}
	id := w.Header().Get("X-Request-Id")
	if !strings.Contains(log.String(), "secret of the room") || !strings.Contains(log.String(), "edge_test.go") || strings.Count(log.String(), id) != 2 {
		t.Errorf("the log has not the panic, its stack and the line of access under the id %s:\n%s", id, &log)
	}
}

func TestHalfAnAnswerIsNotMadeAWholeOne(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	for _, fault := range []any{"late", http.ErrAbortHandler} {
		c.serve = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(fault)
		}
		func() {
			defer func() {
				if got, ok := recover().(error); !ok || !errors.Is(got, http.ErrAbortHandler) {
					t.Errorf("after %v: got %v, want http.ErrAbortHandler, which cuts the connection", fault, got)
				}
			}()
			answer(h, ask("GET", "/a"))
		}()
	}
}

func TestTheAccessLog(t *testing.T) {
	var log bytes.Buffer
	h, c := edge(t, gateway.EdgeConfig{Logger: zerolog.New(&log)})
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		gateway.Note(r.Context(), "go.micro.srv.greeter", "Say.Hello")
		gateway.Note(r.Context(), "go.micro.srv.other", "No.More")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}
	answer(h, ask("GET", "/a%1fb", "X-Request-Id", "mine"))
	answer(h, ask("GET", "/greeter/say/hello?token=secret", "X-Request-Id", "mine-1"))
	answer(h, ask("GET", "/a", "X-Request-Id", "forged\n{\"level\":\"panic\"}\x1b[31m"))
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("got %d lines:\n%s", len(lines), &log)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"level": "info", "gateway": "go.micro.api", "method": "GET", "path": "/greeter/say/hello", "status": 418.0, "bytes": 15.0,
		"remote": "127.0.0.1", "id": "mine-1", "service": "go.micro.srv.greeter", "endpoint": "Say.Hello", "proto": "HTTP/1.1",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if strings.Contains(log.String(), "secret") || strings.Contains(log.String(), "\x1b") || strings.Contains(log.String(), "forged") {
		t.Errorf("the log has what it must not:\n%s", &log)
	}
}

func TestEveryAnswerHasTheHeadersOfSafety(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	for _, path := range []string{"/a", "/%00"} {
		w := answer(h, ask("GET", path))
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	c.serve = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	}
	if got := answer(h, ask("GET", "/a")).Header()["Content-Security-Policy"]; len(got) != 1 || got[0] != "default-src 'self'" {
		t.Errorf("a room cannot choose its policy: %q", got)
	}
}

func TestMicrosStatistics(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{Stats: true})
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
	}
	for _, path := range []string{"/a", "/b", "/missing", "/%00"} {
		answer(h, ask("GET", path))
	}
	for _, fields := range [][]string{{"Content-Type", "application/json"}, {"Accept", "application/json"}} {
		w := answer(h, ask("GET", "/stats", fields...))
		var got struct {
			Started  int64
			Memory   string
			Threads  int
			GC       string `json:"gc_pause"`
			Counters []struct {
				Timestamp int64
				Codes     map[string]int `json:"status_codes"`
				Total     int            `json:"total_reqs"`
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		total, ok, wrong := 0, 0, 0
		for _, c := range got.Counters {
			total, ok, wrong = total+c.Total, ok+c.Codes["20x"], wrong+c.Codes["40x"]
		}
		if total < 4 || ok < 2 || wrong != 2 || got.Started == 0 || !strings.HasSuffix(got.Memory, "mb") || !strings.HasSuffix(got.GC, "ms") || got.Threads == 0 {
			t.Errorf("got %s", w.Body)
		}
	}
	w := answer(h, ask("GET", "/stats"))
	for _, want := range []string{"<th scope=\"row\">40x</th><td>2</td>", "Request Load", "<polyline points="} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s:\n%s", want, w.Body)
		}
	}
	off, _ := edge(t, gateway.EdgeConfig{})
	if w := answer(off, ask("GET", "/stats")); w.Body.String() != "sung" {
		t.Errorf("without Stats /stats is not the room's: %s", w.Body)
	}
}

func TestAnEdgeThatCannotBe(t *testing.T) {
	for _, cfg := range []gateway.EdgeConfig{
		{Origins: "good.example"},
		{Origins: "https://good.example/path"},
		{Origins: "https://good.example, null"},
		{Hosts: []string{"a/b"}},
		{Hosts: []string{"*"}},
		{Hosts: []string{"*.*.example"}},
		{Hosts: []string{""}},
		{Limits: []gateway.Limit{{}}},
		{Limits: []gateway.Limit{{Rate: 1, Path: "a"}}},
	} {
		if _, err := gateway.NewEdge(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// contextAt says where a request came to.
func contextAt(r *http.Request, address string) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))))
}

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
