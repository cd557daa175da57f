package gateway_test

import (
	"net/http"
	"testing"

	"github.com/mbus-dev/mbus/gateway"
)

// A sink is an answer that nobody reads.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

func BenchmarkEdge(b *testing.B) {
	h, c := edge(b, gateway.EdgeConfig{})
	body := []byte("sung")
	c.serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
	r := ask("GET", "/greeter/say/hello", "User-Agent", "bench", "Accept", "*/*")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&sink{make(http.Header)}, r)
	}
}
