package middleware_test

import (
	"context"
	"errors"
	"testing"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

func TestFallbackAnswersForAServiceAndNotForItsNo(t *testing.T) {
	exhausted := ended(bus.ResourceExhausted, 0) // as a server's own middleware says it
	exhausted.Retry = bus.RetrySafe
	for _, row := range []struct {
		name    string
		err     error
		answers bool
	}{
		{"no answer", ended(bus.DeadlineExceeded, bus.Timeout), true},
		{"nobody listens", ended(bus.Unavailable, bus.Nobody), true},
		{"no such service", ended(bus.NotFound, bus.Nobody), true},
		{"the broker is away", ended(bus.Unavailable, bus.Broker), true},
		{"overload", ended(bus.ResourceExhausted, bus.Refused), true},
		{"overload here", exhausted, true},
		{"left in peace", ended(bus.Unavailable, bus.Refused), true},
		{"a fault", ended(bus.Internal, bus.Handler), true},
		{"any other error", errors.New("a fault"), true},
		{"a quota for good", ended(bus.ResourceExhausted, bus.Handler), false},
		{"not found", ended(bus.NotFound, bus.Handler), false},
		{"a bad request", ended(bus.InvalidArgument, bus.Handler), false},
		{"no right", ended(bus.PermissionDenied, bus.Refused), false},
		{"too large", ended(bus.TooLarge, bus.Refused), false},
		{"given up", ended(bus.Canceled, bus.Cancelled), false},
		{"the context's cancel", context.Canceled, false},
		{"an answer", nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			answered := false
			chain := middleware.Fallback(func(_ context.Context, _ *rpc.Request, err error) (*rpc.Response, error) {
				answered = errors.Is(err, row.err)
				return &rpc.Response{}, nil
			}, middleware.FallbackConfig{})(func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, row.err })
			_, err := chain(context.Background(), request(""))
			if answered != row.answers || (err == nil) != (row.answers || row.err == nil) {
				t.Errorf("answered is %v, want %v; error %v", answered, row.answers, err)
			}
		})
	}
}

func TestFallbackNeverAnswersForWhoGaveUpNorForAStream(t *testing.T) {
	chain := middleware.Fallback(func(context.Context, *rpc.Request, error) (*rpc.Response, error) {
		t.Error("it answered")
		return nil, nil
	}, middleware.FallbackConfig{For: func(*bus.Error) bool { return true }})
	fails := func(err error) rpc.HandlerFunc {
		return chain(func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, err })
	}
	_, err := fails(context.Canceled)(context.Background(), request(""))
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stream := request("")
	stream.Stream = true
	if _, err := fails(ended(bus.Unavailable, bus.Nobody))(context.Background(), stream); !errors.Is(err, bus.Nobody) {
		t.Error(err)
	}
}

func TestFallbackAnswersWhenNobodyListens(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		client := newClient(b.Conn(t), middleware.Fallback(func(context.Context, *rpc.Request, error) (*rpc.Response, error) {
			return &rpc.Response{Body: []byte(`{"msg":"Hello anyway"}`)}, nil
		}, middleware.FallbackConfig{}))
		got, err := say(bustest.Context(t), client, "John")
		if err != nil || got != "Hello anyway" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
