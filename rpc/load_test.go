package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestOverloadIsRefusedAndTheDebugMethodsStillAnswer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Concurrency = 10 })
		var atOnce, most atomic.Int64
		rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			n := atOnce.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(100 * time.Millisecond)
			atOnce.Add(-1)
			return &HelloResponse{}, nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
		var ok, refused atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				err := sayHello(bustest.Context(t), client)
				switch {
				case err == nil:
					ok.Add(1)
				case errors.Is(err, bus.ResourceExhausted) && errors.Is(err, bus.Refused):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		if _, err := rpc.Call[rpc.Health](bustest.Context(t), client, greeter, rpc.MethodHealth, nil); err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("health under overload: %v after %v", err, time.Since(began))
		}
		wg.Wait()
		if ok.Load()+refused.Load() != 1000 || ok.Load() < 80 || refused.Load() < 800 {
			t.Errorf("%d succeeded and %d were refused of 1000", ok.Load(), refused.Load())
		}
		if most.Load() != 10 {
			t.Errorf("%d calls were at work at once, want 10", most.Load())
		}
		stats, err := rpc.Call[rpc.Stats](bustest.Context(t), client, greeter, rpc.MethodStats, nil)
		if err != nil {
			t.Fatal(err)
		}
		if stats.Refused != uint64(refused.Load()) {
			t.Errorf("the statistics count %d refusals, want %d", stats.Refused, refused.Load())
		}
	})
}

func TestRetriesOfRefusedCallsStayWithinTheBudget(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var served atomic.Int64
		s := newGreeter(b.Conn(t))
		s.HandleRaw("Say.Hello", func(context.Context, *rpc.Request) (*rpc.Response, error) {
			served.Add(1)
			e := bus.Errorf(bus.ResourceExhausted, "always full")
			e.Retry = bus.RetrySafe
			return nil, e
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 1000 {
			wantError(t, sayHello(bustest.Context(t), client), bus.ResourceExhausted, bus.Refused)
		}
		if n := served.Load(); n > 1100 || n < 1005 {
			t.Errorf("1000 calls reached the service %d times, want at most 1100", n)
		}
	})
}

func TestStopLosesNoCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start := func() *rpc.Server {
			s := newGreeter(b.Conn(t))
			rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
				time.Sleep(20 * time.Millisecond)
				return hello(ctx, r)
			})
			if err := s.Start(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			return s
		}
		servers := []*rpc.Server{start(), start(), start()}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
		ctx, cancel := context.WithCancel(bustest.Context(t))
		var calls atomic.Int64
		var load sync.WaitGroup
		for range 20 {
			load.Go(func() {
				for ctx.Err() == nil {
					if err := sayHello(bustest.Context(t), client); err != nil {
						t.Errorf("a call was lost: %v", err)
						return
					}
					calls.Add(1)
				}
			})
		}
		for range 10 { // a rolling restart: the new one first
			time.Sleep(200 * time.Millisecond)
			servers = append(servers, start())
			stop(t, servers[0])
			servers = servers[1:]
		}
		cancel()
		load.Wait()
		for _, s := range servers {
			stop(t, s)
		}
		if calls.Load() < 1000 {
			t.Errorf("only %d calls were made", calls.Load())
		}
	})
}

func TestStopTellsWhatDidNotFinish(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		told := make(chan error, 1)
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			<-ctx.Done()
			told <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		if err := s.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		result := make(chan error, 1)
		go func() { result <- sayHello(bustest.Context(t), client, rpc.WithTimeout(20*time.Second)) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := s.Stop(ctx)
		if err == nil || !strings.Contains(err.Error(), "1 calls had not returned") {
			t.Errorf("Stop returned %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("Stop took %v, want 3s", took)
		}
		if cause := <-told; cause == nil || !strings.Contains(cause.Error(), "the server has stopped") {
			t.Errorf("the handler's context ended because %v", cause)
		}
		if err := <-result; !errors.Is(err, bus.Canceled) {
			t.Errorf("the caller got %v, want canceled", err)
		}
	})
}

func TestNoCallIsServedTwiceOrLostInSilenceWhateverBreaks(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var mu sync.Mutex
		ledger := make(map[string]int)
		serverLink := b.Link()
		for i := range 3 {
			conn := b.Conn(t)
			if i == 0 {
				conn = b.Conn(t, serverLink.Use)
			}
			s := newGreeter(conn)
			rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
				mu.Lock()
				ledger[rpc.RequestFrom(ctx).ID]++
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
				return hello(ctx, r)
			})
			serve(t, s)
		}
		link := b.Link()
		conn := b.Conn(t, link.Use)
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		answered := make(map[string]bool)
		ends := make(map[bus.End]int)
		ctx, cancel := context.WithCancel(bustest.Context(t))
		var load sync.WaitGroup
		for caller := range 10 {
			load.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					id := fmt.Sprint(caller, "-", n)
					err := sayHello(t.Context(), client, rpc.WithID(id), rpc.WithTimeout(time.Second))
					mu.Lock()
					answered[id] = err == nil
					if err != nil {
						ends[failure(t, err).End]++
					}
					mu.Unlock()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		for range 3 {
			time.Sleep(300 * time.Millisecond)
			link.Cut()
			time.Sleep(300 * time.Millisecond)
			serverLink.Cut()
			time.Sleep(300 * time.Millisecond)
			b.Restart()
		}
		b.Await(t, conn)
		time.Sleep(time.Second)
		cancel()
		load.Wait()
		mu.Lock()
		defer mu.Unlock()
		good := 0
		for id, ok := range answered {
			if ok {
				good++
			}
			if n := ledger[id]; n > 1 || ok && n == 0 {
				t.Errorf("call %s was served %d times, answered %v", id, n, ok)
			}
		}
		for end := range ends {
			if end != bus.Broker && end != bus.Timeout && end != bus.Nobody {
				t.Errorf("%d calls ended with %q", ends[end], end)
			}
		}
		if good < 200 || ends[bus.Broker] == 0 {
			t.Errorf("%d calls were answered, the others ended with %v: the test has tested nothing", good, ends)
		}
	})
}
