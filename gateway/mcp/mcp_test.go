package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/mcp"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const (
	service   = "go.micro.srv.greeter"
	helloTool = "go_micro_srv_greeter___Say_Hello"
)

type helloRequest struct {
	Name string `json:"name" jsonschema:"description=Who is greeted"`
	Big  int64  `json:"big,omitempty"`
}

type helloResponse struct {
	Msg string `json:"msg"`
	Big int64  `json:"big"`
}

type count struct {
	To int `json:"to"`
}

// greeter starts a service with a method of each kind.
func greeter(t *testing.T, conn *bus.Conn, hanging chan<- error) *rpc.Server {
	t.Helper()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: service, Version: "1.0.0"})
	rpc.Handle(srv, "Say.Hello", func(_ context.Context, r *helloRequest) (*helloResponse, error) {
		if r.Name == "" {
			return nil, &bus.Error{Code: bus.InvalidArgument, Message: "name is empty", Detail: []byte(`{"field":"name"}`)}
		}
		return &helloResponse{Msg: "Hello " + r.Name, Big: r.Big}, nil
	}, rpc.Describe("Greets by name."), rpc.Idempotent(), rpc.Validate())
	rpc.Handle(srv, "Say.Hang", func(ctx context.Context, _ *helloRequest) (*helloResponse, error) {
		<-ctx.Done()
		hanging <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	rpc.Handle(srv, "Say.List", func(context.Context, *helloRequest) (*[]string, error) { return &[]string{"a", "b"}, nil })
	rpc.Handle(srv, "Say.Flood", func(context.Context, *helloRequest) (*helloResponse, error) {
		return &helloResponse{Msg: strings.Repeat("x", 2<<20)}, nil
	})
	rpc.HandleServerStream(srv, "Say.Count", func(_ context.Context, r *count, send func(*count) error) error {
		for n := range r.To {
			if err := send(&count{To: n + 1}); err != nil {
				return err
			}
		}
		return nil
	})
	rpc.HandleStream(srv, "Say.Chat", func(context.Context, *rpc.Stream[count, count]) error { return nil })
	if err := srv.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, srv) })
	return srv
}

func stop(t *testing.T, r bus.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// serve starts a server of tools on the bus.
func serve(t *testing.T, b *bustest.Bus, cfg mcp.Config) *mcp.Server {
	t.Helper()
	gate := gateway.NewBus(b.Conn(t), gateway.BusConfig{From: "go.micro.api"})
	s, err := mcp.New(gate, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []bus.Runner{gate, s} {
		if err := r.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, r) })
	}
	return s
}

// connect is a client of s, over pipes as on standard input and output.
func connect(t *testing.T, s *mcp.Server, opts *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.ServeStdio(ctx, toServer, fromServer) }()
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, opts).
		Connect(bustest.Context(t), &sdk.IOTransport{Reader: toClient, Writer: fromClient}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Close()
		cancel()
		_ = fromServer.Close()
		_ = toClient.Close()
		<-served
	})
	return session
}

func names(t *testing.T, session *sdk.ClientSession) []string {
	t.Helper()
	list, err := session.ListTools(bustest.Context(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, tool := range list.Tools {
		all = append(all, tool.Name)
	}
	slices.Sort(all)
	return all
}

func call(t *testing.T, session *sdk.ClientSession, tool string, arguments any) *sdk.CallToolResult {
	t.Helper()
	res, err := session.CallTool(bustest.Context(t), &sdk.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return res
}

// said is the structured content of a result as JSON.
func said(t *testing.T, res *sdk.CallToolResult) string {
	t.Helper()
	data, err := json.Marshal(res.StructuredContent)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMethodsAreTools(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		greeter(t, b.Conn(t), nil)
		session := connect(t, serve(t, b, mcp.Config{Version: "7"}), nil)
		if got := session.InitializeResult().ServerInfo; got.Name != mcp.Name || got.Version != "7" {
			t.Errorf("the server is %+v", got)
		}
		list, err := session.ListTools(bustest.Context(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		tools := map[string]*sdk.Tool{}
		for _, tool := range list.Tools {
			tools[tool.Name] = tool
		}
		for _, want := range []string{"Count", "Flood", "Hang", "Hello", "List"} {
			if tools["go_micro_srv_greeter___Say_"+want] == nil {
				t.Errorf("Say.%s is no tool", want)
			}
		}
		if len(tools) != 5 {
			t.Errorf("%d tools, want 5: neither Debug methods nor streams in both directions are any", len(tools))
		}
		hello := tools[helloTool]
		if hello.Title != service+" Say.Hello" || hello.Description != "Greets by name." || !hello.Annotations.IdempotentHint {
			t.Errorf("title %q, description %q, idempotent %v", hello.Title, hello.Description, hello.Annotations.IdempotentHint)
		}
		in, _ := json.Marshal(hello.InputSchema)
		out, _ := json.Marshal(hello.OutputSchema)
		if !strings.Contains(string(in), "Who is greeted") || !strings.Contains(string(out), `"msg"`) {
			t.Errorf("schemas %s and %s", in, out)
		}
		if tools["go_micro_srv_greeter___Say_List"].OutputSchema != nil {
			t.Error("an answer that is a list has a schema of structured content")
		}
	})
}

func TestAToolCallsItsMethod(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		greeter(t, b.Conn(t), nil)
		session := connect(t, serve(t, b, mcp.Config{}), nil)
		for _, tc := range []struct {
			tool      string
			arguments any
			want      string
			failed    bool
		}{
			{"Hello", json.RawMessage(`{"name":"John","big":9007199254740993}`), `"big":9007199254740993`, false},
			{"Hello", map[string]any{}, `"detail":"name is empty"`, true},
			{"Hello", map[string]any{"name": 7}, `"reason":"invalid_argument"`, true},
			{"List", nil, `null`, false}, // a list is text alone
			{"Count", map[string]any{"to": 3}, `{"messages":[{"to":1},{"to":2},{"to":3}]}`, false},
			{"Flood", nil, `"reason":"too_large"`, true},
		} {
			res := call(t, session, "go_micro_srv_greeter___Say_"+tc.tool, tc.arguments)
			got := said(t, res) // in which the client's side has made floats of numbers
			if !tc.failed && res.Content[0].(*sdk.TextContent).Text[0] == '{' {
				got = res.Content[0].(*sdk.TextContent).Text
			}
			if res.IsError != tc.failed || !strings.Contains(got, tc.want) {
				t.Errorf("%s %v: got error %v, %s; want %v, %s", tc.tool, tc.arguments, res.IsError, got, tc.failed, tc.want)
			}
			if len(res.Content) != 1 {
				t.Errorf("%s: %d pieces of content, want the text", tc.tool, len(res.Content))
			}
		}
		res := call(t, session, helloTool, map[string]any{})
		var f gateway.Failure
		if err := json.Unmarshal([]byte(said(t, res)), &f); err != nil || f.ID != service+".Say.Hello" || f.Code != 400 || string(f.Data) == "" {
			t.Errorf("the failure is %+v, %v", f, err)
		}
		if res := call(t, session, "go_micro_srv_greeter___Say_Count", map[string]any{"to": 1000}); strings.Count(said(t, res), `"to"`) != 100 {
			t.Errorf("a long stream gave %d messages, want 100", strings.Count(said(t, res), `"to"`))
		}
		if _, err := session.CallTool(bustest.Context(t), &sdk.CallToolParams{Name: "nope"}); err == nil {
			t.Error("a tool that is not there was called")
		}
	})
}

func TestTheToolsFollowTheBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		changed := make(chan struct{}, 64)
		session := connect(t, serve(t, b, mcp.Config{}), &sdk.ClientOptions{
			ToolListChangedHandler: func(context.Context, *sdk.ToolListChangedRequest) { changed <- struct{}{} },
		})
		if got := names(t, session); len(got) != 0 {
			t.Errorf("an empty bus has the tools %q", got)
		}
		srv := greeter(t, b.Conn(t), nil)
		await(t, changed)
		time.Sleep(2 * time.Second)
		if got := names(t, session); !slices.Contains(got, helloTool) {
			t.Errorf("the tools are %q after the service came", got)
		}
		for len(changed) > 0 {
			<-changed
		}
		stop(t, srv)
		await(t, changed)
		time.Sleep(2 * time.Second)
		if got := names(t, session); len(got) != 0 {
			t.Errorf("the tools are %q after the service left", got)
		}
	})
}

func await(t *testing.T, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("the client was not told of a change")
	}
}

func TestPatternsSayWhatMayBeCalled(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		greeter(t, b.Conn(t), nil)
		for _, tc := range []struct {
			allow []string
			want  int
		}{
			{nil, 5},
			{[]string{"*"}, 5},
			{[]string{service}, 5},
			{[]string{"go.micro.srv.*/Say.Hello"}, 1},
			{[]string{"go.*/Say.H*", "*/Say.Count"}, 3},
			{[]string{"go.micro.api.*"}, 0},
			{[]string{"*/Debug.*"}, 0},
		} {
			session := connect(t, serve(t, b, mcp.Config{Allow: tc.allow}), nil)
			if got := names(t, session); len(got) != tc.want {
				t.Errorf("%q: the tools are %q, want %d", tc.allow, got, tc.want)
			}
		}
		for _, bad := range []string{"", "/", "a/", "/b", "a/b/c", "a b"} {
			if _, err := mcp.New(gateway.NewBus(b.Conn(t), gateway.BusConfig{}), mcp.Config{Allow: []string{bad}}); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%q: got %v, want invalid_argument", bad, err)
			}
		}
	})
}

func TestACancelledCallIsCancelledOnTheBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		hanging := make(chan error, 1)
		greeter(t, b.Conn(t), hanging)
		session := connect(t, serve(t, b, mcp.Config{}), nil)
		ctx, cancel := context.WithCancel(bustest.Context(t))
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "go_micro_srv_greeter___Say_Hang"}); err == nil {
			t.Error("the call returned without an error")
		}
		select {
		case err := <-hanging:
			if !errors.Is(err, bus.Canceled) && !errors.Is(err, context.Canceled) {
				t.Errorf("the handler ended with %v", err)
			}
		case <-time.After(2 * time.Second):
			t.Error("the handler goes on")
		}
	})
}

func TestAHostileSchemaBecomesAnyObject(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		srv := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "odd"})
		rpc.Handle(srv, "Take.Header", func(_ context.Context, r *struct {
			A []string `json:"a" jsonschema_extras:"x-mcp-header=a b"`
		},
		) (*helloResponse, error) {
			return &helloResponse{Msg: fmt.Sprint(r.A)}, nil
		})
		rpc.Handle(srv, "Take.List", func(_ context.Context, r *[]int) (*[]int, error) { return r, nil })
		srv.HandleRaw("Take.Raw", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
		})
		if err := srv.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		defer stop(t, srv)
		session := connect(t, serve(t, b, mcp.Config{}), nil)
		if got := names(t, session); len(got) != 3 {
			t.Errorf("the tools are %q, want three", got)
		}
		if got := said(t, call(t, session, "odd___Take_Raw", map[string]any{"x": 1})); got != `{"x":1}` {
			t.Errorf("raw: got %s", got)
		}
		if res := call(t, session, "odd___Take_List", map[string]any{"x": 1}); !res.IsError {
			t.Error("an object was taken for a list")
		}
	})
}

// TestAnHTTPClientCallsATool is on real sockets, with the library's own client.
func TestAnHTTPClientCallsATool(t *testing.T) {
	b := bustest.Start(t)
	greeter(t, b.Conn(t), nil)
	s := serve(t, b, mcp.Config{})
	web := httptest.NewServer(s)
	defer web.Close()
	ctx := bustest.Context(t)
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).
		Connect(ctx, &sdk.StreamableClientTransport{Endpoint: web.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !slices.Contains(names(t, session), helloTool) {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("Say.Hello is no tool")
		}
	}
	if got := said(t, call(t, session, helloTool, map[string]any{"name": "John"})); !strings.Contains(got, "Hello John") {
		t.Errorf("got %s", got)
	}
}

func TestToolsNeedARightWhereThereAreRules(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		rules, err := token.ParseRules([]byte(`{"rules":[{"services":["go.micro.srv.*"],"public":true}]}`))
		if err != nil {
			t.Fatal(err)
		}
		s, err := mcp.New(gateway.NewBus(b.Conn(t), gateway.BusConfig{Rules: rules}), mcp.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(bustest.Context(t), http.MethodPost, "/mcp", strings.NewReader("{}")))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("without a token: %d %s", w.Code, w.Body)
		}
	})
}
