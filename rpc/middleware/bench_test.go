package middleware_test

import (
	"context"
	"testing"

	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

// BenchmarkPass is what each piece costs a call that it does nothing to: compare
// with none.
func BenchmarkPass(b *testing.B) {
	answer := &rpc.Response{Body: []byte(`{"msg":"Hello John"}`)}
	handler := func(context.Context, *rpc.Request) (*rpc.Response, error) { return answer, nil }
	req := &rpc.Request{Service: greeter, Method: "Say.Hello", Body: []byte(`{"name":"John"}`), Idempotent: true}
	write := &rpc.Request{Service: greeter, Method: "Say.Hello", Body: []byte(`{"name":"John"}`)}
	idempotent := func(r *rpc.Request) bool { return r.Idempotent }
	nothing := func(context.Context, *rpc.Request, error) (*rpc.Response, error) { return nil, nil }
	cache := middleware.NewCache(idempotent, middleware.CacheConfig{})
	for _, piece := range []struct {
		name string
		wrap rpc.Middleware
		req  *rpc.Request
	}{
		{"none", func(next rpc.HandlerFunc) rpc.HandlerFunc { return next }, req},
		{"Breaker", middleware.Breaker(middleware.BreakerConfig{}), req},
		{"RateLimit", middleware.RateLimit(middleware.RateLimitConfig{PerSecond: 1e12, Burst: 1e9}), req},
		{"Bulkhead", middleware.Bulkhead(middleware.BulkheadConfig{}), req},
		{"Shed", middleware.Shed(middleware.ShedConfig{}), req},
		{"Fallback", middleware.Fallback(nothing, middleware.FallbackConfig{}), req},
		{"Merge/alone", middleware.Merge(middleware.MergeConfig{}), req},
		{"Merge/write", middleware.Merge(middleware.MergeConfig{}), write},
		{"Cache/hit", cache.Wrap, req},
		{"Cache/write", cache.Wrap, write},
	} {
		f := piece.wrap(handler)
		b.Run(piece.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f(b.Context(), piece.req); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(piece.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := f(b.Context(), piece.req); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
