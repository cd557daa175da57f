package rpc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestACallThatWaitedPastItsDeadlineDoesNotRun(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Slow", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			time.Sleep(300 * time.Millisecond) // it holds up every call of the connection
			return &HelloResponse{}, nil
		}, rpc.Inline())
		rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			ran.Add(1)
			return &HelloResponse{}, nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		hold := func(timeout time.Duration) error {
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Slow", nil); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(50 * time.Millisecond)
			return sayHello(bustest.Context(t), client, rpc.WithTimeout(timeout))
		}
		wantError(t, hold(100*time.Millisecond), bus.DeadlineExceeded, bus.Timeout)
		time.Sleep(time.Second)
		if n := ran.Load(); n != 0 {
			t.Errorf("the handler ran %d times for a caller who had gone", n)
		}
		if err := hold(time.Second); err != nil || ran.Load() != 1 {
			t.Errorf("with time to wait: %v, and the handler ran %d times", err, ran.Load())
		}
	})
}
