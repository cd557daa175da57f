package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// soon is how long the end of a caller's interest may take over four hops.
const soon = 50 * time.Millisecond

// A hop is the end of one handler of a chain.
type hop struct {
	service string
	at      time.Time
	err     error // of its context
}

// serveChain serves a, b, c and d, each on a connection of its own: three pass a
// call on with their context, the last waits for the end of its own. Their ends
// come on the channel.
func serveChain(t *testing.T, b *bustest.Bus) <-chan hop {
	t.Helper()
	ended := make(chan hop, 8)
	next := map[string]string{"a": "b", "b": "c", "c": "d"}
	for _, name := range []string{"a", "b", "c", "d"} {
		conn := b.Conn(t)
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		s := rpc.NewServer(conn, rpc.ServerConfig{Name: name})
		rpc.Handle(s, "Do", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			defer func() { ended <- hop{name, time.Now(), ctx.Err()} }()
			if next[name] != "" {
				return rpc.Call[HelloResponse](ctx, client, next[name], "Do", r)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		rpc.HandleStream(s, "Talk", func(ctx context.Context, up *rpc.Stream[Text, Text]) error {
			defer func() { ended <- hop{name, time.Now(), ctx.Err()} }()
			if next[name] == "" {
				if err := up.Send(&Text{"the end of the chain"}); err != nil {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			}
			down, err := rpc.OpenStream[Text, Text](ctx, client, next[name], "Talk")
			if err != nil {
				return err
			}
			for m, err := range down.All() {
				if err != nil {
					return err
				}
				if err := up.Send(m); err != nil {
					return err
				}
			}
			return nil
		})
		serve(t, s)
	}
	return ended
}

// wantEnds waits for the four handlers and checks that all ended at about the
// given time: the last because its context did, the others because the call
// that they wait for did, or their context.
func wantEnds(t *testing.T, ended <-chan hop, at time.Time) {
	t.Helper()
	for range 4 {
		select {
		case h := <-ended:
			if late := h.at.Sub(at); late > soon || late < -soon {
				t.Errorf("%s ended %v after the caller", h.service, late)
			}
			if h.service == "d" && h.err == nil {
				t.Error("d ended, and its context does not say so")
			}
		case <-time.After(time.Minute):
			t.Fatal("a minute later a handler still waits")
		}
	}
}

func TestACallerWhoGivesUpEndsTheWorkOfFourServices(t *testing.T) {
	for _, row := range []struct {
		name string
		code bus.Code
		end  bus.End
		// interest makes the caller's context, which ends after two seconds.
		interest func(t *testing.T) (context.Context, context.CancelFunc)
		opts     []rpc.CallOption
	}{
		{"cancel", bus.Canceled, bus.Cancelled, func(t *testing.T) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(bustest.Context(t))
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, []rpc.CallOption{rpc.WithTimeout(20 * time.Second)}},
		{"deadline", bus.DeadlineExceeded, bus.Timeout, func(t *testing.T) (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 2*time.Second)
		}, nil},
		{"timeout of the call", bus.DeadlineExceeded, bus.Timeout, func(t *testing.T) (context.Context, context.CancelFunc) {
			return context.WithCancel(t.Context())
		}, []rpc.CallOption{rpc.WithTimeout(2 * time.Second)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				ended := serveChain(t, b)
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				for _, spelling := range []string{"plain", "frame", "frame again"} {
					gone := time.Now().Add(2 * time.Second)
					ctx, cancel := row.interest(t)
					_, err := rpc.Call[HelloResponse](ctx, client, "a", "Do", nil, row.opts...)
					wantError(t, err, row.code, row.end)
					if late := time.Since(gone); late > soon || late < -soon {
						t.Errorf("%s: the caller waited %v too long", spelling, late)
					}
					wantEnds(t, ended, gone)
					cancel()
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestACallerWhoLeavesAStreamEndsTheWorkOfFourServices(t *testing.T) {
	for name, leave := range map[string]func(*rpc.Stream[Text, Text], context.CancelFunc){
		"close":    func(s *rpc.Stream[Text, Text], _ context.CancelFunc) { _ = s.Close() },
		"cancel":   func(_ *rpc.Stream[Text, Text], cancel context.CancelFunc) { cancel() },
		"deadline": nil,
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				ended := serveChain(t, b)
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				for range 2 {
					gone := time.Now().Add(2 * time.Second)
					ctx, cancel := context.WithCancel(bustest.Context(t))
					if leave == nil {
						ctx, cancel = context.WithDeadline(t.Context(), gone)
					}
					stream, err := rpc.OpenStream[Text, Text](ctx, client, "a", "Talk")
					if err != nil {
						t.Fatal(err)
					}
					if m, err := stream.Recv(); err != nil || m.Text != "the end of the chain" {
						t.Fatalf("%v, %v", m, err)
					}
					time.Sleep(time.Until(gone))
					if leave != nil {
						leave(stream, cancel)
					}
					wantEnds(t, ended, gone)
					cancel()
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// A handler that goes on after the caller's deadline can begin nothing more with
// its context.
func TestNoHandlerOfAChainBeginsAfterTheDeadline(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		began := make(chan string, 8)
		back := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "back"})
		rpc.Handle(back, "Do", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			began <- "back"
			return nil, nil
		})
		serve(t, back)
		conn := b.Conn(t)
		inner := rpc.NewClient(conn, rpc.ClientConfig{})
		front := rpc.NewServer(conn, rpc.ServerConfig{Name: "front"})
		late := make(chan error, 8)
		rpc.Handle(front, "Do", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			<-ctx.Done()
			res, err := rpc.Call[HelloResponse](ctx, inner, "back", "Do", r)
			late <- err
			return res, err
		})
		serve(t, front)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 3 {
			_, err := rpc.Call[HelloResponse](t.Context(), client, "front", "Do", nil, rpc.WithTimeout(time.Second))
			wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
			if e := failure(t, <-late); e.Code != bus.DeadlineExceeded {
				t.Errorf("the late call: %v", e)
			}
			time.Sleep(time.Second)
		}
		if n := len(began); n > 0 {
			t.Errorf("%d handlers began after the deadline: %s", n, fmt.Sprint(<-began))
		}
	})
}
