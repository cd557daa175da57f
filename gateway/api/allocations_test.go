package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// front starts the gateway of a house as the command does: server, edge, and an
// access log. It returns where it listens.
func front(t testing.TB, h *house) string {
	t.Helper()
	lines := gateway.NewLogBuffer(io.Discard)
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api", Logger: zerolog.New(lines).Level(zerolog.InfoLevel).With().Timestamp().Logger()})
	if err != nil {
		t.Fatal(err)
	}
	s := gateway.NewServer(h.gate, gateway.ServerConfig{Address: "127.0.0.1:0", Handler: edge.Wrap(h.api)})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s.Address()
}

// bare starts what does the least that a gateway has to: net/http, and one request
// of plain nats.go to a bare subscriber.
func bare(t testing.TB, b *bustest.Bus) string {
	t.Helper()
	service, front := b.Conn(t).NATS(), b.Conn(t).NATS()
	answer := []byte(`{"msg":"Hello John"}`)
	if _, err := service.QueueSubscribe("bare.hello", "q", func(m *nats.Msg) { _ = m.Respond(answer) }); err != nil {
		t.Fatal(err)
	}
	if err := service.Flush(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = web.Serve(l) // ends with Close
	}()
	t.Cleanup(func() { _ = web.Close(); <-ended })
	return l.Addr().String()
}

// poster returns a client that posts the same over and over on one connection, and
// allocates nothing.
func poster(t testing.TB, address string) func() error {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	const body = `{"name":"John"}`
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", direct, address, len(body), body)
	answer := make([]byte, 4096)
	good, end := []byte("HTTP/1.1 200 OK\r\n"), []byte(`{"msg":"Hello John"}`)
	return func() error {
		if _, err := c.Write(request); err != nil {
			return err
		}
		for n := 0; ; {
			more, err := c.Read(answer[n:])
			if err != nil {
				return err
			}
			if n += more; !bytes.HasPrefix(answer[:n], good) {
				return fmt.Errorf("got %s", answer[:n])
			}
			if bytes.HasSuffix(answer[:n], end) {
				return nil
			}
		}
	}
}

// The allocations are those of the whole process: of the gateway, the service and
// the broker, for one request after another. The floor is those of a bare handler.
func TestAllocationsOfTheGatewayStayWithinTheirBudget(t *testing.T) {
	bustest.NotUnderRace(t)
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	h.greet(t)
	const budget = -5
	floor, post := bustest.Allocations(t, poster(t, bare(t, b))), poster(t, front(t, h))
	// Until the gateway has learnt what the service speaks, it takes more.
	bustest.Eventually(t, 10*time.Second, "the gateway stays within its budget", func() bool {
		got := bustest.Allocations(t, post)
		t.Logf("%v allocations, %v of a bare handler", got, floor)
		return got-floor <= budget
	})
}

// BenchmarkRequest is a request on a kept connection, beside that to a bare handler.
func BenchmarkRequest(b *testing.B) {
	bus := bustest.Start(b)
	h := open(b, bus, api.Config{})
	s := rpc.NewServer(h.conn, rpc.ServerConfig{Name: greeter, Version: "1.0.0"})
	rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
		return &HelloResponse{Msg: "Hello " + r.Name}, nil
	})
	h.serve(b, s)
	for _, c := range []struct{ name, address string }{{"bare", bare(b, bus)}, {"gateway", front(b, h)}} {
		b.Run(c.name, func(b *testing.B) {
			post := poster(b, c.address)
			b.ReportAllocs()
			for b.Loop() {
				if err := post(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
