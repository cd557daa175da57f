//go:build unix

package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/pubsub"
	"github.com/mbus-dev/mbus/rpc"
)

// hostile is a script that tries everything there is to drive a dashboard: it
// puts what came of each try into window.got.
func hostile(origin string) string {
	return `(async () => {
  const at = ` + quote(origin) + `, got = {}, ws = at.replace(/^http/, 'ws');
  const call = JSON.stringify({service: 'go.micro.srv.lab', method: 'Lab.Echo', request: {stolen: 1}});
  const form = new URLSearchParams({service: 'go.micro.srv.lab', method: 'Lab.Echo', request: '{}'});
  const tries = {
    read: () => fetch(at + '/services', {headers: {Accept: 'application/json'}}),
    call: () => fetch(at + '/-/call', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: call}),
    simple: () => fetch(at + '/-/call', {method: 'POST', headers: {'Content-Type': 'text/plain'}, body: call}),
    blind: () => fetch(at + '/-/call', {method: 'POST', mode: 'no-cors', body: call}),
    rpc: () => fetch(at + '/rpc', {method: 'POST', mode: 'no-cors', body: form}),
    publish: () => fetch(at + '/-/publish', {method: 'POST', mode: 'no-cors', body: JSON.stringify({topic: 'stolen.event', data: '"x"'})}),
    terminal: () => fetch(at + '/-/terminal', {method: 'POST', mode: 'no-cors', body: JSON.stringify({line: 'query go.micro.srv.lab Lab.Echo {}'})}),
    live: () => fetch(at + '/-/live?topics=services'),
  };
  for (const [name, f] of Object.entries(tries)) {
    try { const r = await f(); got[name] = r.type === 'opaque' ? 'opaque' : r.ok ? 'OK ' + (await r.text()).slice(0, 80) : 'refused ' + r.status; } catch (e) { got[name] = 'refused'; }
  }
  const ended = (o, open) => new Promise(r => { o.addEventListener(open, () => r('OK')); o.onerror = () => r('refused'); setTimeout(() => r('silent'), 3000); });
  try { got.socket = await ended(new WebSocket(ws + '/-/stream?service=go.micro.srv.lab&method=Lab.Chat'), 'open'); } catch { got.socket = 'refused'; }
  try { const e = new EventSource(at + '/-/live?topics=services'); got.events = await ended(e, 'hello'); e.close(); } catch { got.events = 'refused'; }
  try { const f = document.createElement('iframe'); f.src = at + '/services'; document.body.append(f); await new Promise(r => { f.onload = r; setTimeout(r, 2000); }); got.frame = f.contentDocument?.querySelector('#app') ? 'OK' : 'refused'; } catch { got.frame = 'refused'; }
  window.got = got;
  const out = document.createElement('pre'); out.id = 'got'; out.textContent = JSON.stringify(got); document.body.append(out);
})()`
}

const noises = `refused|Refused|blocked|CORS|Failed|ERR_|WebSocket|violates|Blocked|sandbox|status of 4|EventSource|disallowed|Framing`

// evil serves a page with that script.
func evil(t testing.TB, origin string) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><title>evil</title><body><script>`+hostile(origin)+`</script></body></html>`)
	})
	return mux
}

// unmoved fails the test if anybody got through: what the page tells, and what
// the lab and the topic have seen.
func unmoved(t *testing.T, p *tab, a addresses, seen *atomic.Int64) {
	t.Helper()
	p.until(`document.querySelector('#got')`)
	got := eval[map[string]string](p, `JSON.parse(document.querySelector('#got').textContent)`)
	t.Log(got)
	for what, came := range got {
		if strings.HasPrefix(came, "OK") {
			t.Errorf("%s: %s", what, came)
		}
	}
	if len(got) < 11 {
		t.Errorf("the page tried only %v", got)
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d calls or events came through", n)
	}
	// Whoever sits at the dashboard can do what they could not.
	own := open(t, a.Web+"/services")
	for _, send := range []string{`'/-/call', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({service: 'go.micro.srv.lab', method: 'Lab.Echo', request: {}})}`, `'/-/publish', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({topic: 'stolen.event', data: '"x"'})}`} {
		if answer := eval[string](own, `fetch(`+send+`).then(r => r.text())`); !strings.Contains(answer, `"ok":true`) {
			t.Errorf("the dashboard itself got %s", answer)
		}
	}
	for until := time.Now().Add(patience); seen.Load() != 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the lab does not see who calls it: this test sees nothing")
		}
	}
	seen.Store(0)
}

// TestAnotherOriginCannotDriveTheDashboard looks from a page of another site.
func TestAnotherOriginCannotDriveTheDashboard(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	seen := watchLab(t, a)
	site := httptest.NewServer(evil(t, a.Web))
	t.Cleanup(site.Close)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		p := blank(t, allowing(noises))
		p.visitPlain(strings.Replace(site.URL, "127.0.0.1", host, 1))
		unmoved(t, p, a, seen)
	}
}

// A name of the attacker that has come to point to this machine makes the
// dashboard its own origin.
func TestARebindingHostIsRefused(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io"} {
		for _, path := range []string{"/services", "/-/live?topics=services", "/-/call"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, demoWeb(t)+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s for %s is status %d, want 421", path, host, res.StatusCode)
			}
		}
	}
}

// A web app runs the script of whoever wrote it: its page must not be the
// dashboard's, at its own host or below the dashboard's.
func TestAWebAppCannotDriveTheDashboard(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	seen := watchLab(t, a)
	conn := connect(t, a)
	app := gateway.NewApp(conn, gateway.AppConfig{Name: "go.micro.web.evil", Handler: evil(t, a.Web)})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = app.Stop(ctx)
	})
	_, port, _ := strings.Cut(strings.TrimPrefix(a.Web, "http://"), ":")
	for name, url := range map[string]string{"host": "http://evil.localhost:" + port + "/", "path": a.Web + "/evil/"} {
		t.Run(name, func(t *testing.T) {
			p := blank(t, allowing(noises))
			for until := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
				p.visitPlain(url)
				if p.count("#app") == 0 && eval[string](p, `document.title`) == "evil" {
					break
				}
				if time.Now().After(until) {
					t.Fatalf("the app is not shown at %s: %s", url, p.text("body"))
				}
			}
			unmoved(t, p, a, seen)
		})
	}
	// And it can be used: this is no locked door.
	p := open(t, a.Web+"/webapps")
	p.says("main", "evil")
}

// visitPlain goes to a page that is none of the dashboard.
func (p *tab) visitPlain(url string) {
	p.Helper()
	p.do(chromedp.Navigate(url))
}

// watchLab serves the lab's name, and counts who comes; it counts events of
// stolen.event too.
func watchLab(t *testing.T, a addresses) *atomic.Int64 {
	t.Helper()
	conn := connect(t, a)
	seen := new(atomic.Int64)
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: labName})
	srv.HandleRaw("Lab.Echo", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		seen.Add(1)
		return &rpc.Response{Body: []byte(`{}`)}, nil
	})
	rpc.HandleStream(srv, "Lab.Chat", func(_ context.Context, s *rpc.Stream[map[string]any, map[string]any]) error {
		seen.Add(1)
		return s.Send(&map[string]any{})
	})
	tail := pubsub.Subscribe(conn, "stolen.event", func(context.Context, *pubsub.Event[json.RawMessage]) error {
		seen.Add(1)
		return nil
	})
	for _, r := range []bus.Runner{srv, tail} {
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = r.Stop(ctx)
		})
	}
	return seen
}

func connect(t *testing.T, a addresses) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(t.Context(), bus.Config{URL: a.Bus, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}
