package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// mirror adds a service of the handler api that answers with the request that it
// has got, as Micro's greeter does with a name.
func (h *house) mirror(t testing.TB, opts ...rpc.HandleOption) {
	t.Helper()
	s := h.server("go.micro.api.mirror")
	rpc.Handle(s, "Mirror.Show", func(_ context.Context, r *api.Request) (*api.Response, error) {
		body, err := json.Marshal(r)
		return &api.Response{Body: string(body)}, err
	}, opts...)
	rpc.Handle(s, "Mirror.Say", func(_ context.Context, r *api.Request) (*api.Response, error) {
		name := r.Get["name"]
		if name == nil || name.Values[0] == "" {
			return nil, bus.Errorf(bus.InvalidArgument, "Name cannot be blank")
		}
		var res api.Response
		err := json.Unmarshal([]byte(name.Values[0]), &res)
		return &res, err
	})
	h.serve(t, s)
}

// shown reads what the mirror shows.
func (r reply) shown(t testing.TB) api.Request {
	t.Helper()
	var m api.Request
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("status %d with the body %q: %v", r.status, r.body, err)
	}
	return m
}

func text(p *api.Pair) string {
	if p == nil {
		return ""
	}
	return strings.Join(p.Values, "|")
}

func TestAMethodThatTakesARequestGetsIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.mirror(t)
		const path = "/mirror/mirror/show"
		got := h.do(t, "GET", path+"?name=John&tag=a&tag=b", "", "X-Micro-Id", "1", "X-Two", "a", "X-Two", "b", "Cookie", "c=1",
			"Authorization", "Bearer x", "Connection", "X-Hop", "X-Hop", "1", "Mbus-From", "evil", "X-Forwarded-For", "10.0.0.1")
		got.want(t, "GET", 200, "", 1)
		if kind := got.header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("got the type %q", kind)
		}
		m := got.shown(t)
		if m.Method != http.MethodGet || m.Path != path || m.URL != path+"?name=John&tag=a&tag=b" || m.Body != "" || len(m.Post) != 0 {
			t.Errorf("got %+v", m)
		}
		for name, want := range map[string]string{
			"X-Micro-Id": "1", "X-Two": "a|b", "Host": "example.com", "Cookie": "c=1", "Authorization": "Bearer x", "X-Hop": "",
			"Connection": "", "Mbus-From": "", "X-Forwarded-For": "10.0.0.1, 192.0.2.1",
		} {
			if v := text(m.Header[name]); v != want {
				t.Errorf("got %s %q, want %q", name, v, want)
			}
			if p := m.Header[name]; p != nil && p.Key != name {
				t.Errorf("%s has the key %q", name, p.Key)
			}
		}
		if text(m.Get["name"]) != "John" || text(m.Get["tag"]) != "a|b" || m.Get["name"].Key != "name" {
			t.Errorf("got the query %v", m.Get)
		}
		for _, c := range []struct{ method, kind, in, post, body string }{
			{"POST", "application/x-www-form-urlencoded", "name=John&name=Mary", "John|Mary", ""},
			{"POST", "", "name=John", "John", ""},
			{"POST", ";;", "name=John", "John", ""},
			{"PUT", "application/json", `{"name":"John"}`, "", `{"name":"John"}`},
			{"PATCH", "application/json; charset=utf-8", `{"big":9007199254740993}`, "", `{"big":9007199254740993}`},
			{"DELETE", "text/plain", "name=John", "", "name=John"},
			{"POST", "application/xml", "<a/>", "", "<a/>"},
			{"POST", "application/json", `not checked here`, "", `not checked here`},
		} {
			var header []string
			if c.kind != "" {
				header = []string{"Content-Type", c.kind}
			}
			got := h.do(t, c.method, path, c.in, header...)
			got.want(t, c.method+" "+c.kind, 200, "", 1)
			if m := got.shown(t); m.Method != c.method || text(m.Post["name"]) != c.post || m.Body != c.body {
				t.Errorf("%s %s: got %+v", c.method, c.kind, m)
			}
		}
		h.do(t, "POST", path, "\xff\xfe", "Content-Type", "image/png").want(t, "bytes", 415, "no text", 0)
		h.do(t, "POST", path, strings.Repeat("x", 2<<20), "Content-Type", "application/json").want(t, "too much", 413, "1048576", 0)
		h.do(t, "POST", "/go.micro.api.mirror/Mirror.Show", `{"method":"X"}`, "Content-Type", "application/json").want(t, "full names", 200, `\"method\":\"X\"`, 1)
	})
}

func TestTheMessageThatComesBackIsTheAnswer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.mirror(t)
		for _, c := range []struct {
			name, response string
			status         int
			body           string
			header         map[string]string
		}{
			{"nothing", `{}`, 200, "", map[string]string{"Content-Type": "application/json", "Content-Length": "0"}},
			{"status 0", `{"statusCode":0,"body":"x"}`, 200, "x", nil},
			{"a status", `{"statusCode":201,"body":"x"}`, 201, "x", nil},
			{"no content", `{"statusCode":204,"body":"x"}`, 204, "", map[string]string{"Content-Type": ""}},
			{"a redirect", `{"statusCode":302,"header":{"Location":{"key":"Location","values":["/there"]}}}`, 302, "", map[string]string{"Location": "/there"}},
			{"a type", `{"header":{"Content-Type":{"key":"Content-Type","values":["text/html"]}},"body":"<p>"}`, 200, "<p>", map[string]string{"Content-Type": "text/html"}},
			{"a key of another name", `{"header":{"x":{"key":"X-A","values":["1"]}}}`, 200, "", map[string]string{"X-A": "1"}},
			{"a split header", `{"header":{"X-A":{"key":"X-A","values":["1\r\nX-B: 2"]}}}`, 200, "", map[string]string{"X-A": "", "X-B": ""}},
			{"a broken name", `{"header":{"X A:":{"values":["1"]}}}`, 200, "", nil},
			{"a header without values", `{"header":{"X-A":null}}`, 200, "", map[string]string{"X-A": ""}},
			{"what belongs to the hop", `{"header":{"Connection":{"values":["close"]},"Content-Length":{"values":["5"]},"Transfer-Encoding":{"values":["chunked"]},"Access-Control-Allow-Origin":{"values":["*"]},"Mbus-End":{"values":["nobody"]}},"body":"x"}`, 200, "x", map[string]string{"Connection": "", "Content-Length": "1", "Transfer-Encoding": "", "Access-Control-Allow-Origin": "", "Mbus-End": ""}},
			{"a status that is none", `{"statusCode":99}`, 500, "data_loss", nil},
			{"a status before the answer", `{"statusCode":101}`, 500, "data_loss", nil},
			{"a status beyond", `{"statusCode":1000}`, 500, "data_loss", nil},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/mirror/mirror/say", nil)
			q := r.URL.Query()
			q.Set("name", c.response)
			r.URL.RawQuery = q.Encode()
			got := h.send(t, r)
			got.want(t, c.name, c.status, c.body, 1)
			for name, want := range c.header {
				if v := got.header.Get(name); v != want {
					t.Errorf("%s: got %s %q, want %q", c.name, name, v, want)
				}
			}
		}
		got := h.do(t, "GET", "/mirror/mirror/say", "")
		got.want(t, "Micro's blank name", 400, "Name cannot be blank", 1)
	})
}

func TestCookiesWithTwoValuesGoOutAsTwoHeaders(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.mirror(t)
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/mirror/mirror/say", nil)
		r.URL.RawQuery = `name={"header":{"Set-Cookie":{"key":"Set-Cookie","values":["a=1","b=2"]}}}`
		if got := h.send(t, r); len(got.header.Values("Set-Cookie")) != 2 {
			t.Errorf("got the headers %v", got.header)
		}
	})
}

func TestAuthorizationStaysAtAGatewayThatReadsIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{HideAuthorization: true})
		h.mirror(t)
		m := h.do(t, "GET", "/mirror/mirror/show", "", "Authorization", "Bearer x", "Cookie", "a=1").shown(t)
		if m.Header["Authorization"] != nil || text(m.Header["Cookie"]) != "a=1" {
			t.Errorf("got the headers %v", m.Header)
		}
	})
}

func TestTheHandlerCanBeSaidByTheEndpointOrByTheAPI(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		base := open(t, b, api.Config{})
		raw := base.server("go.micro.api.raw")
		f := func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Body: []byte(`{"statusCode":202,"body":` + string(mustJSON(t, string(r.Body))) + `}`)}, nil
		}
		raw.HandleRaw("Raw.Said", f, rpc.Note("handler", "api"))
		raw.HandleRaw("Raw.Unsaid", f)
		base.serve(t, raw)
		for _, c := range []struct {
			handler, path string
			status        int
			body          string
			calls         int
		}{
			{"", "/raw/said", 202, `"method":"POST"`, 1},
			{"", "/raw/unsaid", 200, `{"statusCode":202,"body":"{}"}`, 1},
			{"api", "/raw/unsaid", 202, `"method":"POST"`, 1},
			{"api", "/go.micro.api.raw/Raw.Unsaid", 404, "", 0},
			{"rpc", "/raw/said", 200, `{"statusCode":202,"body":"{}"}`, 1},
			{"rpc", "/go.micro.api.raw/Raw.Said", 200, `{"statusCode":202,"body":"{}"}`, 1},
			{"http", "/raw/said", 404, "", 0},
			{"proxy", "/raw/said", 404, "", 0},
			{"web", "/raw/said", 404, "", 0},
		} {
			h := open(t, b, api.Config{Handler: c.handler})
			bustest.Eventually(t, 5*time.Second, "the service is known", func() bool { return h.gate.Known("go.micro.api.raw") })
			base.calls.Store(0)
			got := h.do(t, "POST", c.path, "{}", "Content-Type", "application/json")
			got.calls = int(base.calls.Load())
			got.want(t, c.handler+" "+c.path, c.status, c.body, c.calls)
		}
	})
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAGatewayThatHasJustStartedKnowsTheHandlers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		base := open(t, b, api.Config{})
		base.mirror(t, rpc.Note("path", "/show/{what}"))
		for range 5 {
			h := open(t, b, api.Config{})
			if m := h.do(t, "GET", "/mirror/mirror/show", "").shown(t); m.Method != http.MethodGet {
				t.Errorf("got %+v", m)
			}
			h = open(t, b, api.Config{})
			if m := h.do(t, "GET", "/show/this", "").shown(t); text(m.Get["what"]) != "this" {
				t.Errorf("got %+v", m)
			}
		}
	})
}
