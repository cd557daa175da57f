package middleware_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const greeter = "greeter"

type HelloRequest struct {
	Name string `json:"name"`
}

type HelloResponse struct {
	Msg string `json:"msg"`
}

// hello greets; asked by the name of a duration it takes so long.
func hello(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
	if r.Name == "fault" {
		return nil, errors.New("out of order")
	}
	if d, err := time.ParseDuration(r.Name); err == nil {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &HelloResponse{Msg: "Hello " + r.Name}, nil
}

// serve starts a greeter that stops with the test.
func serve(t testing.TB, conn *bus.Conn, f func(context.Context, *HelloRequest) (*HelloResponse, error), all ...rpc.Middleware) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(conn, rpc.ServerConfig{Name: greeter, Middleware: all})
	rpc.Handle(s, "Say.Hello", f)
	start(t, s)
	return s
}

func start(t testing.TB, s *rpc.Server) {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// newClient returns a client that tries once.
func newClient(conn *bus.Conn, all ...rpc.Middleware) *rpc.Client {
	return rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0), Middleware: all})
}

func say(ctx context.Context, c *rpc.Client, name string, opts ...rpc.CallOption) (string, error) {
	res, err := rpc.Call[HelloResponse](ctx, c, greeter, "Say.Hello", &HelloRequest{Name: name}, opts...)
	if err != nil {
		return "", err
	}
	return res.Msg, nil
}

// wantError checks code and end of an error.
func wantError(t testing.TB, err error, code bus.Code, end bus.End) *bus.Error {
	t.Helper()
	e, ok := errors.AsType[*bus.Error](err)
	if !ok || e.Code != code || e.End != end {
		t.Fatalf("got %v; want code %v, end %q", err, code, end)
	}
	return e
}

// bubble runs f in virtual time without a broker.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// timeless is a test in a bubble as rapid may have it: there it must not ask for
// the deadline.
type timeless struct{ testing.TB }

// request is one call of a caller's chain without a bus.
func request(name string) *rpc.Request {
	return &rpc.Request{Service: greeter, Method: "Say.Hello", Body: []byte(name), Idempotent: true}
}

// echo answers with the body, or does as it says.
func echo(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	res, err := hello(ctx, &HelloRequest{Name: string(req.Body)})
	if err != nil {
		return nil, err
	}
	return &rpc.Response{Body: []byte(res.Msg)}, nil
}

// refusals are the pieces that turn calls away, each with the call after which
// it turns away the next one.
var refusals = []struct {
	name   string
	piece  func() rpc.Middleware
	before string // "1s" is still at work when the next one comes
	code   bus.Code
	retry  bus.Retry
}{
	{"Breaker", func() rpc.Middleware { return middleware.Breaker(middleware.BreakerConfig{Calls: 1}) }, "fault", bus.Unavailable, bus.RetryAfter(5*time.Second - 9*time.Millisecond)},
	{"RateLimit", func() rpc.Middleware { return middleware.RateLimit(middleware.RateLimitConfig{PerSecond: 1}) }, "John", bus.ResourceExhausted, bus.RetryAfter(time.Second - 9*time.Millisecond)},
	{"Bulkhead", func() rpc.Middleware { return middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1}) }, "1s", bus.ResourceExhausted, bus.RetrySafe},
	{"Shed", func() rpc.Middleware { return middleware.Shed(middleware.ShedConfig{Start: 1}) }, "1s", bus.ResourceExhausted, bus.RetrySafe},
}

// provoke makes the call after which a piece turns away the next, 10 ms ago.
func provoke(t testing.TB, c *rpc.Client, name string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = say(bustest.Context(t), c, name)
	}()
	time.Sleep(10 * time.Millisecond)
	t.Cleanup(func() { <-done })
}

func TestARefusalOfAServerReachesItsCallerAsOne(t *testing.T) {
	for _, row := range refusals {
		for _, spelling := range []string{"frames", "plain", "local", "copied"} {
			t.Run(row.name+"/"+spelling, func(t *testing.T) {
				bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
					all := []rpc.Middleware{row.piece()}
					if spelling == "copied" {
						all = append([]rpc.Middleware{copies}, all...)
					}
					conn := b.Conn(t)
					s := serve(t, conn, hello, all...)
					client := newClient(b.Conn(t))
					switch spelling {
					case "frames", "copied":
						warm(t, client)
					case "local":
						client = rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
					}
					provoke(t, client, row.before)
					began := time.Now()
					_, err := say(bustest.Context(t), client, "Jane")
					e := wantError(t, err, row.code, bus.Refused)
					if e.Retry != row.retry {
						t.Errorf("retry is %v, want %v", e.Retry, row.retry)
					}
					if e.Service != greeter || e.Method != "Say.Hello" || time.Since(began) > time.Millisecond {
						t.Errorf("%v after %v", e, time.Since(began))
					}
				})
			})
		}
	}
}

func TestARefusalOfAServerIsPlainForEveryone(t *testing.T) {
	for _, row := range refusals {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serve(t, b.Conn(t), hello, row.piece())
				conn := b.Conn(t)
				provoke(t, newClient(conn), row.before)
				m, err := conn.NATS().RequestMsgWithContext(bustest.Context(t), &nats.Msg{Subject: "mbus.rpc.greeter.Say.Hello", Data: []byte(`{"name":"Jane"}`)})
				if err != nil {
					t.Fatal(err)
				}
				if got := m.Header.Get("Mbus-Error"); got != row.code.String() {
					t.Errorf("Mbus-Error is %q, want %q", got, row.code)
				}
				if got := m.Header.Get("Mbus-Retry"); got != row.retry.String() {
					t.Errorf("Mbus-Retry is %q, want %q", got, row.retry)
				}
			})
		})
	}
}

func TestARefusalOfAClientIsOne(t *testing.T) {
	for _, row := range refusals {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serve(t, b.Conn(t), hello)
				client := newClient(b.Conn(t), row.piece())
				provoke(t, client, row.before)
				_, err := say(bustest.Context(t), client, "Jane")
				if e := wantError(t, err, row.code, bus.Refused); e.Retry != row.retry {
					t.Errorf("retry is %v, want %v", e.Retry, row.retry)
				}
			})
		})
	}
}

func TestARefusalOfAHandlersOwnClientIsNotSafeToRepeatForItsCaller(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		serve(t, conn, hello)
		inner := newClient(conn, middleware.RateLimit(middleware.RateLimitConfig{PerSecond: 1}))
		front := rpc.NewServer(conn, rpc.ServerConfig{Name: "front"})
		rpc.Handle(front, "Do", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			msg, err := say(ctx, inner, r.Name)
			return &HelloResponse{Msg: msg}, err
		})
		start(t, front)
		client := newClient(b.Conn(t))
		call := func() error {
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, "front", "Do", &HelloRequest{Name: "John"})
			return err
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if e := wantError(t, call(), bus.ResourceExhausted, bus.Handler); e.Retry != bus.RetryNever {
			t.Errorf("retry is %v, want never: the handler has run", e.Retry)
		}
	})
}

func TestACallThatOneInstanceRefusesIsAnsweredByAnother(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		busy := serve(t, b.Conn(t), hello, middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1}))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(10)})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = say(bustest.Context(t), client, "4s", rpc.WithNode(busy.ID()))
		}()
		time.Sleep(10 * time.Millisecond)
		for range 4 {
			serve(t, b.Conn(t), hello)
		}
		for range 8 {
			if _, err := say(bustest.Context(t), client, "John"); err != nil {
				t.Error(err)
			}
		}
		<-done
	})
}

// copies is middleware that passes on a copy of the request.
func copies(next rpc.HandlerFunc) rpc.HandlerFunc {
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		return next(ctx, req.Clone())
	}
}

// warm waits until the client has learnt that the greeter speaks frames. It
// asks Debug.Health, which has states of its own.
func warm(t testing.TB, c *rpc.Client) {
	t.Helper()
	for range 2 {
		if _, err := rpc.Call[rpc.Health](bustest.Context(t), c, greeter, rpc.MethodHealth, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}
