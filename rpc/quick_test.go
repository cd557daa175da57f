package rpc_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// hasten calls a method until its server knows that it is quick.
func hasten(t *testing.T, call func() error) {
	t.Helper()
	for range 300 {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQuickCallsDoNotWaitForOneThatStays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var stay, goexit atomic.Bool
		release := make(chan struct{})
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			switch {
			case goexit.CompareAndSwap(true, false):
				runtime.Goexit()
			case stay.CompareAndSwap(true, false):
				<-release
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		ctx := bustest.Context(t)
		call := func() error { return helloVia(ctx, client, "Say.Hello", &HelloRequest{Name: "John"}) }
		hasten(t, call)
		for range 3 {
			stay.Store(true)
			var done atomic.Int64
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					if err := call(); err != nil {
						t.Error(err)
					}
					done.Add(1)
				})
			}
			time.Sleep(20 * time.Millisecond)
			if n := done.Load(); n != 31 {
				t.Errorf("%d of 32 calls are done while one stays", n)
			}
			release <- struct{}{}
			all.Wait()
		}
		goexit.Store(true)
		if err := call(); !errors.Is(err, bus.Internal) {
			t.Errorf("a handler that ends its goroutine answered %v", err)
		}
		hasten(t, call)
	})
}

func TestACallThatComesWhileQuickOnesStayGoesOnAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var stay atomic.Bool
		release := make(chan struct{})
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if stay.Load() && r.Name == "stay" {
				<-release
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		ctx := bustest.Context(t)
		call := func(name string) error { return helloVia(ctx, client, "Say.Hello", &HelloRequest{Name: name}) }
		hasten(t, func() error { return call("John") })
		stay.Store(true)
		var staying sync.WaitGroup
		for range 4 {
			staying.Go(func() { _ = call("stay") })
			time.Sleep(100 * time.Millisecond)
			begin := time.Now()
			if err := call("John"); err != nil || time.Since(begin) > 10*time.Millisecond {
				t.Errorf("a call took %v, %v", time.Since(begin), err)
			}
		}
		close(release)
		staying.Wait()
	})
}

func TestManyQuickCallsGoOnWhenAllOfThemStay(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var stay atomic.Bool
		var begun atomic.Int64
		release := make(chan struct{})
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if stay.Load() {
				begun.Add(1)
				<-release
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		ctx := bustest.Context(t)
		call := func() error { return helloVia(ctx, client, "Say.Hello", &HelloRequest{Name: "John"}) }
		hasten(t, call)
		stay.Store(true)
		var all sync.WaitGroup
		const calls = 500
		for range calls {
			all.Go(func() {
				if err := call(); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		if n := begun.Load(); n != calls {
			t.Errorf("%d of %d calls have begun after 20 ms", n, calls)
		}
		close(release)
		all.Wait()
	})
}
