package web_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/web"
)

func TestEveryPageAnswersInTheFormThatIsAskedFor(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.greet(t)
		node := greeter + "-" + s.ID()
		for _, path := range []string{
			"/services", "/services/" + greeter, "/services/" + greeter + "/endpoints", "/services/" + greeter + "/nodes",
			"/services/" + greeter + "/stats", "/services/" + greeter + "/raw", "/nodes", "/nodes/" + node, "/query", "/query/" + greeter,
			"/query/" + greeter + "/Say.Hello", "/query?service=" + greeter + "&method=Say.Hello&req=eyJuYW1lIjoiSm9obiJ9", "/topology",
			"/topology?focus=" + greeter, "/stats", "/stats?range=5m&top=3", "/events", "/events?subject=orders.%3E", "/terminal", "/cli", "/webapps",
			"/gateway", "/gateway?path=/greeter/hello", "/bus", "/registry", "/registry?service=" + greeter,
		} {
			for accept, kind := range map[string]string{
				"text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8",
				"application/json":                          "application/json",
				"*/*":                                       "text/plain; charset=utf-8",
				"":                                          "text/plain; charset=utf-8",
				"application/json;q=0.5, text/plain":        "text/plain; charset=utf-8",
			} {
				w := h.ask(http.MethodGet, path, "", "Accept", accept)
				if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Body.Len() == 0 {
					t.Errorf("%s as %q: %d %s %.200s", path, accept, w.Code, w.Header().Get("Content-Type"), w.Body)
				}
				if !strings.Contains(w.Header().Get("Vary"), "Accept") || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s: headers %v", path, w.Header())
				}
				if kind == "application/json" && !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s: no JSON: %.200s", path, w.Body)
				}
				if strings.HasPrefix(kind, "text/html") {
					checkShell(t, path, w.Header().Get("Content-Security-Policy"), w.Body.String())
				}
			}
		}
	})
}

// checkShell looks at what every page in HTML has.
func checkShell(t *testing.T, path, policy, body string) {
	t.Helper()
	if !strings.Contains(policy, "require-trusted-types-for 'script'") || strings.Contains(policy, "unsafe") {
		t.Errorf("%s: policy %q", path, policy)
	}
	_, rest, _ := strings.Cut(body, `id="boot">`)
	text, _, ok := strings.Cut(rest, "</script>")
	var boot struct {
		Page, Base string
		Data       json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &boot); err != nil || !ok || boot.Page == "" || boot.Base == "" || len(boot.Data) == 0 {
		t.Errorf("%s: what the first script reads: %v %.200s", path, err, text)
	}
	for _, bad := range []string{"http://", "https://", "onclick", "<style"} {
		if before, _, _ := strings.Cut(body, `<script type="application/json"`); strings.Contains(before, bad) {
			t.Errorf("%s: the frame has %q", path, bad)
		}
	}
}

func TestWhatIsNotThereIs404WithAWayOn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		for path, near := range map[string]string{
			"/servces":                        "/services",
			"/services/go.micro.srv.gretter":  "/services/" + greeter,
			"/greeter":                        "/services/" + greeter,
			"/nodes/nobody":                   "",
			"/topology?focus=go.micro.greter": "",
			"/services/" + greeter + "/x":     "",
			"/%3Cscript%3E":                   "",
		} {
			w := h.ask(http.MethodGet, path, "", "Accept", "application/json")
			d := decode[struct {
				Detail     string
				Near, Ways []struct{ Name, Path string }
			}](t, w.Body.Bytes())
			found := near == ""
			for _, n := range d.Near {
				found = found || n.Path == near
			}
			if w.Code != http.StatusNotFound || d.Detail == "" || len(d.Ways) == 0 || !found {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if w := h.ask(http.MethodGet, path, "", "Accept", "text/html"); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<script>") {
				t.Errorf("%s in HTML: %d", path, w.Code)
			}
		}
	})
}

func TestMicrosJSONGoesByTheTypeOfTheRequest(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		type micro struct {
			Services []struct {
				Name  string
				Nodes []struct{ ID string }
			}
		}
		for _, path := range []string{"/registry", "/query"} {
			w := h.ask(http.MethodGet, path, "", "Content-Type", "application/json")
			d := decode[micro](t, w.Body.Bytes())
			if w.Code != http.StatusOK || len(d.Services) != 1 || d.Services[0].Name != greeter {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		w := h.ask(http.MethodGet, "/registry?service="+greeter, "", "Content-Type", "application/json")
		if d := decode[micro](t, w.Body.Bytes()); len(d.Services) != 1 || len(d.Services[0].Nodes) != 1 {
			t.Errorf("one service: %d %s", w.Code, w.Body)
		}
		if w := h.ask(http.MethodGet, "/registry?service=x.y", "", "Content-Type", "application/json"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "Not found") {
			t.Errorf("no service: %d %s", w.Code, w.Body)
		}
		w = h.ask(http.MethodGet, "/stats", "", "Content-Type", "application/json")
		if d := decode[map[string]any](t, w.Body.Bytes()); d["counters"] == nil || d["threads"] == nil {
			t.Errorf("stats: %d %s", w.Code, w.Body)
		}
		w = h.ask(http.MethodPost, "/rpc", `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`, "Content-Type", "application/json")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Hello John") {
			t.Errorf("rpc: %d %s", w.Code, w.Body)
		}
	})
}

func TestAFilterKeepsWhatTheFilterOfThePageKeeps(t *testing.T) {
	text, err := os.ReadFile("app/core/filter.cases.json")
	if err != nil {
		t.Fatal(err)
	}
	table := decode[struct {
		Rows  []json.RawMessage
		Cases []struct {
			Q    string
			Want []int
		}
	}](t, text)
	for _, c := range table.Cases {
		got := web.Matches(t, c.Q, table.Rows)
		if !slices.Equal(got, c.Want) {
			t.Errorf("%q keeps %v, want %v", c.Q, got, c.Want)
		}
	}
}

func TestAServiceShowsItsSchemasAndCommands(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{Links: func() web.Links { return web.Links{API: "http://127.0.0.1:8080", Bus: "nats://127.0.0.1:4222"} }})
		h.greet(t)
		d := page[struct {
			Endpoints []struct {
				Name, Description, Kind string
				Request                 struct{ Properties map[string]any }
				Example                 json.RawMessage
				Commands                struct{ Mbus, Curl, Go string }
			}
		}](t, h, "/services/"+greeter)
		e := d.Endpoints[0]
		if e.Name != "Say.Hello" || e.Description != "Greets." || e.Kind != "unary" || e.Request.Properties["name"] == nil || !strings.Contains(string(e.Example), `"name"`) {
			t.Errorf("endpoint %+v", e)
		}
		if e.Commands.Mbus != `mbus query go.micro.srv.greeter Say.Hello '{"name":""}'` || !strings.HasSuffix(e.Commands.Curl, " http://127.0.0.1:8080/go.micro.srv.greeter/Say.Hello") {
			t.Errorf("commands %+v", e.Commands)
		}
		if !strings.HasPrefix(d.Endpoints[len(d.Endpoints)-1].Name, "Debug.") {
			t.Error("the methods of every service do not come last")
		}
		time.Sleep(time.Millisecond)
	})
}

func TestNodesTellOfTheirProcessesWhileSomebodyLooks(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.greet(t)
		type nodes struct {
			Nodes []struct {
				ID, State string
				Memory    *float64
				Threads   *float64
			}
		}
		if d := page[nodes](t, h, "/nodes"); len(d.Nodes) != 1 || d.Nodes[0].Memory != nil {
			t.Fatalf("at first %+v", d.Nodes)
		}
		time.Sleep(3 * time.Second)
		d := page[nodes](t, h, "/nodes?q=is:ok")
		if len(d.Nodes) != 1 || d.Nodes[0].ID != greeter+"-"+s.ID() || d.Nodes[0].Memory == nil || *d.Nodes[0].Threads == 0 {
			t.Errorf("later %+v", d.Nodes)
		}
	})
}

func TestTheFilesOfTheAppAreKeptForEverUnderOneHash(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		body := h.ask(http.MethodGet, "/services", "", "Accept", "text/html").Body.String()
		_, rest, _ := strings.Cut(body, `"base":"`)
		base, _, _ := strings.Cut(rest, `"`)
		w := h.ask(http.MethodGet, base+"/app.js", "", "Accept-Encoding", "gzip")
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if w := h.ask(http.MethodGet, base+"/worker.js", ""); w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("a worker: %v", w.Header())
		}
		for _, path := range []string{"/-/a/000000000000/app.js", base + "/shell.html", base + "/no.js", base + "/../pages.go", base + "/"} {
			if w := h.ask(http.MethodGet, path, ""); w.Code == http.StatusOK {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	})
}
