package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/rpc"
)

// The package comment shows this function; TestThePackageCommentShowsTheExample
// compares.

func greet(ctx context.Context, conn *bus.Conn) error {
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.greeter", Version: "1.0.0"})
	rpc.Handle(srv, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
		if r.Name == "" {
			return nil, bus.Errorf(bus.InvalidArgument, "name is empty")
		}
		return &HelloResponse{Msg: "Hello " + r.Name}, nil
	})
	if err := srv.Start(ctx); err != nil { // or bus.Run(ctx, 10*time.Second, srv) for the life of the program
		return err
	}
	defer srv.Stop(context.WithoutCancel(ctx))

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := rpc.Call[HelloResponse](ctx, client, "go.micro.srv.greeter", "Say.Hello", &HelloRequest{Name: "John"})
	if err != nil {
		return err
	}
	fmt.Println(res.Msg)
	return nil
}

// connect starts a broker in this process, in place of one that is there.
func connect() (ctx context.Context, conn *bus.Conn, stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		panic(err)
	}
	return ctx, node.Conn(), func() {
		_ = node.Stop(ctx)
		cancel()
	}
}

// startGreeter starts a greeter for the examples of callers.
func startGreeter(ctx context.Context, conn *bus.Conn, id string) *rpc.Server {
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.greeter", ID: id})
	rpc.Handle(srv, "Say.Hello", hello)
	if err := srv.Start(ctx); err != nil {
		panic(err)
	}
	return srv
}

func Example() {
	ctx, conn, stop := connect()
	defer stop()
	if err := greet(ctx, conn); err != nil {
		fmt.Println(err)
	}
	// Output: Hello John
}

func ExampleCall() {
	ctx, conn, stop := connect()
	defer stop()
	srv := startGreeter(ctx, conn, "")
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := rpc.Call[HelloResponse](ctx, client, "go.micro.srv.greeter", "Say.Hello", &HelloRequest{Name: "John"},
		rpc.WithTimeout(2*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Msg)

	_, err = rpc.Call[HelloResponse](ctx, client, "go.micro.srv.greeter", "Say.Helo", nil)
	fmt.Println(err)
	fmt.Println(errors.Is(err, bus.NotFound), errors.Is(err, bus.Nobody))
	// Output:
	// Hello John
	// go.micro.srv.greeter.Say.Helo: not_found: go.micro.srv.greeter has no method Say.Helo; did you mean Say.Hello?
	// true true
}

// A contract that two programs share, so that the compiler keeps both to it.
var Hello = rpc.Method[HelloRequest, HelloResponse]{Service: "go.micro.srv.greeter", Name: "Say.Hello"}

func ExampleMethod() {
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: Hello.Service})
	Hello.Handle(srv, hello, rpc.Idempotent(), rpc.Describe("Greets."))
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Stop(ctx) }()

	res, err := Hello.Call(ctx, rpc.NewClient(conn, rpc.ClientConfig{}), &HelloRequest{Name: "John"}, rpc.WithIdempotent())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Msg)
	// Output: Hello John
}

// Greeter is registered as a whole: each of its methods with a context is one
// of the service's.
type Greeter struct{}

// Hello has the shape of this package.
func (*Greeter) Hello(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
	return &HelloResponse{Msg: "Hello " + r.Name}, nil
}

// Bye has the shape that Micro's handlers have.
func (*Greeter) Bye(_ context.Context, r *HelloRequest, res *HelloResponse) error {
	res.Msg = "Bye " + r.Name
	return nil
}

func ExampleRegister() {
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "greeter"})
	rpc.Register(srv, new(Greeter))
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	for _, method := range []string{"Greeter.Hello", "Greeter.Bye"} {
		res, err := rpc.Call[HelloResponse](ctx, client, "greeter", method, &HelloRequest{Name: "John"})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(res.Msg)
	}
	// Output:
	// Hello John
	// Bye John
}

func ExampleCallAll() {
	ctx, conn, stop := connect()
	defer stop()
	for _, id := range []string{"one", "two"} {
		srv := startGreeter(ctx, conn, id)
		defer func() { _ = srv.Stop(ctx) }()
	}

	var lines []string
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	for answer, err := range rpc.CallAll[rpc.Health](ctx, client, "go.micro.srv.greeter", rpc.MethodHealth, nil) {
		if err != nil {
			lines = append(lines, answer.Instance+" "+err.Error())
			continue
		}
		lines = append(lines, answer.Instance+" "+answer.Value.Status)
	}
	slices.Sort(lines) // they come in any order
	fmt.Println(strings.Join(lines, "\n"))
	// Output:
	// one ok
	// two ok
}

func ExampleMiddleware() {
	ctx, conn, stop := connect()
	defer stop()
	onlyJohn := func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			if req.Meta["user"] != "john" {
				return nil, bus.Errorf(bus.PermissionDenied, "%s is for John alone", req.Method)
			}
			return next(ctx, req)
		}
	}
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "greeter", Middleware: []rpc.Middleware{onlyJohn}})
	rpc.Handle(srv, "Say.Hello", hello)
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	for _, user := range []string{"jane", "john"} {
		res, err := rpc.Call[HelloResponse](ctx, client, "greeter", "Say.Hello", &HelloRequest{Name: user}, rpc.WithMeta("user", user))
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(res.Msg)
	}
	// Output:
	// greeter.Say.Hello: permission_denied: Say.Hello is for John alone
	// Hello john
}

func ExampleRequestFrom() {
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "greeter"})
	rpc.Handle(srv, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
		return &HelloResponse{Msg: rpc.RequestFrom(ctx).Meta.Get("Accept-Language")}, nil
	})
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := rpc.Call[HelloResponse](ctx, client, "greeter", "Say.Hello", nil, rpc.WithMeta("accept-language", "fr"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Msg)
	// Output: fr
}

func ExampleStrict() {
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "greeter"})
	rpc.Handle(srv, "Say.Hello", hello, rpc.Strict())
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	_, err := rpc.Call[HelloResponse](ctx, client, "greeter", "Say.Hello", map[string]string{"nmae": "John"})
	fmt.Println(err)
	// Output: greeter.Say.Hello: invalid_argument: the request has a field "nmae" that Say.Hello does not know
}

// A request that breaks the schema of its type does not reach the handler.
func ExampleValidate() {
	type SleepRequest struct {
		MS int64 `json:"ms" jsonschema:"required,minimum=0,maximum=60000"`
	}
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.lab"})
	rpc.Handle(srv, "Lab.Sleep", func(context.Context, *SleepRequest) (*struct{}, error) { return nil, nil },
		rpc.Validate(), rpc.TimeLimit(90*time.Second))
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Stop(ctx) }()
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	_, err := rpc.Call[struct{}](ctx, client, "go.micro.srv.lab", "Lab.Sleep", &SleepRequest{MS: -1})
	fmt.Println(err)
	if e, ok := errors.AsType[*bus.Error](err); ok {
		fmt.Println(string(e.Detail))
	}
	// Output:
	// go.micro.srv.lab.Lab.Sleep: invalid_argument: ms: -1 is under the minimum 0
	// {"fields":[{"field":"/ms","rule":"minimum","message":"-1 is under the minimum 0"}]}
}

func ExampleClient_Do() {
	ctx, conn, stop := connect()
	defer stop()
	srv := startGreeter(ctx, conn, "")
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := client.Do(ctx, &rpc.Request{Service: "go.micro.srv.greeter", Method: "Say.Hello", Body: []byte(`{"name":"John"}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s\n", res.Codec, res.Body)
	// Output: json {"msg":"Hello John"}
}

// A server that stands in for something else takes whatever is asked. It shows
// nowhere: what it stands for is announced by somebody else.
func ExampleServer_HandleAny() {
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "an.app", ID: "1", Unannounced: true})
	srv.HandleAny(func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Body: fmt.Appendf(nil, `{"asked":%q}`, r.Method)}, nil
	})
	if err := srv.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = srv.Stop(ctx) }()
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := client.Do(ctx, &rpc.Request{Service: "an.app", Method: "What.Ever"})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", res.Body)
	// Output: {"asked":"What.Ever"}
}

func ExampleClientConfig_local() {
	ctx, conn, stop := connect()
	defer stop()
	srv := startGreeter(ctx, conn, "")
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{srv}}) // no broker between the two
	res, err := Hello.Call(ctx, client, &HelloRequest{Name: "John"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Msg)
	// Output: Hello John
}

func ExampleConfigFromEnv() {
	_ = os.Setenv("MICRO_SERVER_NAME", "go.micro.srv.greeter")
	_ = os.Setenv("MBUS_SERVER_METADATA", "zone=eu,rack=7")
	defer os.Unsetenv("MICRO_SERVER_NAME")
	defer os.Unsetenv("MBUS_SERVER_METADATA")

	cfg, err := rpc.ConfigFromEnv()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Name, cfg.Metadata["zone"], cfg.Metadata["rack"])
	// Output: go.micro.srv.greeter eu 7
}

func TestThePackageCommentShowsTheExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(file), "func greet(")
	program, _, _ = strings.Cut(program, "\n}\n")
	var want strings.Builder
	for line := range strings.Lines("func greet(" + program + "\n}\n") {
		if line == "\n" {
			want.WriteString("//\n")
			continue
		}
		want.WriteString("//\t" + line)
	}
	if !strings.Contains(string(doc), want.String()) {
		t.Errorf("the package comment does not show\n%s", want.String())
	}
}

// The same key leads to the same instance, whoever calls.
func ExampleWithKey() {
	ctx, conn, stop := connect()
	defer stop()
	for _, id := range []string{"one", "two", "three"} {
		srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.greeter", ID: id})
		rpc.Handle(srv, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return &HelloResponse{Msg: id}, nil
		})
		if err := srv.Start(ctx); err != nil {
			panic(err)
		}
		defer srv.Stop(ctx)
	}
	client := rpc.NewClient(conn, rpc.ClientConfig{Selector: selector.Config{Strategy: selector.ConsistentHash}})
	defer client.Close(ctx)
	for _, user := range []string{"John", "Zoe", "Paul", "John"} {
		res, err := rpc.Call[HelloResponse](ctx, client, "go.micro.srv.greeter", "Say.Hello", &HelloRequest{Name: user}, rpc.WithKey(user))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user, "is served by", res.Msg)
	}
	// Output:
	// John is served by two
	// Zoe is served by one
	// Paul is served by three
	// John is served by two
}
