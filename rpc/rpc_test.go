package rpc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const greeter = "go.micro.srv.greeter"

type HelloRequest struct {
	Name string `json:"name"`
}

type HelloResponse struct {
	Msg string `json:"msg"`
}

func hello(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
	return &HelloResponse{Msg: "Hello " + r.Name}, nil
}

// newGreeter makes a greeter that is not started yet.
func newGreeter(conn *bus.Conn, change ...func(*rpc.ServerConfig)) *rpc.Server {
	cfg := rpc.ServerConfig{Name: greeter, Version: "1.0.0", Logger: conn.Logger()}
	for _, f := range change {
		f(&cfg)
	}
	return rpc.NewServer(conn, cfg)
}

// serve starts a server that stops with the test.
func serve(t testing.TB, s *rpc.Server) {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("start %s: %v", s.Name(), err)
	}
	t.Cleanup(func() { stop(t, s) })
}

func stop(t testing.TB, s *rpc.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop %s: %v", s.Name(), err)
	}
}

// failure returns err as what rpc promises it to be.
func failure(t testing.TB, err error) *bus.Error {
	t.Helper()
	e, ok := errors.AsType[*bus.Error](err)
	if !ok {
		t.Fatalf("got error %v (%T), want a *bus.Error", err, err)
	}
	return e
}

// wantError checks code and end of an error.
func wantError(t testing.TB, err error, code bus.Code, end bus.End) *bus.Error {
	t.Helper()
	e := failure(t, err)
	if e.Code != code || e.End != end {
		t.Fatalf("got %v, end %q; want code %v, end %q", e, e.End, code, end)
	}
	return e
}
