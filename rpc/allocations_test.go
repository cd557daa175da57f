package rpc_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/tinylib/msgp/msgp"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// A Count has the methods that github.com/tinylib/msgp generates.
type Count struct {
	N int `json:"n"`
}

func (n *Count) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.Require(b, 3+msgp.IntSize)
	return msgp.AppendInt(msgp.AppendString(msgp.AppendMapHeader(b, 1), "n"), n.N), nil
}

func (n *Count) UnmarshalMsg(b []byte) (rest []byte, err error) {
	fields, b, err := msgp.ReadMapHeaderBytes(b)
	for ; err == nil && fields > 0; fields-- {
		var key []byte
		if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
			break
		}
		if string(key) == "n" {
			n.N, b, err = msgp.ReadIntBytes(b)
		} else {
			b, err = msgp.Skip(b)
		}
	}
	return b, err
}

// Allocations are those of the whole process: of caller, service and broker, for
// one call after another. So each budget is what mbus may allocate beyond a
// request of plain nats.go, with an answer, in the same process. Two of those of
// "typed" are the handler's own.
func TestAllocationsOfACallStayWithinTheirBudget(t *testing.T) {
	bustest.NotUnderRace(t)
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", hello)
		rpc.Handle(s, "Say.Inline", hello, rpc.Inline())
		rpc.Handle(s, "Say.Count", func(_ context.Context, n *Count) (*Count, error) { return n, nil })
		answer := &rpc.Response{Codec: codec.Raw}
		s.HandleRaw("Say.Raw", func(context.Context, *rpc.Request) (*rpc.Response, error) { return answer, nil })
		serve(t, s)
		if _, err := conn.NATS().Subscribe("floor", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
			t.Fatal(err)
		}
		if err := conn.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		client, plain := rpc.NewClient(b.Conn(t), rpc.ClientConfig{}), b.Conn(t).NATS()
		local := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
		ctx, cancel := context.WithCancel(bustest.Context(t))
		defer cancel()
		request, count, raw := &HelloRequest{Name: "John"}, &Count{N: 7}, &rpc.Request{Service: greeter, Method: "Say.Raw", Codec: codec.Raw}
		for _, c := range []*rpc.Client{client, local} {
			if err := helloVia(ctx, c, "Say.Hello", request); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // they learn what the service speaks
		floor := bustest.Allocations(t, func() error { _, err := plain.RequestWithContext(ctx, "floor", nil); return err })
		for _, row := range []struct {
			name   string
			call   func() error
			floor  float64
			budget float64
		}{
			{"raw", func() error { _, err := client.Do(ctx, raw); return err }, floor, -5},
			{"typed", func() error { return helloVia(ctx, client, "Say.Hello", request) }, floor, 0},
			{"typed, inline", func() error { return helloVia(ctx, client, "Say.Inline", request) }, floor, 0},
			{"typed, generated codec", func() error {
				_, err := rpc.Call[Count](ctx, client, greeter, "Say.Count", count)
				return err
			}, floor, -4},
			{"typed, in this process", func() error { return helloVia(ctx, local, "Say.Hello", request) }, 0, 8},
		} {
			got := bustest.Allocations(t, row.call)
			t.Logf("%s: %v allocations, %v beyond the floor", row.name, got, got-row.floor)
			if got-row.floor > row.budget {
				t.Errorf("%s: %v allocations beyond the %v of nats.go alone, %v are allowed", row.name, got-row.floor, row.floor, row.budget)
			}
		}
	})
}

func helloVia(ctx context.Context, client *rpc.Client, method string, request *HelloRequest) error {
	_, err := rpc.Call[HelloResponse](ctx, client, greeter, method, request)
	return err
}

// The allocations are those of caller, service and broker together, with those of
// the goroutines that call.
func TestAllocationsOfCallsThatShareMessagesStayWithinTheirBudget(t *testing.T) {
	bustest.NotUnderRace(t)
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		answer := &rpc.Response{Codec: codec.Raw}
		s.HandleRaw("Say.Hello", func(context.Context, *rpc.Request) (*rpc.Response, error) { return answer, nil })
		serve(t, s)
		client := batching(t, b)
		ctx, cancel := context.WithCancel(bustest.Context(t))
		defer cancel()
		raw := &rpc.Request{Service: greeter, Method: "Say.Hello", Codec: codec.Raw}
		const calls, budget = 64, 8
		got := testing.AllocsPerRun(100, func() {
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() {
					if _, err := client.Do(ctx, raw); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
		t.Logf("%v allocations a call", got/calls)
		if got/calls > budget {
			t.Errorf("%v allocations a call, %v are allowed", got/calls, budget)
		}
	})
}
