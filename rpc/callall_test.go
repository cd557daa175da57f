package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestCallAllHearsEveryInstance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		want := make(map[string]bool)
		conn := b.Conn(t)
		for i := range 100 {
			s := newGreeter(conn)
			rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
				if i == 7 {
					return nil, bus.Errorf(bus.Conflict, "not I")
				}
				return &HelloResponse{Msg: s.ID()}, nil
			})
			serve(t, s)
			want[s.ID()] = i != 7
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		method := rpc.Method[HelloRequest, HelloResponse]{Service: greeter, Name: "Say.Hello"}
		n := 0
		for answer, err := range method.CallAll(bustest.Context(t), client, &HelloRequest{}) {
			n++
			fine, known := want[answer.Instance]
			switch {
			case !known || answer.Version != "1.0.0":
				t.Errorf("an answer from %q, version %q (%v)", answer.Instance, answer.Version, err)
			case fine && (err != nil || answer.Value.Msg != answer.Instance):
				t.Errorf("%s: %v, %v", answer.Instance, answer.Value, err)
			case !fine:
				wantError(t, err, bus.Conflict, bus.Handler)
			}
			delete(want, answer.Instance)
		}
		if n != 100 || len(want) > 0 {
			t.Errorf("%d answers, %d instances did not answer", n, len(want))
		}
	})
}

func TestCallAllCanBeLeftEarly(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for i := range 3 {
			s := newGreeter(b.Conn(t))
			rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
				if i > 0 {
					<-ctx.Done()
				}
				return hello(ctx, r)
			})
			serve(t, s)
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		began := time.Now()
		for _, err := range rpc.CallAll[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", nil) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
		time.Sleep(time.Second) // the connection has to stay until the others have heard of it
	})
}

func TestCallAllSaysWhenThereIsNobody(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		n := 0
		for answer, err := range rpc.CallAll[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", nil) {
			n++
			wantError(t, err, bus.NotFound, bus.Nobody)
			if answer.Instance != "" {
				t.Errorf("an answer from %q", answer.Instance)
			}
		}
		if n != 1 {
			t.Errorf("%d errors, want one", n)
		}
		foreign(t, b.Conn(t).NATS(), "echo")
		for _, err := range rpc.CallAll[HelloResponse](bustest.Context(t), client, "echo", "hello", nil) {
			wantError(t, err, bus.Unimplemented, bus.Nobody)
		}
		for _, err := range rpc.CallAll[HelloResponse](bustest.Context(t), client, "a b", "hello", nil) {
			if e := failure(t, err); e.Code != bus.InvalidArgument {
				t.Error(e)
			}
		}
	})
}

func TestWithNodeReachesOneInstance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var servers []*rpc.Server
		for _, id := range []string{"", "with space/and-slash", "I_3"} {
			s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.ID = id })
			rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
				return &HelloResponse{Msg: rpc.RequestFrom(ctx).Instance}, nil
			})
			serve(t, s)
			servers = append(servers, s)
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 2 { // plain, then frames
			for _, s := range servers {
				for _, node := range []string{s.ID(), greeter + "-" + s.ID()} {
					res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{}, rpc.WithNode(node))
					if err != nil || res.Msg != s.ID() {
						t.Errorf("node %q: got %v, %v", node, res, err)
					}
				}
			}
			time.Sleep(time.Second)
		}
		e := wantError(t, sayHello(bustest.Context(t), client, rpc.WithNode("gone")), bus.NotFound, bus.Nobody)
		if e.Instance != "gone" {
			t.Errorf("the error is about instance %q", e.Instance)
		}
		e = failure(t, sayHello(bustest.Context(t), client, rpc.WithNode("line\nbreak")))
		if e.Code != bus.InvalidArgument {
			t.Error(e)
		}
	})
}
