package sidecar_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/sidecar"
)

func TestMicrosRegistry(t *testing.T) {
	const accept, jsonType = "Accept", "application/json"
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string
	}{
		{"the names", "GET", "/registry", "", nil, 200, `[{"name":"mbus","version":"","metadata":null,"endpoints":null,"nodes":null},{"name":"ruby.micro.srv.greeter",`},
		{"a service", "GET", "/registry?service=" + ruby, "", nil, 200, `[{"name":"ruby.micro.srv.greeter","version":"1.0.0","metadata":{},"endpoints":[],"nodes":[{"id":"1","address":"127.0.0.1","port":8000,"metadata":{"host":"here"}}]}]`},
		{"HEAD", "HEAD", "/registry", "", nil, 200, ``},
		{"an unknown service", "GET", "/registry?service=none", "", nil, 404, "Service not found\n"},
		{"an unknown service as JSON", "GET", "/registry?service=ruby.micro.srv.greter", "", []string{accept, jsonType}, 404, `{"id":"go.micro.sidecar","code":404,"detail":`},
		{"a name that is none", "GET", "/registry?service=a%20b", "", nil, 400, `service name`},
		{"broken JSON", "POST", "/registry", `{"name":`, nil, 400, ``},
		{"another type", "POST", "/registry", `{"name":1}`, nil, 400, `definition`},
		{"no name", "POST", "/registry", `{"nodes":[{"id":"1","address":"127.0.0.1","port":1}]}`, nil, 400, `no "name"`},
		{"no nodes", "POST", "/registry", `{"name":"x"}`, nil, 400, `Require at least one node`},
		{"a node without an id", "POST", "/registry", `{"name":"x","nodes":[{"address":"127.0.0.1","port":1}]}`, nil, 400, ``},
		{"a wrong ttl", "POST", "/registry?ttl=10", definition("2", "127.0.0.1:8000"), nil, 400, `ttl`},
		{"a negative ttl", "POST", "/registry?ttl=-1s", definition("2", "127.0.0.1:8000"), nil, 400, `ttl`},
		{"an unknown protocol", "POST", "/registry", definition("2", "127.0.0.1:8000", "protocol", "soap"), nil, 400, `jsonrpc and http`},
		{"a host that is not its own", "POST", "/registry", definition("2", "127.0.0.1:8000", "host", "there"), nil, 200, ``},
		{"keys in another case, a ttl", "POST", "/registry?ttl=30s", `{"Name":"y","Nodes":[{"Id":"1","Address":"::1","Port":8000}]}`, nil, 200, ``},
		{"the same again", "POST", "/registry", definition("1", "127.0.0.1:8000"), nil, 200, ``},
		{"the registry's own name", "POST", "/registry", `{"name":"mbus","nodes":[{"id":"1","address":"127.0.0.1","port":1}]}`, nil, 400, ``},
		{"too much", "POST", "/registry", strings.Repeat(" ", 300<<10), nil, 413, ``},
		{"DELETE of what is not there", "DELETE", "/registry", definition("9", "127.0.0.1:8000"), nil, 200, ``},
		{"DELETE without a body", "DELETE", "/registry", ``, nil, 400, ``},
		{"PUT", "PUT", "/registry", `{}`, nil, 405, ``},
		{"OPTIONS", "OPTIONS", "/registry", ``, nil, 200, ``},
		{"rpc", "POST", "/rpc", `{"service":"ruby.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`, []string{"Content-Type", jsonType}, 200, `{"msg":"Say.Hello John"}`},
		{"a path in full", "POST", "/ruby.micro.srv.greeter/Say.Hello", `{"name":"John"}`, nil, 200, `{"msg":"Say.Hello John"}`},
		{"a path to one node", "POST", "/ruby.micro.srv.greeter/Say.Hello?node=1", `{"name":"John"}`, nil, 200, `{"msg":"Say.Hello John"}`},
		{"rpc to a node by its address", "POST", "/rpc", `{"service":"ruby.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"},"address":"127.0.0.1:8000"}`, []string{"Content-Type", jsonType}, 200, `{"msg":"Say.Hello John"}`},
		{"rpc to a node that is not there", "POST", "/rpc", `{"service":"ruby.micro.srv.greeter","method":"Say.Hello","request":{},"address":"127.0.0.1:8001","retries":0}`, []string{"Content-Type", jsonType}, 404, `no node 127.0.0.1:8001 of ruby.micro.srv.greeter; there are 1`},
		{"a path by Micro's rule", "POST", "/greeter/say/hello", `{}`, nil, 404, `go.micro.srv.greeter`},
		{"a path with broken JSON", "POST", "/ruby.micro.srv.greeter/Say.Hello", `{`, nil, 400, `"code":400`},
		{"GET of a path", "GET", "/ruby.micro.srv.greeter/Say.Hello", ``, nil, 405, `POST`},
		{"an ambiguous path", "POST", "/ruby.micro.srv.greeter/%2e%2e", ``, nil, 400, `ambiguous`},
		{"the root", "GET", "/", ``, nil, 404, `/registry`},
		{"health without an app", "GET", "/health", ``, nil, 404, `without an app`},
		{"broker without a topic", "GET", "/broker", ``, nil, 400, `Topic not specified`},
		{"broker by POST", "POST", "/broker?topic=x", ``, nil, 405, ``},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", sayHello)
		w.listen(t, "[::1]:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		for _, tt := range tests {
			if rec := w.do(tt.method, tt.path, tt.body, tt.header...); rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
				t.Errorf("%s: %d %s, want %d with %s", tt.name, rec.Code, rec.Body, tt.status, tt.want)
			}
		}
	})
}

func TestNoDefinitionMakesTheSidecarCallAnotherHost(t *testing.T) {
	node := func(address string, port any, metadata ...string) string {
		meta := map[string]string{}
		for i := 0; i+1 < len(metadata); i += 2 {
			meta[metadata[i]] = metadata[i+1]
		}
		text, _ := json.Marshal(map[string]any{"name": "evil", "nodes": []any{map[string]any{"id": "1", "address": address, "port": port, "metadata": meta}}})
		return string(text)
	}
	bodies := map[string]string{}
	for _, address := range []string{
		"169.254.169.254", "169.254.1.1", "fe80::1", "fe80::1%lo", "::1%lo", "10.0.0.1", "192.168.1.1", "0.0.0.0", "::", "", " 127.0.0.1", "127.0.0.1 ",
		"localhost", "localhost.", "localtest.me", "rebind.example.com", "127.0.0.1.nip.io", "::ffff:10.0.0.1", "[::ffff:10.0.0.1]", "::ffff:127.0.0.1", "::127.0.0.1",
		"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "0x7f.0.0.1", "127.000.000.001", "①②⑦.0.0.1", "127.0.0.1@evil", "http://127.0.0.1@evil",
		"http://127.0.0.1", "127.0.0.1:80", "127.0.0.1/path", "file:///etc/passwd", "gopher://127.0.0.1", "unix:///run/docker.sock", "/run/docker.sock", "[127.0.0.1", "127.0.0.1\r\nHost: x",
	} {
		bodies["address "+address] = node(address, 8000)
	}
	for _, port := range []any{0, -1, 65536, 1 << 40} {
		text, _ := json.Marshal(port)
		bodies["port "+string(text)] = node("127.0.0.1", port)
	}
	bodies["port as text"] = node("127.0.0.1", "8000")
	for _, url := range []string{
		"http://169.254.169.254/latest/meta-data", "http://localhost:8000/", "http://127.0.0.1@evil/", "http://evil@127.0.0.1:8000/", "http://127.0.0.1:8000@evil/",
		"http://[::ffff:10.0.0.1]:8000/", "http://2130706433:8000/", "http://0x7f.1:8000/", "http://127.0.0.1:9999/other-port", "http://127.0.0.2:8000/", "https://127.0.0.1:8000/",
		"file:///etc/passwd", "gopher://127.0.0.1:8000/", "unix:///run/x", "//127.0.0.1:8000/", "/health", "http:127.0.0.1", "http://", "http://127.0.0.1:8000/\r\nX: y", "http://127.0.0.1:8000 /",
	} {
		bodies["health check "+url] = node("127.0.0.1", 8000, "healthcheck", url)
	}
	for _, path := range []string{"", "events", "//evil/x", "http://evil/x", "\\\\evil\\x", "/a\\b", "/x#y", "/x y", "/x\r\nHost: y", "@evil", "file:///x"} {
		def, _ := json.Marshal(map[string]string{"topic": "a.b", "path": path})
		bodies["path "+path] = node("127.0.0.1", 8000, "subscribe.x", string(def))
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		for name, body := range bodies {
			if rec := w.do("POST", "/registry", body); rec.Code != 400 {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			}
		}
		if len(bodies) < 70 {
			t.Errorf("only %d cases", len(bodies))
		}
		// What is registered behind the sidecar's back is not called either.
		for id, address := range map[string]string{"a": "10.0.0.1", "b": "localhost", "c": "::ffff:127.0.0.1", "d": "169.254.169.254"} {
			err := discovery.Register(t.Context(), w.conn, discovery.Service{Name: "evil", Nodes: []discovery.Node{{ID: id, Address: address, Port: 80, Metadata: map[string]string{"host": "here"}}}}, 0)
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if rec := w.do("POST", "/evil/X.Y", `{}`); rec.Code < 400 {
			t.Errorf("a call: %d", rec.Code)
		}
		if all := w.dialled(); len(all) != 0 {
			t.Errorf("the sidecar has dialled %v", all)
		}
		names, err := discovery.Get(t.Context(), w.conn, "evil")
		if err != nil || len(names[0].Nodes) != 4 {
			t.Errorf("the registry has %v, %v", names, err)
		}
	})
}

func TestARedirectLeadsNowhere(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		t.Setenv("HTTP_PROXY", "http://10.0.0.1:3128")
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		})
		w.register("1", "127.0.0.1:8000", "?ttl=1m", "healthcheck", "http://127.0.0.1:8000/health")
		_, _ = w.call("Say.Hello", `{}`)
		time.Sleep(5 * time.Second)
		for _, address := range w.dialled() {
			if address != "127.0.0.1:8000" {
				t.Errorf("the sidecar has dialled %s", address)
			}
		}
		if len(w.dialled()) == 0 {
			t.Error("the sidecar has dialled nothing: does this test still see it?")
		}
	})
}

// A stream is a response that goes on, in virtual time.
func (w *world) stream(ctx context.Context, path string, header ...string) (http.Header, *bufio.Reader) {
	w.t.Helper()
	here, there := net.Pipe()
	server := &http.Server{Handler: w.sidecar}
	l := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- there
	go func() { _ = server.Serve(l) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://sidecar"+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = res.Body.Close()
		transport.CloseIdleConnections()
		close(l.done)
		_ = server.Close()
	})
	return res.Header, bufio.NewReader(res.Body)
}

type oneConn struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestTheRegistryIsWatched(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "?ttl=1h")
		got, lines := w.stream(t.Context(), "/registry/watch?snapshot=true&service="+ruby)
		if kind := got.Get("Content-Type"); kind != "application/x-ndjson" {
			t.Errorf("the content type is %q", kind)
		}
		next := func() sidecar.WatchLine {
			t.Helper()
			text, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var l sidecar.WatchLine
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			return l
		}
		if l := next(); l.Action != "create" || l.Service.Name != ruby || l.Service.Nodes[0].ID != "1" {
			t.Errorf("first came %+v", l)
		}
		if l := next(); l.Action != "ready" {
			t.Errorf("then came %+v", l)
		}
		w.do("POST", "/registry", `{"name":"other","nodes":[{"id":"1","address":"127.0.0.1","port":8000}]}`) // not asked for
		w.register("2", "127.0.0.1:8000", "?ttl=1h")
		if l := next(); l.Action != "create" || l.Service.Nodes[0].ID != "2" {
			t.Errorf("then came %+v", l)
		}
		w.register("2", "127.0.0.1:8000", "?ttl=1h", "zone", "b")
		if l := next(); l.Action != "update" || l.Service.Nodes[0].Metadata["zone"] != "b" {
			t.Errorf("then came %+v", l)
		}
		w.do("DELETE", "/registry", definition("1", "127.0.0.1:8000"))
		if l := next(); l.Action != "delete" || l.Service.Nodes[0].ID != "1" {
			t.Errorf("then came %+v", l)
		}
		stop(t, w.sidecar)
		if _, err := lines.ReadString('\n'); err == nil {
			t.Error("the watch outlives the sidecar")
		}
	})
}

func TestTheRegistryIsWatchedAsEvents(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		got, lines := w.stream(t.Context(), "/registry/watch", "Accept", "text/event-stream")
		text, err := lines.ReadString('\n')
		if err != nil || text != "event: ready\n" || got.Get("Content-Type") != "text/event-stream" {
			t.Errorf("got %q, %v, %v", text, err, got)
		}
	})
}

func TestTheProxyHandlerPassesRequestsAsTheyAre(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b, func(c *sidecar.Config) { c.Handler, c.Namespace = "proxy", "ruby.micro.srv" })
		a := w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-App", "yes")
			rw.Header().Set("Mbus-Secret", "x")
			rw.WriteHeader(http.StatusTeapot)
			_, _ = rw.Write([]byte(r.Method + " " + r.URL.RequestURI()))
		})
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		rec := w.do("PUT", "/greeter/say/hello?name=John", "body", "Mbus-From", "evil", "X-Colour", "red")
		if rec.Code != 418 || rec.Body.String() != "PUT /greeter/say/hello?name=John" || rec.Header().Get("X-App") != "yes" || rec.Header().Get("Mbus-Secret") != "" {
			t.Errorf("got %d %s %v", rec.Code, rec.Body, rec.Header())
		}
		got := a.requests()[0]
		if got.body != "body" || got.header.Get("X-Colour") != "red" || got.header.Get("Mbus-From") != "" || got.header.Get("X-Forwarded-For") == "" {
			t.Errorf("the app saw %+v", got)
		}
		for _, path := range []string{"/other/x", "/gree..ter/x", "/-/x"} {
			if rec := w.do("GET", path, ""); rec.Code != 404 {
				t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			}
		}
		a.kill()
		if rec := w.do("GET", "/greeter/x", ""); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
			t.Errorf("a dead app: %d %s", rec.Code, rec.Body)
		}
	})
}

func TestMethodsOfThePathFollowMicro(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b, func(c *sidecar.Config) { c.Namespace = "ruby.micro.srv" })
		w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		for path, want := range map[string]string{
			"/greeter/say/hello": "Say.Hello", "/greeter/hello": "Greeter.Hello", "/greeter/say/hello-there": "Say.HelloThere",
			"/" + ruby + "/Any.Method": "Any.Method",
		} {
			rec := httptest.NewRecorder()
			w.sidecar.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"name":"x"}`)).WithContext(t.Context()))
			if rec.Code != 200 || rec.Body.String() != `{"msg":"`+want+` x"}` {
				t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			}
		}
	})
}
