package web_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/web"
)

// app serves a web app and registers it.
func (h *house) app(t testing.TB, alias string, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	host, text, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	h.register(t, "go.micro.web."+alias, host, port)
	return s
}

func (h *house) register(t testing.TB, service, host string, port int) {
	t.Helper()
	a, err := discovery.NewAnnouncer(h.conn, discovery.AnnouncerConfig{
		Name: service, ID: fmt.Sprintf("%s-%d", service, port), Address: host, Port: port, Metadata: map[string]string{"title": "An app"},
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, a)
	bustest.Eventually(t, 5*time.Second, "the dashboard knows "+service, func() bool { return len(h.gate.Apps(service)) > 0 })
}

func TestAWebAppIsAtItsHostAndBelowItsPath(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, web.Config{})
	h.app(t, "greeter", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			w.Header().Set("Location", "/there")
			w.WriteHeader(http.StatusFound)
		case "/cookie":
			w.Header().Add("Set-Cookie", "session=1; Path=/")
			w.Header().Add("Set-Cookie", "mbus_theme=dark; Path=/")
		default:
			_, _ = fmt.Fprintf(w, "%s base=%q cookies=%q", r.URL.RequestURI(), r.Header.Get("X-Micro-Web-Base-Path"), r.Header.Get("Cookie"))
		}
	})
	w := h.ask(http.MethodGet, "/a%20b/c?d=e", "", "Host", "greeter.localhost:8082", "Cookie", "mbus_theme=dark; own=1")
	if w.Code != http.StatusOK || w.Body.String() != `/a%20b/c?d=e base="" cookies="own=1"` || w.Header().Get("Content-Security-Policy") != "" {
		t.Errorf("at its host: %d %s %v", w.Code, w.Body, w.Header())
	}
	w = h.ask(http.MethodGet, "/greeter/a%20b/c?d=e", "", "Cookie", "mbus_theme=dark; own=1", "X-Micro-Web-Base-Path", "/evil")
	if w.Code != http.StatusOK || w.Body.String() != `/a%20b/c?d=e base="/greeter" cookies="own=1"` {
		t.Errorf("below its path: %d %s", w.Code, w.Body)
	}
	if p := w.Header()["Content-Security-Policy"]; len(p) != 1 || p[0] != "sandbox allow-scripts allow-forms" || w.Header().Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("below its path it is in no sandbox: %v", w.Header())
	}
	if w := h.ask(http.MethodGet, "/greeter", ""); w.Code != http.StatusFound || w.Header().Get("Location") != "/greeter/" {
		t.Errorf("without a slash: %d %v", w.Code, w.Header())
	}
	if w := h.ask(http.MethodGet, "/greeter/away", ""); w.Header().Get("Location") != "/greeter/there" || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("a redirect: %v", w.Header())
	}
	if w := h.ask(http.MethodGet, "/greeter/cookie", ""); len(w.Header()["Set-Cookie"]) != 1 || w.Header().Get("Set-Cookie") != "session=1; Path=/greeter/" {
		t.Errorf("cookies: %v", w.Header())
	}
	d := page[struct {
		Apps []struct {
			Alias, Title string
			HostURL      string `json:"host_url"`
			PathURL      string `json:"path_url"`
			Reserved     bool
		}
	}](t, h, "/webapps")
	if a := d.Apps[0]; a.Alias != "greeter" || a.Title != "An app" || a.HostURL != "http://greeter.localhost:8082/" || a.PathURL != "/greeter/" || a.Reserved {
		t.Errorf("%+v", a)
	}
}

func TestAnAppWithTheNameOfAPageHasItsHostOnly(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, web.Config{})
	h.app(t, "services", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an app") })
	if w := h.ask(http.MethodGet, "/services", ""); strings.Contains(w.Body.String(), "an app") {
		t.Error("an app has taken the page of services")
	}
	if w := h.ask(http.MethodGet, "/", "", "Host", "services.localhost:8082"); w.Body.String() != "an app" {
		t.Errorf("at its host: %d %s", w.Code, w.Body)
	}
	if w := h.ask(http.MethodGet, "/webapps", "", "Accept", "application/json"); !strings.Contains(w.Body.String(), `"reserved":true`) {
		t.Errorf("it is not marked: %s", w.Body)
	}
}

func TestAnAppThatIsAwaySaysSo(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, web.Config{})
	s := h.app(t, "gone", func(http.ResponseWriter, *http.Request) {})
	s.Close()
	w := h.ask(http.MethodGet, "/gone/", "", "Accept", "text/html")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "takes no connections") || !strings.Contains(w.Body.String(), "go.micro.web.gone-") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.register(t, "go.micro.web.elsewhere", "192.0.2.1", 80)
	if w := h.ask(http.MethodGet, "/elsewhere/", ""); w.Code != http.StatusForbidden {
		t.Errorf("an app on another machine: %d %s", w.Code, w.Body)
	}
	if w := h.ask(http.MethodGet, "/", "", "Host", "nobody.localhost:8082"); w.Code != http.StatusNotFound {
		t.Errorf("no such app: %d", w.Code)
	}
}

func TestAWebAppHasItsWebSockets(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, web.Config{})
	h.app(t, "chat", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if c.Write(r.Context(), kind, append([]byte(r.URL.Path+" "), data...)) != nil {
				return
			}
		}
	})
	front := httptest.NewServer(h.room)
	defer front.Close()
	_, port, _ := net.SplitHostPort(front.Listener.Addr().String())
	for target, host := range map[string]string{"/chat/ws": "", "/ws": "chat.localhost:" + port} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		c, _, err := websocket.Dial(ctx, "ws://"+front.Listener.Addr().String()+target, &websocket.DialOptions{Host: host}) //nolint:bodyclose // a handshake has none
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if err := c.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, data, err := c.Read(ctx); err != nil || string(data) != "/ws hi" {
			t.Errorf("%s: %q %v", target, data, err)
		}
		_ = c.CloseNow()
		cancel()
	}
}

// A page of another site, a name that leads here by trickery and an app that the
// dashboard shows must not be able to drive it. The first line is the control:
// the dashboard's own page can.
func TestNobodyElseCanDriveTheDashboard(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, web.Config{})
	h.greet(t)
	h.app(t, "greeter", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an app") })
	const call = `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`
	own := "http://" + here
	for _, c := range []struct {
		what, method, target, body string
		headers                    []string
		status                     int
	}{
		{"its own page", "POST", "/-/call", call, []string{"Origin", own, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json"}, 200},
		{"a program", "POST", "/-/call", call, []string{"Content-Type", "application/json"}, 200},
		{"another site", "POST", "/-/call", call, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Content-Type", "application/json"}, 403},
		{"another site, as text", "POST", "/-/call", call, []string{"Origin", "https://evil.example", "Content-Type", "text/plain"}, 403},
		{"a form without an origin", "POST", "/-/call", call, []string{"Content-Type", "text/plain"}, 415},
		{"an app at its host", "POST", "/-/call", call, []string{"Origin", "http://greeter.localhost:8082", "Sec-Fetch-Site", "same-site", "Content-Type", "application/json"}, 403},
		{"an app below its path", "POST", "/-/call", call, []string{"Origin", "null", "Sec-Fetch-Site", "cross-site", "Content-Type", "application/json"}, 403},
		{"an app below its path, publishing", "POST", "/-/publish", `{"topic":"a","data":"x"}`, []string{"Origin", "null", "Content-Type", "application/json"}, 403},
		{"an app below its path, by Micro's rpc", "POST", "/rpc", call, []string{"Origin", "null", "Content-Type", "application/json"}, 403},
		{"an app below its path, as a form", "POST", "/rpc", "service=x&method=y", []string{"Origin", "null", "Content-Type", "application/x-www-form-urlencoded"}, 403},
		{"an app below its path, reading", "GET", "/services", "", []string{"Origin", "null", "Accept", "application/json"}, 403},
		{"an app as a script", "GET", "/-/index", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 403},
		{"an app's live stream", "GET", "/-/live?topics=services", "", []string{"Origin", "null"}, 403},
		{"an app's WebSocket", "GET", "/-/stream?service=x&method=y", "", []string{"Origin", "http://greeter.localhost:8082", "Connection", "Upgrade", "Upgrade", "websocket"}, 403},
		{"a name that leads here", "GET", "/services", "", []string{"Host", "evil.example:8082"}, 421},
		{"a name that leads here, posting", "POST", "/-/call", call, []string{"Host", "evil.example:8082", "Origin", "http://evil.example:8082", "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json"}, 421},
		{"a name like that of an app", "GET", "/", "", []string{"Host", "greeter.localhost.evil.example"}, 421},
		{"a link from another site", "GET", "/services", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html"}, 200},
		{"a frame of another site", "GET", "/services", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Accept", "text/html"}, 403},
		{"the scripts of an app below its path", "GET", "/greeter/app.js", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 200},
		{"what an app below its path posts to itself", "POST", "/greeter/", "x=1", []string{"Origin", "null", "Content-Type", "application/x-www-form-urlencoded"}, 403},
		{"the dashboard at the host of an app", "POST", "/-/call", call, []string{"Host", "greeter.localhost:8082", "Origin", "http://greeter.localhost:8082", "Content-Type", "application/json"}, 200},
	} {
		w := h.ask(c.method, c.target, c.body, c.headers...)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %.200s", c.what, w.Code, c.status, w.Body)
		}
		if strings.HasPrefix(c.what, "the dashboard at") && w.Body.String() != "an app" {
			t.Errorf("%s: %s", c.what, w.Body)
		}
	}
}
