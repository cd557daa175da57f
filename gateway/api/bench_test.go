package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// BenchmarkAPI calls over HTTP with 64 connections. The floor is a bare handler
// that does one request of nats.go to a bare subscriber; the rest is what the
// gateway costs, without and with its edge.
func BenchmarkAPI(b *testing.B) {
	bench := bustest.Start(b)
	h := open(b, bench, api.Config{})
	s := rpc.NewServer(h.conn, rpc.ServerConfig{Name: greeter, Version: "1.0.0"})
	rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
		return &HelloResponse{Msg: "Hello " + r.Name}, nil
	})
	h.serve(b, s)
	service, front := bench.Conn(b).NATS(), bench.Conn(b).NATS()
	if _, err := service.QueueSubscribe("bare.hello", "q", func(m *nats.Msg) { _ = m.Respond([]byte(`{"msg":"Hello John"}`)) }); err != nil {
		b.Fatal(err)
	}
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api"})
	if err != nil {
		b.Fatal(err)
	}
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m, err := front.RequestWithContext(r.Context(), "bare.hello", body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(m.Data)
	})
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"bare", bare}, {"api", h.api}, {"edge", edge.Wrap(h.api)}} {
		b.Run(c.name, func(b *testing.B) {
			web := httptest.NewServer(c.handler)
			defer web.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					res, err := client.Post(web.URL+direct, "application/json", bytes.NewReader([]byte(`{"name":"John"}`)))
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
						b.Error(res.StatusCode, err)
					}
					res.Body.Close()
				}
			})
		})
	}
}

// BenchmarkServeHTTP is a call without a network on the client's side.
func BenchmarkServeHTTP(b *testing.B) {
	bench := bustest.Start(b)
	h := open(b, bench, api.Config{Namespace: "go.micro.srv"})
	h.greet(b)
	for _, c := range []struct{ name, method, target, body string }{
		{"direct", "POST", direct, `{"name":"John"}`},
		{"query", "GET", "/greeter/say/hello?name=John", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(c.method, c.target, bytes.NewReader([]byte(c.body)))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				if h.api.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
