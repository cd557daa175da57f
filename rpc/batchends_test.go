package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

func TestEachCallOfABatchEndsInItsOwnWay(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			switch r.Name {
			case "stranger":
				e := bus.Errorf(bus.NotFound, "nobody is called %s", r.Name)
				e.Detail = []byte(`{"near":[]}`)
				return nil, e
			case "bomb":
				panic("boom")
			}
			return &HelloResponse{Msg: "Hello " + r.Name + rpc.RequestFrom(ctx).Meta["tenant"]}, nil
		})
		serve(t, s)
		client := batching(t, b)
		kinds := []string{"John", "stranger", "bomb", "Ada"}
		ends := together(t, client, crowd, func(i int) string { return kinds[i%len(kinds)] }, rpc.WithMeta("tenant", "!"))
		for i, e := range ends {
			switch kind := kinds[i%len(kinds)]; kind {
			case "stranger":
				if failed := wantError(t, e.err, bus.NotFound, bus.Handler); string(failed.Detail) != `{"near":[]}` || failed.Method != "Say.Hello" {
					t.Errorf("got %+v", failed)
				}
			case "bomb":
				wantError(t, e.err, bus.Internal, bus.Handler)
			default:
				if e.err != nil || e.res.Msg != "Hello "+kind+"!" {
					t.Errorf("call %d: got %+v, %v", i, e.res, e.err)
				}
			}
		}
	})
}

func TestASlowCallOfABatchHoldsUpNoOther(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "slow" {
				time.Sleep(10 * time.Second)
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		for _, slow := range []func(int) bool{
			func(i int) bool { return i == 0 }, func(i int) bool { return i%2 == 0 }, func(i int) bool { return i == crowd-1 },
			func(i int) bool { return i != 7 },
		} {
			name := func(i int) string { return map[bool]string{true: "slow", false: "John"}[slow(i)] }
			ends := together(t, client, crowd, name, rpc.WithTimeout(20*time.Second))
			wantHello(t, ends, name)
			for i, e := range ends {
				if took := e.took.Round(time.Second); slow(i) && took != 10*time.Second || !slow(i) && took != 0 {
					t.Fatalf("call %d took %v, slow: %t", i, e.took, slow(i))
				}
			}
		}
		if got := seen.read(); got.callBatches == 0 {
			t.Errorf("%+v; want batches", got)
		}
	})
}

func TestTheEndOfOneCallerIsNotThatOfItsBatch(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var heard atomic.Int32
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "first" {
				return hello(ctx, r)
			}
			select {
			case <-ctx.Done():
				heard.Add(1)
				return nil, ctx.Err()
			case <-time.After(2 * time.Second):
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		var wg sync.WaitGroup
		for i := range crowd {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(bustest.Context(t))
				defer cancel()
				opts := []rpc.CallOption{rpc.WithTimeout(20 * time.Second)}
				switch i % 4 {
				case 0:
					time.AfterFunc(500*time.Millisecond, cancel)
				case 1:
					opts[0] = rpc.WithTimeout(time.Second)
				}
				began := time.Now()
				_, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Hello", &HelloRequest{Name: "John"}, opts...)
				took := time.Since(began).Round(10 * time.Millisecond)
				switch i % 4 {
				case 0:
					if !errors.Is(err, bus.Cancelled) || took != 500*time.Millisecond {
						t.Errorf("call %d: %v after %v, want it to be cancelled", i, err, took)
					}
				case 1:
					if !errors.Is(err, bus.Timeout) || took < 990*time.Millisecond || took > time.Second {
						t.Errorf("call %d: %v after %v, want a timeout", i, err, took)
					}
				default:
					if err != nil {
						t.Errorf("call %d: %v", i, err)
					}
				}
			})
		}
		wg.Wait()
		if got := seen.read(); got.callBatches == 0 {
			t.Errorf("%+v; want batches", got)
		}
		if got := heard.Load(); got != crowd/2 {
			t.Errorf("%d handlers were told to stop, want %d", got, crowd/2)
		}
	})
}

func TestAServerThatStopsAnswersTheBatchesItHas(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := newGreeter(conn)
		var n atomic.Int64
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name != "first" {
				time.Sleep(time.Duration(n.Add(1)%5) * time.Second)
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := batching(t, b)
		stopped := make(chan struct{})
		time.AfterFunc(500*time.Millisecond, func() {
			defer close(stopped)
			stop(t, s)
			if err := conn.Close(bustest.Context(t)); err != nil {
				t.Error(err)
			}
		})
		wantHello(t, together(t, client, crowd, john, rpc.WithTimeout(20*time.Second)), john)
		<-stopped
	})
}

func TestCallsOfABatchAreSentAgainOnTheirOwn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var tries sync.Map
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			n, again := tries.LoadOrStore(r.Name, rpc.RequestFrom(ctx).Attempt)
			switch {
			case !again && strings.HasPrefix(r.Name, "busy"):
				e := bus.Errorf(bus.ResourceExhausted, "later")
				e.Retry = bus.RetrySafe
				return nil, e
			case again && !strings.HasPrefix(r.Name, "busy"):
				t.Errorf("%s ran twice, first as try %v", r.Name, n)
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := batching(t, b)
		name := func(i int) string { return fmt.Sprint(map[bool]string{true: "busy ", false: "at once "}[i%40 == 0], i) }
		wantHello(t, together(t, client, crowd, name), name)
	})
}

func TestCallsThatShareTheirFateWithTheConnectionEndWithIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name != "first" {
				time.Sleep(2 * time.Second)
			}
			return hello(ctx, r)
		})
		serve(t, s)
		link := b.Link()
		conn := b.Conn(t, link.Use)
		client := rpc.NewClient(conn, rpc.ClientConfig{Batch: true})
		t.Cleanup(func() { _ = client.Close(bustest.Context(t)) })
		learn(t, client)
		time.AfterFunc(time.Second, link.Cut)
		for _, e := range together(t, client, crowd, john) {
			if !errors.Is(e.err, bus.Broker) || e.took.Round(100*time.Millisecond) != time.Second {
				t.Fatalf("got %v after %v, want the loss of the broker after 1 s", e.err, e.took)
			}
		}
		b.Await(t, conn)
		link.Down()
		for _, e := range together(t, client, crowd, john, rpc.WithRetries(0)) {
			if !errors.Is(e.err, bus.Broker) {
				t.Fatalf("got %v, want that the broker is away", e.err)
			}
		}
		link.Heal()
	})
}

func TestBatchedCallsOfAKilledInstanceEndBeforeTheirDeadline(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newCrew(t, b, 8*time.Second)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Batch: true})
		t.Cleanup(func() { _ = client.Close(bustest.Context(t)) })
		_, _ = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: "quick"})
		time.Sleep(3 * time.Second)
		seen := watchCalls(t, b)
		time.AfterFunc(time.Second, func() { c.kill(t, b.Conn(t)) })
		lost := 0
		for range 3 { // the broker may deal all batches to others
			for _, e := range together(t, client, 600, func(int) string { return "slow" }, rpc.WithTimeout(20*time.Second)) {
				if e.err == nil {
					continue
				}
				lost++
				if failed := wantError(t, e.err, bus.Unavailable, bus.Timeout); failed.Instance != c.killed.ID() || e.took > 4*time.Second {
					t.Fatalf("%+v after %v", failed, e.took)
				}
			}
			if lost > 0 {
				break
			}
		}
		if got := seen.read(); lost == 0 || lost == 600 || got.callBatches == 0 {
			t.Errorf("%d calls were lost, %+v", lost, got)
		}
	})
}

func TestCallsOverTheConcurrencyAreRefusedOneByOne(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Concurrency = 16 })
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			time.Sleep(time.Second)
			return hello(ctx, r)
		})
		serve(t, s)
		var all []byte
		for i := range 40 {
			all = wire.AppendToBatch(all, wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: uint64(i + 1), Codec: wire.CodecJSON, Payload: []byte(`{}`)}))
		}
		refused := 0
		for _, f := range answersOf(t, b.Conn(t), helloSubject, string(all), 40) {
			if e := bus.ReplyError(&nats.Msg{Data: f}); e != nil {
				refused++
				if e.Code != bus.ResourceExhausted || e.Retry != bus.RetrySafe {
					t.Errorf("got %v", e)
				}
			}
		}
		if refused != 24 {
			t.Errorf("%d calls were refused, want 24", refused)
		}
	})
}

func TestAHandlerThatEndsItsGoroutineHoldsUpNoAnswer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "gone" {
				runtime.Goexit()
			}
			return hello(ctx, r)
		})
		serve(t, s)
		client := batching(t, b)
		for i, e := range together(t, client, crowd, func(i int) string { return map[bool]string{true: "gone", false: "John"}[i%3 == 2] }) {
			if i%3 == 2 {
				wantError(t, e.err, bus.Internal, bus.Handler)
			} else if e.err != nil {
				t.Error(e.err)
			}
		}
	})
}

func TestMiddlewareSeesEachCallOfABatch(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var served, called atomic.Int32
		count := func(n *atomic.Int32) rpc.Middleware {
			return func(next rpc.HandlerFunc) rpc.HandlerFunc {
				return func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
					n.Add(1)
					return next(ctx, r)
				}
			}
		}
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Middleware = []rpc.Middleware{count(&served)} })
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := batching(t, b, func(c *rpc.ClientConfig) { c.Middleware = []rpc.Middleware{count(&called)} })
		wantHello(t, together(t, client, crowd, john), john)
		if served.Load() != crowd+1 || called.Load() != crowd+1 {
			t.Errorf("the server's saw %d, the client's %d, want %d", served.Load(), called.Load(), crowd+1)
		}
	})
}

func TestAnAnswerDoesNotWaitForTheLastCallOfItsBatch(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "slow" {
				time.Sleep(10 * time.Second)
			}
			return hello(ctx, r)
		})
		serve(t, s)
		var batch []byte
		for i, name := range []string{"John", "slow"} {
			batch = wire.AppendToBatch(batch, wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: uint64(i + 1), Codec: wire.CodecJSON, Payload: []byte(`{"name":"` + name + `"}`)}))
		}
		began := time.Now()
		got := answersOf(t, b.Conn(t), helloSubject, string(batch), 1)
		if took := time.Since(began); got[1] == nil || took > time.Second {
			t.Errorf("%v after %v, want the quick answer at once", got, took)
		}
	})
}
