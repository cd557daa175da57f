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

func TestACallSurvivesAMomentWithoutInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := serveHello(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		if err := sayHello(bustest.Context(t), client); err != nil {
			t.Fatal(err)
		}
		stop(t, s)
		next := newGreeter(b.Conn(t))
		var attempt atomic.Int64
		rpc.Handle(next, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			attempt.Store(int64(rpc.RequestFrom(ctx).Attempt))
			return hello(ctx, r)
		})
		var starting sync.WaitGroup
		starting.Go(func() {
			time.Sleep(10 * time.Millisecond)
			serve(t, next)
		})
		if err := sayHello(bustest.Context(t), client); err != nil {
			t.Error(err)
		}
		starting.Wait()
		if attempt.Load() < 2 {
			t.Errorf("the handler saw attempt %d, want a later one", attempt.Load())
		}
	})
}

func TestARefusedCallIsTriedElsewhere(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var refused atomic.Int64
		busy := newGreeter(b.Conn(t))
		rpc.Handle(busy, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if refused.Add(1) > 2 {
				return hello(ctx, r)
			}
			e := bus.Errorf(bus.ResourceExhausted, "full")
			e.Retry = bus.RetrySafe
			return nil, e
		})
		serve(t, busy)
		serveHello(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 20 {
			if err := sayHello(bustest.Context(t), client); err != nil {
				t.Error(err)
			}
		}
		if refused.Load() == 0 {
			t.Error("no call was refused")
		}
	})
}

func TestASilentInstanceCostsAnIdempotentCallTimeAndNotItsAnswer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		dead := newGreeter(b.Conn(t, link.Use))
		rpc.Handle(dead, "Say.Hello", hello)
		if err := dead.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			serveHello(t, b)
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		// Pings would find out after two seconds: stay below.
		failures := func(opts ...rpc.CallOption) (n int64) {
			var failed atomic.Int64
			var calls sync.WaitGroup
			for range 40 {
				calls.Go(func() {
					if err := sayHello(bustest.Context(t), client, append(opts, rpc.WithTimeout(800*time.Millisecond))...); err != nil {
						wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
						failed.Add(1)
					}
				})
			}
			calls.Wait()
			return failed.Load()
		}
		link.Silence()
		// A fifth of the calls goes to the silent one.
		plain, idempotent := failures(), failures(rpc.WithIdempotent())
		if plain == 0 || idempotent > plain/2 {
			t.Errorf("%d calls failed, and %d of those that may run twice", plain, idempotent)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = dead.Stop(ctx)
	})
}

func TestASlowAnswerOfAnIdempotentCallIsNotLost(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var served, abandoned atomic.Int64
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			served.Add(1)
			select {
			case <-time.After(800 * time.Millisecond):
				return hello(ctx, r)
			case <-ctx.Done():
				abandoned.Add(1)
				return nil, ctx.Err()
			}
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		began := time.Now()
		if err := sayHello(bustest.Context(t), client, rpc.WithIdempotent(), rpc.WithTimeout(900*time.Millisecond)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 800*time.Millisecond {
			t.Errorf("took %v, want 800ms", took)
		}
		time.Sleep(time.Millisecond)
		if served.Load() != 4 || abandoned.Load() != 3 {
			t.Errorf("%d were begun and %d given up, want 4 and 3", served.Load(), abandoned.Load())
		}
	})
}

// Each instance refuses every call, safely.
func TestRetriesCanBeChosenAndZeroMeansZero(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			ran.Add(1)
			e := bus.Errorf(bus.ResourceExhausted, "full")
			e.Retry = bus.RetrySafe
			return nil, e
		})
		serve(t, s)
		conn := b.Conn(t)
		for _, row := range []struct {
			name string
			cfg  rpc.ClientConfig
			opts []rpc.CallOption
			want int64
		}{
			{name: "usually", want: 4},
			{name: "none by the client", cfg: rpc.ClientConfig{Retries: new(0)}, want: 1},
			{name: "none by the call", opts: []rpc.CallOption{rpc.WithRetries(0)}, want: 1},
			{name: "the call decides", cfg: rpc.ClientConfig{Retries: new(0)}, opts: []rpc.CallOption{rpc.WithRetries(2)}, want: 3},
			{name: "less than none", opts: []rpc.CallOption{rpc.WithRetries(-1)}, want: 1},
		} {
			ran.Store(0)
			err := sayHello(bustest.Context(t), rpc.NewClient(conn, row.cfg), row.opts...)
			wantError(t, err, bus.ResourceExhausted, bus.Refused)
			if ran.Load() != row.want {
				t.Errorf("%s: sent %d times, want %d", row.name, ran.Load(), row.want)
			}
		}
	})
}

// A call without an answer is sent again if the method declares that it may run
// twice on every instance, without a word of the caller.
func TestAMethodDeclaresThatItsCallsMayRunTwice(t *testing.T) {
	for _, row := range []struct {
		name          string
		first, second []rpc.HandleOption // of the two instances
		repeated      bool
	}{
		{"both declare it", []rpc.HandleOption{rpc.Idempotent()}, []rpc.HandleOption{rpc.Idempotent()}, true},
		{"one does", []rpc.HandleOption{rpc.Idempotent()}, nil, false},
		{"none does", nil, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				var ran atomic.Int64
				slow := func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
					ran.Add(1)
					<-ctx.Done()
					return nil, ctx.Err()
				}
				for _, opts := range [][]rpc.HandleOption{row.first, row.second} {
					s := newGreeter(b.Conn(t))
					rpc.Handle(s, "Say.Hello", slow, opts...)
					rpc.Handle(s, "Say.Other", hello)
					serve(t, s)
				}
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Other", nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the client asks what they are
				wantError(t, sayHello(bustest.Context(t), client), bus.DeadlineExceeded, bus.Timeout)
				if repeated := ran.Load() > 1; repeated != row.repeated {
					t.Errorf("the handlers ran %d times", ran.Load())
				}
				time.Sleep(time.Second)
			})
		})
	}
}

func TestAClosedClientDoesNotCountOnWhatItHasLearnt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if ran.Add(1); r.Name == "" {
				return hello(ctx, r)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}, rpc.Idempotent())
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the client asks
		for _, want := range []int64{4, 1} {
			ran.Store(0)
			wantError(t, sayHello(bustest.Context(t), client), bus.DeadlineExceeded, bus.Timeout)
			if ran.Load() != want {
				t.Errorf("the handler ran %d times, want %d", ran.Load(), want)
			}
			time.Sleep(time.Second)
			if err := client.Close(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAContractSaysThatCallsMayRunTwiceAndHowLongTheyTake(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		contract := rpc.Method[HelloRequest, HelloResponse]{Service: greeter, Name: "Say.Hello", Idempotent: true, Timeout: 2 * time.Second}
		var ran atomic.Int64
		s := newGreeter(b.Conn(t))
		contract.Handle(s, func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			ran.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		began := time.Now()
		_, err := contract.Call(t.Context(), client, &HelloRequest{})
		wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
		if took := time.Since(began); took != 2*time.Second || ran.Load() != 4 {
			t.Errorf("took %v, ran %d times, want 2s and 4 times", took, ran.Load())
		}
		began = time.Now()
		_, err = contract.Call(t.Context(), client, &HelloRequest{}, rpc.WithTimeout(time.Second))
		wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
		if took := time.Since(began); took != time.Second {
			t.Errorf("with a timeout of its own it took %v, want 1s", took)
		}
	})
}

func TestARetryThatIsSafeBelowIsNotSafeAbove(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		conn := b.Conn(t)
		inner := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			ran.Add(1) // with an effect that must happen once
			_, err := rpc.Call[HelloResponse](ctx, inner, "full", "Do", nil)
			return nil, err
		})
		serve(t, s)
		full := rpc.NewServer(conn, rpc.ServerConfig{Name: "full", Concurrency: 1})
		rpc.Handle(full, "Do", func(context.Context, *struct{}) (*struct{}, error) {
			time.Sleep(time.Second)
			return nil, nil
		})
		serve(t, full)
		go func() { _, _ = rpc.Call[struct{}](bustest.Context(t), inner, "full", "Do", nil) }()
		time.Sleep(10 * time.Millisecond)
		err := sayHello(bustest.Context(t), rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		e := wantError(t, err, bus.ResourceExhausted, bus.Handler)
		if e.Retry != bus.RetryNever || ran.Load() != 1 {
			t.Errorf("the handler ran %d times, the error says retry %v", ran.Load(), e.Retry)
		}
		time.Sleep(time.Second)
	})
}
