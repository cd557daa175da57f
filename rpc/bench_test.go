package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// BenchmarkCall compares the ways of calling with the floor, plain nats.go
// doing a request and an answer of the same size, over TCP on this machine. The
// numbers to read are the ratios to the floor of the same run.
func BenchmarkCall(b *testing.B) {
	broker := bustest.Start(b, bustest.WithServer(func(o *server.Options) {
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
	}))
	url := broker.Server().ClientURL()
	srv := newGreeter(dial(b, url))
	rpc.Handle(srv, "Say.Hello", hello)
	rpc.Handle(srv, "Say.Inline", hello, rpc.Inline())
	srv.HandleRaw("Say.Raw", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
	}, rpc.Inline())
	serve(b, srv)
	floor := plain(b, url)
	if _, err := plain(b, url).QueueSubscribe("floor", "q", func(m *nats.Msg) { _ = m.Respond([]byte(`{"msg":"Hello John"}`)) }); err != nil {
		b.Fatal(err)
	}
	conn := dial(b, url)
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	warm(b, client)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	request, payload := &HelloRequest{Name: "John"}, []byte(`{"name":"John"}`)
	contenders := []struct {
		name string
		call func() error
	}{
		{"floor", func() error {
			_, err := floor.RequestWithContext(ctx, "floor", payload)
			return err
		}},
		{"conn", func() error {
			_, err := conn.Request(ctx, "floor", nil, payload)
			return err
		}},
		{"raw", func() error {
			_, err := client.Do(ctx, &rpc.Request{Service: greeter, Method: "Say.Raw", Codec: codec.JSON, Body: payload})
			return err
		}},
		{"inline", func() error {
			_, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Inline", request)
			return err
		}},
		{"default", func() error {
			_, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Hello", request)
			return err
		}},
		{"idempotent", func() error {
			_, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Hello", request, rpc.WithIdempotent())
			return err
		}},
	}
	for _, callers := range []int{1, 16, 64, 256} {
		for _, c := range contenders {
			b.Run(fmt.Sprintf("%s/c=%d", c.name, callers), func(b *testing.B) {
				b.ReportAllocs()
				if callers == 1 {
					for b.Loop() {
						if err := c.call(); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism((callers + 1) / 2)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if err := c.call(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkLocal calls a server of the same process without the broker.
func BenchmarkLocal(b *testing.B) {
	broker := bustest.Start(b)
	conn := broker.Conn(b)
	srv := newGreeter(conn)
	rpc.Handle(srv, "Say.Hello", hello)
	rpc.Handle(srv, "Say.Inline", hello, rpc.Inline())
	serve(b, srv)
	client := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{srv}})
	request := &HelloRequest{Name: "John"}
	for _, method := range []string{"Say.Inline", "Say.Hello"} {
		b.Run(method, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rpc.Call[HelloResponse](b.Context(), client, greeter, method, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func dial(b *testing.B, url string) *bus.Conn {
	b.Helper()
	conn, err := bus.Connect(b.Context(), bus.Config{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	return conn
}

// plain connects with nats.go alone.
func plain(b *testing.B, url string) *nats.Conn {
	b.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}

// warm calls until the client has learnt what the service speaks.
func warm(b *testing.B, client *rpc.Client) {
	b.Helper()
	for range 2 {
		if _, err := rpc.Call[HelloResponse](b.Context(), client, greeter, "Say.Hello", &HelloRequest{}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second) // real time: benchmarks have no bubble
	}
}
