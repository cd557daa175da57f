package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

const direct = "/go.micro.srv.greeter/Say.Hello"

// lab adds a service with methods that go wrong.
func (h *house) lab(t testing.TB) *rpc.Server {
	t.Helper()
	s := h.server("go.micro.srv.lab")
	rpc.Handle(s, "Lab.Sleep", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	rpc.Handle(s, "Lab.Fail", func(_ context.Context, r *struct {
		Code string `json:"code"`
	},
	) (*struct{}, error) {
		code, _ := bus.CodeOf(r.Code)
		return nil, &bus.Error{Code: code, Status: code.Status(), Message: "as asked", Detail: []byte(`{"why":"asked"}`)}
	})
	rpc.Handle(s, "Lab.Teapot", func(context.Context, *struct{}) (*struct{}, error) {
		return nil, &bus.Error{Code: bus.InvalidArgument, Status: http.StatusTeapot, Message: "short and stout"}
	})
	rpc.Handle(s, "Lab.Read", func(context.Context, *struct{}) (*HelloResponse, error) { return &HelloResponse{Msg: "read"}, nil }, rpc.Note("safe", "true"))
	rpc.Handle(s, "Lab.Write", func(context.Context, *struct{}) (*HelloResponse, error) { return &HelloResponse{Msg: "written"}, nil })
	rpc.Handle(s, "Lab.Slow", func(ctx context.Context, _ *struct{}) (*HelloResponse, error) {
		time.Sleep(40 * time.Second)
		return &HelloResponse{Msg: "at last"}, nil
	}, rpc.TimeLimit(time.Minute))
	h.serve(t, s)
	return s
}

func TestEveryFailureHasItsStatusItsBodyAndItsHeaders(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		h.lab(t)
		const lab = "/go.micro.srv.lab/"
		for _, c := range []struct {
			name, method, target, kind, body string
			status                           int
			end, id, detail, header          string
			calls                            int
		}{
			{"unknown service", "POST", "/go.micro.srv.greter/Say.Hello", "application/json", `{}`, 404, "nobody", "go.micro.srv.greter.Say.Hello", "did you mean go.micro.srv.greeter", "", 0},
			{"unknown service by GET", "GET", "/go.micro.srv.greter/Say.Hello", "", "", 404, "nobody", "go.micro.srv.greter.Say.Hello", "did you mean go.micro.srv.greeter", "", 0},
			{"unknown method", "POST", "/go.micro.srv.greeter/Say.Helo", "application/json", `{}`, 404, "nobody", "go.micro.srv.greeter.Say.Helo", "did you mean Say.Hello", "", 0},
			{"unknown method by GET", "GET", "/go.micro.srv.greeter/Say.Helo", "", "", 404, "nobody", "go.micro.srv.greeter.Say.Helo", "did you mean Say.Hello", "", 0},
			{"unknown path of Micro", "GET", "/nothing/at/all", "", "", 404, "nobody", "go.micro.api.nothing.At.All", "no service go.micro.api.nothing", "", 0},
			{"a service alone", "GET", "/go.micro.srv.greeter", "", "", 404, "nobody", "go.micro.srv.greeter", "as in /go.micro.srv.greeter/Say.Hello", "", 0},
			{"an unknown service alone", "GET", "/go.micro.srv.greter", "", "", 404, "nobody", "go.micro.srv.greter", "did you mean go.micro.srv.greeter", "", 0},
			{"illegal service", "POST", "/go.micro.srv.*/Say.Hello", "application/json", `{}`, 400, "", "go.micro.srv.*.Say.Hello", "not allowed", "", 0},
			{"a GET of what is not safe", "GET", direct, "", "", 405, "", "go.micro.api", "not declared safe", "Allow: POST, PUT, PATCH, DELETE, OPTIONS", 0},
			{"a HEAD of what is not safe", "HEAD", direct, "", "", 405, "", "", "", "Allow: POST, PUT, PATCH, DELETE, OPTIONS", 0},
			{"no method of HTTP", "FOO", direct, "", "", 405, "", "go.micro.api", "FOO", "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", 0},
			{"TRACE", "TRACE", direct, "", "", 405, "", "go.micro.api", "TRACE", "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", 0},
			{"bad JSON", "POST", direct, "application/json", `{"name":}`, 400, "", "go.micro.api", "byte 8", "", 0},
			{"JSON that ends too soon", "POST", direct, "application/json", `{"name":"x`, 400, "", "go.micro.api", "", "", 0},
			{"two values of JSON", "POST", direct, "application/json", `{} {}`, 400, "", "go.micro.api", "", "", 0},
			{"a key twice", "POST", direct, "application/json", `{"name":"a","name":"b"}`, 400, "", "go.micro.api", "", "", 0},
			{"deep JSON", "POST", direct, "application/json", strings.Repeat("[", 65) + strings.Repeat("]", 65), 400, "", "go.micro.api", "deeper than 64", "", 0},
			{"JSON of 2 MiB", "POST", direct, "application/json", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "", "go.micro.api", "1048576", "", 0},
			{"a form of 2 MiB", "POST", direct, "application/x-www-form-urlencoded", "name=" + strings.Repeat("x", 2<<20), 413, "", "go.micro.api", "1048576", "", 0},
			{"a form that is none", "POST", direct, "application/x-www-form-urlencoded", "name=%zz", 400, "", "go.micro.api", "form", "", 0},
			{"a type that nobody takes", "POST", direct, "text/plain", `{"name":"x"}`, 415, "", "go.micro.api", "text/plain", "", 0},
			{"bytes for a method that takes JSON", "POST", direct, "application/octet-stream", "x", 415, "", "go.micro.api", "takes no bytes", "", 0},
			{"another charset", "POST", direct, "application/json; charset=latin1", `{}`, 415, "", "go.micro.api", "latin1", "", 0},
			{"no type at all", "POST", direct, ";;", `{}`, 400, "", "go.micro.api", "content type", "", 0},
			{"a handler that takes too long", "POST", lab + "Lab.Sleep", "application/json", `{}`, 504, "timeout", "go.micro.srv.lab.Lab.Sleep", "", "", 1},
			{"a handler's own number", "POST", lab + "Lab.Teapot", "application/json", `{}`, 418, "handler", "go.micro.srv.lab.Lab.Teapot", "short and stout", "", 1},
			{"a path that is ambiguous", "POST", "/go.micro.srv.greeter/%2e%2e/Say.Hello", "application/json", `{}`, 400, "", "go.micro.api", "ambiguous", "", 0},
			{"nothing at the page", "GET", "/", "", "", 404, "", "go.micro.api", "nothing at /", "", 0},
			{"nothing at MCP", "POST", "/mcp", "", "", 404, "", "go.micro.api", "nothing at /mcp", "", 0},
		} {
			header := []string{"Content-Type", c.kind}
			if c.kind == "" {
				header = nil
			}
			got := h.do(t, c.method, c.target, c.body, header...)
			got.want(t, c.name, c.status, "", c.calls)
			if end := got.header.Get(gateway.HeaderEnd); end != c.end {
				t.Errorf("%s: got the end %q, want %q", c.name, end, c.end)
			}
			if name, want, _ := strings.Cut(c.header, ": "); got.header.Get(name) != want {
				t.Errorf("%s: got %s %q, want %q", c.name, name, got.header.Get(name), want)
			}
			if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got the headers %v", c.name, got.header)
			}
			if c.method == "HEAD" {
				if got.body != "" {
					t.Errorf("%s: got the body %q", c.name, got.body)
				}
				continue
			}
			f := got.failure(t)
			if f.ID != c.id || f.Code != c.status || f.Status == "" || !strings.Contains(f.Detail, c.detail) {
				t.Errorf("%s: got %+v, want %s and a detail with %q", c.name, f, c.id, c.detail)
			}
		}
	})
}

func TestEveryCodeOfAHandlerKeepsItsStatus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.lab(t)
		for c := bus.InvalidArgument; c <= bus.DataLoss; c++ {
			got := h.do(t, "POST", "/go.micro.srv.lab/Lab.Fail", `{"code":"`+c.String()+`"}`, "Content-Type", "application/json")
			got.want(t, c.String(), c.Status(), `"detail":"as asked"`, 1)
			if f := got.failure(t); f.Reason != c.String() || string(f.Data) != `{"why":"asked"}` {
				t.Errorf("%v: got %+v", c, f)
			}
			away := c == bus.Unavailable || c == bus.ResourceExhausted
			if after := got.header.Get("Retry-After"); (after != "") != away {
				t.Errorf("%v: got Retry-After %q", c, after)
			}
		}
	})
}

func TestAServiceThatHasGoneIsComingBack(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		s := h.greet(t)
		h.do(t, "POST", direct, `{}`, "Content-Type", "application/json").want(t, "before", 200, "Hello", 1)
		if err := s.Stop(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"POST", "GET"} {
			got := h.do(t, method, direct, "", "Content-Type", "application/json")
			got.want(t, method, 503, "is gone", 0)
			if got.header.Get("Retry-After") != "1" || got.header.Get(gateway.HeaderEnd) != "nobody" {
				t.Errorf("%s: got the headers %v", method, got.header)
			}
		}
	})
}

func TestADeadBrokerIsUnavailable(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		safe := h.server("go.micro.srv.read")
		rpc.Handle(safe, "Read.All", func(context.Context, *struct{}) (*HelloResponse, error) { return &HelloResponse{Msg: "read"}, nil }, rpc.Note("safe", "true"))
		h.serve(t, safe)
		h.do(t, "POST", direct, `{}`, "Content-Type", "application/json").want(t, "before", 200, "Hello", 1)
		b.Stop()
		bustest.Eventually(t, time.Second, "the gateway notices", func() bool { return !h.gate.Conn.Connected() })
		start := time.Now()
		for _, got := range []reply{
			h.do(t, "POST", direct, `{}`, "Content-Type", "application/json"),
			h.do(t, "GET", "/go.micro.srv.read/Read.All", ""), // the rpc client alone would wait for the broker
		} {
			got.want(t, "without a broker", 503, "the broker is away", 0)
			if got.header.Get("Retry-After") != "1" || got.header.Get(gateway.HeaderEnd) != "broker" {
				t.Errorf("got the headers %v", got.header)
			}
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		b.Start()
	})
}

func TestAClientThatGoesAwayCancelsTheCall(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	s := h.server("go.micro.srv.lab")
	began, ended := make(chan struct{}), make(chan struct{})
	rpc.Handle(s, "Lab.Wait", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	h.serve(t, s)
	web := httptest.NewServer(h.api)
	defer web.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL+"/go.micro.srv.lab/Lab.Wait", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	go func() {
		<-began
		leave()
	}()
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
		t.Fatal("got an answer")
	}
	select {
	case <-ended:
	case <-time.After(4 * time.Second): // the call's own time is 5 s
		t.Error("the handler still runs")
	}
}

func TestTheTimeOfACallIsTheClientsOrTheMethods(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.lab(t)
		for _, c := range []struct {
			header string
			method string
			status int
			took   time.Duration
		}{
			{"", "Lab.Sleep", 504, 5 * time.Second},
			{"0.5", "Lab.Sleep", 504, 500 * time.Millisecond},
			{"20", "Lab.Sleep", 504, 20 * time.Second},
			{"500", "Lab.Sleep", 504, 30 * time.Second},
			{"", "Lab.Slow", 200, 40 * time.Second},
			{"50", "Lab.Slow", 200, 40 * time.Second},
			{"1", "Lab.Slow", 504, time.Second},
			{"soon", "Lab.Slow", 400, 0},
			{"-1", "Lab.Slow", 400, 0},
			{"NaN", "Lab.Slow", 400, 0},
		} {
			header := []string{"Content-Type", "application/json"}
			if c.header != "" {
				header = append(header, "Request-Timeout", c.header)
			}
			start := time.Now()
			got := h.do(t, "POST", "/go.micro.srv.lab/"+c.method, "{}", header...)
			took := time.Since(start)
			if got.status != c.status || took < c.took-c.took/50 || took > c.took+time.Second {
				t.Errorf("%s with %q: got %d after %v, want %d after %v", c.method, c.header, got.status, took, c.status, c.took)
			}
			time.Sleep(time.Minute) // let what was given up end
		}
	})
}

func TestAnInstanceThatIsFullRefuses(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	s := rpc.NewServer(h.conn, rpc.ServerConfig{Name: "go.micro.srv.lab", Concurrency: 1})
	began, done := make(chan struct{}), make(chan struct{})
	rpc.Handle(s, "Lab.Hold", func(context.Context, *struct{}) (*struct{}, error) {
		h.calls.Add(1)
		close(began)
		<-done
		return nil, nil
	})
	h.serve(t, s)
	first := make(chan reply)
	go func() { first <- h.do(t, "POST", "/go.micro.srv.lab/Lab.Hold", "{}") }()
	<-began
	got := h.do(t, "POST", "/go.micro.srv.lab/Lab.Hold", "{}")
	got.want(t, "the second", 429, "resource_exhausted", 0)
	if got.header.Get(gateway.HeaderEnd) != "refused" || got.header.Get("Retry-After") == "" {
		t.Errorf("got the headers %v", got.header)
	}
	close(done)
	if got := <-first; got.status != http.StatusOK {
		t.Errorf("the first: got %d, %s", got.status, got.body)
	}
}

func TestABodyThatDoesNotComeWholeIsNoCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		r := httptest.NewRequestWithContext(t.Context(), "POST", direct, io.MultiReader(strings.NewReader(`{"name":`), broken{}))
		r.Header.Set("Content-Type", "application/json")
		h.send(t, r).want(t, "a broken body", 400, "did not come whole", 0)
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOptionsIsAnsweredForEveryPath(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		for _, target := range []string{direct, "/nothing/here", "/", "/rpc", "/%2e%2e"} {
			got := h.do(t, "OPTIONS", target, "")
			got.want(t, target, 200, "", 0)
			if got.body != "" || !strings.Contains(got.header.Get("Allow"), "OPTIONS") {
				t.Errorf("%s: got %q, %v", target, got.body, got.header)
			}
		}
	})
}

func TestNewRefusesWhatDoesNotExist(t *testing.T) {
	b := gateway.NewBus(bustest.Start(t).Conn(t), gateway.BusConfig{})
	for i, cfg := range []api.Config{{Handler: "grpc"}, {Namespace: "go..micro"}, {Namespace: "a b"}, {Namespace: "*"}, {MaxUpload: -1}} {
		if _, err := api.New(b, cfg); err == nil {
			t.Error(strconv.Itoa(i) + ": want an error")
		}
	}
}
