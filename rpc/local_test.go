package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestLocalCallsSkipTheBrokerAndNothingElse(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var passed atomic.Int64
		count := func(next rpc.HandlerFunc) rpc.HandlerFunc {
			return func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				passed.Add(1)
				return next(ctx, r)
			}
		}
		s := newGreeter(conn, func(c *rpc.ServerConfig) {
			c.Middleware, c.Concurrency, c.Timeout, c.MaxBody = []rpc.Middleware{count}, 2, 10*time.Second, 1<<20
		})
		for method, opts := range map[string][]rpc.HandleOption{"Say.Hello": nil, "Say.Inline": {rpc.Inline()}} {
			rpc.Handle(s, method, func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
				deadline, _ := ctx.Deadline()
				req := rpc.RequestFrom(ctx)
				switch r.Name {
				case "panic":
					panic("secret")
				case "big":
					return &HelloResponse{Msg: strings.Repeat("x", 2<<20)}, nil
				case "fail":
					return nil, bus.Errorf(bus.Conflict, "no%w", &silent{errors.New("secret")})
				}
				return &HelloResponse{Msg: strings.Join([]string{req.Instance, req.Meta["tenant"], time.Until(deadline).String()}, " ")}, nil
			}, opts...)
		}
		rpc.Handle(s, "Say.Wait", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		serve(t, s)
		client := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}, Middleware: []rpc.Middleware{count}, Retries: new(0)})
		spy, err := b.Conn(t).NATS().SubscribeSync("mbus.rpc.>")
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"Say.Hello", "Say.Inline"} {
			say := func(name string, opts ...rpc.CallOption) (*HelloResponse, error) {
				return rpc.Call[HelloResponse](t.Context(), client, greeter, method, &HelloRequest{Name: name}, opts...)
			}
			res, err := say("John", rpc.WithMeta("tenant", "acme"), rpc.WithTimeout(3*time.Second))
			if want := s.ID() + " acme 3s"; err != nil || res.Msg != want {
				t.Errorf("%s: got %v, %v; want %q", method, res, err, want)
			}
			res, err = say("John", rpc.WithTimeout(time.Hour))
			if want := s.ID() + "  10s"; err != nil || res.Msg != want {
				t.Errorf("%s: got %v, %v; want %q", method, res, err, want)
			}
			_, err = say("panic")
			wantError(t, err, bus.Internal, bus.Handler)
			_, err = say("big")
			wantError(t, err, bus.TooLarge, bus.Handler)
			_, err = say(strings.Repeat("x", 2<<20))
			wantError(t, err, bus.TooLarge, bus.Refused)
			_, err = say("fail")
			if wantError(t, err, bus.Conflict, bus.Handler); errors.Unwrap(errors.Unwrap(err)) != nil {
				t.Errorf("%s: the cause has travelled: %v", method, err)
			}
		}
		wait := func(done chan<- error) {
			_, err := rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Wait", nil, rpc.WithTimeout(time.Second))
			done <- err
		}
		first, second := make(chan error, 1), make(chan error, 1)
		go wait(first)
		go wait(second)
		time.Sleep(time.Millisecond)
		_, err = rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{})
		wantError(t, err, bus.ResourceExhausted, bus.Refused)
		wantError(t, <-first, bus.DeadlineExceeded, bus.Timeout)
		wantError(t, <-second, bus.DeadlineExceeded, bus.Timeout)
		if n, _, _ := spy.Pending(); n != 0 {
			t.Errorf("%d calls went over the broker", n)
		}
		if passed.Load() != 2*(6+5)+3+2 {
			t.Errorf("the middleware of both sides saw %d calls", passed.Load())
		}
		stats, err := rpc.Call[rpc.Stats](bustest.Context(t), client, greeter, rpc.MethodStats, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			if e.Name == "Say.Inline" && (e.Requests != 5 || e.Errors != 3) {
				t.Errorf("the statistics count %d calls and %d errors of Say.Inline, want 5 and 3", e.Requests, e.Errors)
			}
		}
	})
}

func TestALocalServerThatIsNotServingIsCalledThroughTheBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", hello)
		client := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
		serveHello(t, b)
		if err := sayHello(bustest.Context(t), client); err != nil {
			t.Errorf("before its start: %v", err)
		}
		if err := s.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		stop(t, s)
		if err := sayHello(bustest.Context(t), client); err != nil {
			t.Errorf("after its stop: %v", err)
		}
		other := b.Conn(t)
		wantPanic(t, "on another connection", func() { rpc.NewClient(other, rpc.ClientConfig{Local: []*rpc.Server{s}}) })
	})
}
