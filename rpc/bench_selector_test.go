package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/rpc"
)

// BenchmarkSelector compares calls whose instance the client chooses with those
// for which the bus does, among three.
func BenchmarkSelector(b *testing.B) {
	broker := bustest.Start(b, bustest.WithServer(func(o *server.Options) {
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
	}))
	url := broker.Server().ClientURL()
	for range 3 {
		srv := newGreeter(dial(b, url))
		rpc.Handle(srv, "Say.Hello", hello)
		srv.HandleRaw("Say.Raw", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
		}, rpc.Inline())
		serve(b, srv)
	}
	payload := []byte(`{"name":"John"}`)
	for _, strategy := range []selector.Strategy{selector.Bus, selector.Random, selector.RoundRobin, selector.LeastLoaded, selector.ConsistentHash} {
		client := rpc.NewClient(dial(b, url), rpc.ClientConfig{Selector: selector.Config{Strategy: strategy}})
		warm(b, client)
		call := func() error {
			_, err := client.Do(b.Context(), &rpc.Request{Service: greeter, Method: "Say.Raw", Codec: codec.JSON, Body: payload, Key: "user-1"})
			return err
		}
		name := string(strategy)
		if name == "" {
			name = "bus"
		}
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/c=%d", name, callers), func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism((callers + 1) / 2)
				if callers == 1 {
					for b.Loop() {
						if err := call(); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if err := call(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
		if err := client.Close(b.Context()); err != nil {
			b.Error(err)
		}
	}
}
