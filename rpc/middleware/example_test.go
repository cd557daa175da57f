package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

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

// startGreeter starts a greeter for the examples, and returns what stops it.
func startGreeter(ctx context.Context, conn *bus.Conn, f func(context.Context, *HelloRequest) (*HelloResponse, error), all ...rpc.Middleware) (stop func()) {
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "greeter", Middleware: all})
	rpc.Handle(srv, "Say.Hello", f)
	if err := srv.Start(ctx); err != nil {
		panic(err)
	}
	return func() { _ = srv.Stop(ctx) }
}

func greet(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
	return &HelloResponse{Msg: "Hello " + r.Name}, nil
}

// Hello is what the examples call.
var Hello = rpc.Method[HelloRequest, HelloResponse]{Service: "greeter", Name: "Say.Hello"}

func ExampleBreaker() {
	ctx, conn, stop := connect()
	defer stop()
	defer startGreeter(ctx, conn, func(context.Context, *HelloRequest) (*HelloResponse, error) {
		return nil, errors.New("out of order")
	})()

	client := rpc.NewClient(conn, rpc.ClientConfig{Middleware: []rpc.Middleware{
		middleware.Breaker(middleware.BreakerConfig{Calls: 3, Rest: time.Minute}),
	}})
	for range 4 {
		_, err := Hello.Call(ctx, client, &HelloRequest{Name: "John"})
		fmt.Println(bus.AsError(err).Code, bus.AsError(err).End)
	}
	// Output:
	// internal handler
	// internal handler
	// internal handler
	// unavailable refused
}

func ExampleRateLimit() {
	ctx, conn, stop := connect()
	defer stop()
	defer startGreeter(ctx, conn, greet, middleware.RateLimit(middleware.RateLimitConfig{
		PerSecond: 0.1, Burst: 1,
		By: func(r *rpc.Request) string { return r.Meta.Get("user") },
	}))()

	client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
	for _, user := range []string{"john", "jane", "john"} {
		_, err := Hello.Call(ctx, client, &HelloRequest{}, rpc.WithMeta("user", user))
		fmt.Println(user, err)
	}
	// Output:
	// john <nil>
	// jane <nil>
	// john greeter.Say.Hello: resource_exhausted: Say.Hello takes 0.1 calls a second from this caller
}

func ExampleBulkhead() {
	ctx, conn, stop := connect()
	defer stop()
	begun, end := make(chan struct{}), make(chan struct{})
	defer startGreeter(ctx, conn, func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
		close(begun)
		<-end
		return greet(ctx, r)
	}, middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1}))()

	client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
	var calls sync.WaitGroup
	calls.Go(func() { _, _ = Hello.Call(ctx, client, &HelloRequest{}) })
	<-begun
	_, err := Hello.Call(ctx, client, &HelloRequest{})
	fmt.Println(err)
	close(end)
	calls.Wait()
	// Output: greeter.Say.Hello: resource_exhausted: Say.Hello has 1 calls at work and 0 waiting, the most it takes
}

func ExampleShed() {
	ctx, conn, stop := connect()
	defer stop()
	defer startGreeter(ctx, conn, greet, middleware.Shed(middleware.ShedConfig{}))()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := Hello.Call(ctx, client, &HelloRequest{Name: "John"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Msg)
	// Output: Hello John
}

func ExampleFallback() {
	ctx, conn, stop := connect()
	defer stop()
	client := rpc.NewClient(conn, rpc.ClientConfig{Middleware: []rpc.Middleware{
		middleware.Fallback(func(_ context.Context, _ *rpc.Request, err error) (*rpc.Response, error) {
			fmt.Println(bus.AsError(err).End)
			return &rpc.Response{Body: []byte(`{"msg":"Hello whoever you are"}`)}, nil
		}, middleware.FallbackConfig{}),
	}})
	res, err := Hello.Call(ctx, client, &HelloRequest{Name: "John"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Msg)
	// Output:
	// nobody
	// Hello whoever you are
}

func ExampleMerge() {
	ctx, conn, stop := connect()
	defer stop()
	var ran atomic.Int64
	begun, end := make(chan struct{}), make(chan struct{})
	defer startGreeter(ctx, conn, func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
		if ran.Add(1) == 1 {
			close(begun)
		}
		<-end
		return greet(ctx, r)
	})()

	var joining, calls sync.WaitGroup
	joining.Add(10)
	client := rpc.NewClient(conn, rpc.ClientConfig{Middleware: []rpc.Middleware{
		middleware.Merge(middleware.MergeConfig{For: func(r *rpc.Request) bool {
			joining.Done()
			return r.Idempotent
		}}),
	}})
	call := func() {
		_, _ = Hello.Call(ctx, client, &HelloRequest{Name: "John"}, rpc.WithIdempotent(), rpc.WithCodec(codec.JSON))
	}
	calls.Go(call)
	<-begun
	for range 9 {
		calls.Go(call)
	}
	joining.Wait()
	close(end)
	calls.Wait()
	fmt.Println("10 calls, handled less often:", ran.Load() < 10)
	// Output: 10 calls, handled less often: true
}

func ExampleNewCache() {
	ctx, conn, stop := connect()
	defer stop()
	var ran atomic.Int64
	defer startGreeter(ctx, conn, func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
		ran.Add(1)
		return greet(ctx, r)
	})()

	reads := func(r *rpc.Request) bool { return r.Method == "Say.Hello" }
	cache := middleware.NewCache(reads, middleware.CacheConfig{TTL: time.Minute})
	client := rpc.NewClient(conn, rpc.ClientConfig{Middleware: []rpc.Middleware{cache.Wrap}})
	call := func() {
		_, _ = Hello.Call(ctx, client, &HelloRequest{Name: "John"}, rpc.WithCodec(codec.JSON))
		fmt.Println("handled:", ran.Load())
	}
	call()
	call()
	cache.Forget("greeter", "Say.Hello")
	call()
	// Output:
	// handled: 1
	// handled: 1
	// handled: 2
}
