package middleware_test

import (
	"context"
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

func TestAnswersThatAreKeptOrSharedAreWhole(t *testing.T) {
	all := func(*rpc.Request) bool { return true }
	const size = 1 << 20
	for name, m := range map[string]rpc.Middleware{
		"Cache": middleware.NewCache(all, middleware.CacheConfig{}).Wrap,
		"Merge": middleware.Merge(middleware.MergeConfig{For: all}),
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: greeter})
				s.HandleRaw("Say.Much", func(context.Context, *rpc.Request) (*rpc.Response, error) {
					return &rpc.Response{Body: make([]byte, size)}, nil
				})
				start(t, s)
				client := newClient(b.Conn(t), m)
				for range 2 {
					res, err := client.Do(bustest.Context(t), &rpc.Request{Service: greeter, Method: "Say.Much", InParts: true})
					if err != nil || res.Parts != nil || len(res.Body) != size {
						t.Errorf("%+v, %v", res, err)
					}
				}
			})
		})
	}
}
