package rpc_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// Two services that call each other without an end are stopped before they take
// all that there is.
func TestServicesThatCallEachOtherInACircleAreStopped(t *testing.T) {
	for _, spelling := range []string{"plain", "frame"} {
		t.Run(spelling, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				var calls atomic.Int64
				conn := b.Conn(t)
				other := map[string]string{"ping": "pong", "pong": "ping"}
				for name, next := range other {
					inner := rpc.NewClient(conn, rpc.ClientConfig{})
					s := rpc.NewServer(conn, rpc.ServerConfig{Name: name})
					rpc.Handle(s, "Do", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
						if calls.Add(1) > 100 {
							return nil, bus.Errorf(bus.Internal, "nobody stops them")
						}
						return rpc.Call[struct{}](ctx, inner, next, "Do", nil)
					})
					serve(t, s)
				}
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				call := func() error {
					_, err := rpc.Call[struct{}](bustest.Context(t), client, "ping", "Do", nil)
					return err
				}
				err := call()
				if spelling == "frame" {
					time.Sleep(time.Second) // from here on frames
					calls.Store(0)
					err = call()
				}
				// The refusal comes back through sixteen handlers: to the caller it
				// is what the first of them said.
				e := wantError(t, err, bus.ResourceExhausted, bus.Handler)
				if !strings.Contains(e.Message, "in a circle") || calls.Load() != 17 {
					t.Errorf("after %d calls: %v; want 17, and the reason", calls.Load(), e)
				}
			})
		})
	}
}
