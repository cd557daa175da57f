package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/rpc"
)

const crowd = 200 // calls that begin at the same moment

// batching makes a client whose calls share messages, and lets it learn what the
// greeter speaks.
func batching(t *testing.T, b *bustest.Bus, change ...func(*rpc.ClientConfig)) *rpc.Client {
	t.Helper()
	cfg := rpc.ClientConfig{Batch: true}
	for _, f := range change {
		f(&cfg)
	}
	client := rpc.NewClient(b.Conn(t), cfg)
	t.Cleanup(func() { _ = client.Close(bustest.Context(t)) })
	learn(t, client)
	return client
}

func learn(t *testing.T, client *rpc.Client) {
	t.Helper()
	_, _ = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: "first"})
	time.Sleep(3 * time.Second)
}

// An end is what became of one call.
type callEnd struct {
	res  *HelloResponse
	err  error
	took time.Duration
}

// together makes calls that begin at the same moment, with the names that name
// gives them.
func together(t *testing.T, client *rpc.Client, n int, name func(int) string, opts ...rpc.CallOption) []callEnd {
	t.Helper()
	ends := make([]callEnd, n)
	ctx := bustest.Context(t)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range ends {
		wg.Go(func() {
			res, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Hello", &HelloRequest{Name: name(i)}, opts...)
			ends[i] = callEnd{res, err, time.Since(began)}
		})
	}
	wg.Wait()
	return ends
}

func john(int) string { return "John" }

// wantHello fails for calls that were not answered.
func wantHello(t *testing.T, ends []callEnd, name func(int) string) {
	t.Helper()
	for i, e := range ends {
		if e.err != nil || e.res.Msg != "Hello "+name(i) {
			t.Fatalf("call %d: got %+v, %v; want Hello %s", i, e.res, e.err, name(i))
		}
	}
}

// A tally counts what goes over the bus between callers and services.
type tally struct {
	mu                               sync.Mutex
	calls, callBatches, batched      int
	replies, replyBatches, answers   int
	plain, longest, mostCalls, parts int
}

// watchCalls counts until the test ends. It hears every call subject, so nobody
// is told meanwhile that nobody listens.
func watchCalls(t *testing.T, b *bustest.Bus) *tally {
	t.Helper()
	n := &tally{}
	conn := b.Conn(t)
	for _, subject := range []string{"mbus.rpc.>", "mbus.node.>", "_INBOX.>"} {
		if _, err := conn.NATS().Subscribe(subject, n.add); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *tally) add(m *nats.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	frames, err := wire.ParseBatch(nil, m.Data)
	call := strings.HasPrefix(m.Subject, "mbus.")
	if err == nil {
		n.longest = max(n.longest, len(m.Data))
	}
	switch {
	case err == nil && call:
		n.callBatches++
		n.batched += len(frames)
		n.mostCalls = max(n.mostCalls, len(frames))
	case err == nil:
		n.replyBatches++
		n.answers += len(frames)
	case wire.TypeOf(m.Data) == wire.FrameCall:
		n.calls++
	case wire.TypeOf(m.Data) == wire.FrameReply:
		n.replies++
	case wire.TypeOf(m.Data) == wire.FrameAccept:
		n.parts++
	case call:
		n.plain++
	}
}

// read returns what was counted, once all has come.
func (n *tally) read() *tally {
	time.Sleep(time.Second)
	n.mu.Lock()
	defer n.mu.Unlock()
	return &tally{
		calls: n.calls, callBatches: n.callBatches, batched: n.batched, replies: n.replies, replyBatches: n.replyBatches, answers: n.answers,
		plain: n.plain, longest: n.longest, mostCalls: n.mostCalls, parts: n.parts,
	}
}

func TestCallsThatAreDueTogetherShareMessages(t *testing.T) {
	for _, inline := range []bool{false, true} {
		t.Run(fmt.Sprintf("inline %t", inline), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := newGreeter(b.Conn(t))
				var opts []rpc.HandleOption
				if inline {
					opts = append(opts, rpc.Inline())
				}
				rpc.Handle(s, "Say.Hello", hello, opts...)
				serve(t, s)
				client := batching(t, b)
				seen := watchCalls(t, b)
				name := func(i int) string { return fmt.Sprint("no. ", i) }
				for range 5 {
					wantHello(t, together(t, client, crowd, name), name)
				}
				got := seen.read()
				t.Logf("%+v", got)
				if got.batched < 4*crowd || got.callBatches > got.batched/8 || got.mostCalls > wire.MaxBatch {
					t.Errorf("%d calls were in %d batches of up to %d; most of %d calls should share messages, up to %d", got.batched, got.callBatches, got.mostCalls, 5*crowd, wire.MaxBatch)
				}
				if got.answers < 4*crowd || got.replyBatches > got.answers/8 {
					t.Errorf("%d answers were in %d batches", got.answers, got.replyBatches)
				}
				stats, err := rpc.Call[rpc.Stats](bustest.Context(t), client, greeter, rpc.MethodStats, nil)
				if err != nil || stats.Endpoints[0].Requests != 5*crowd+1 {
					t.Errorf("%+v, %v; want each call to be counted", stats, err)
				}
			})
		})
	}
}

func TestCallsThatAreAloneTravelAlone(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		for range 20 {
			wantHello(t, together(t, client, 1, john), john)
		}
		if got := seen.read(); got.calls != 20 || got.replies != 20 || got.callBatches+got.replyBatches+got.plain > 0 {
			t.Errorf("%+v; want 20 frames and their answers", got)
		}
	})
}

func TestWithoutTheOptionNothingIsBatched(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := batching(t, b, func(c *rpc.ClientConfig) { c.Batch = false })
		seen := watchCalls(t, b)
		wantHello(t, together(t, client, crowd, john), john)
		if got := seen.read(); got.calls != crowd || got.callBatches > 0 {
			t.Errorf("%+v; want %d frames", got, crowd)
		}
	})
}

func TestABatchHasNoMoreCallsThanTheInstanceReads(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Concurrency = 80 })
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		for range 5 {
			_ = together(t, client, 60, john)
		}
		if got := seen.read(); got.mostCalls < 2 || got.mostCalls > 20 {
			t.Errorf("%+v; want batches of 20 calls", got)
		}
	})
}

func TestLargeAnswersLeaveTheirBatch(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.MaxBody = 2 << 20 })
		sizes := []int{10, 3 << 10, 6 << 10, 300 << 10, 3 << 20}
		rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
			n := 0
			_, _ = fmt.Sscan(r.Name, &n)
			return &HelloResponse{Msg: strings.Repeat("x", n)}, nil
		})
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		size := func(i int) int { return sizes[map[bool]int{true: i % 5, false: i % 3}[i < 30]] }
		for i, e := range together(t, client, crowd, func(i int) string { return fmt.Sprint(size(i)) }, rpc.WithTimeout(20*time.Second)) {
			if size(i) > 2<<20 {
				wantError(t, e.err, bus.TooLarge, bus.Handler)
			} else if e.err != nil || len(e.res.Msg) != size(i) {
				t.Errorf("call %d: %v, want %d bytes", i, e.err, size(i))
			}
		}
		got := seen.read()
		if got.callBatches == 0 || got.replyBatches == 0 || got.longest > 32<<10 || got.parts == 0 {
			t.Errorf("%+v; want batches of up to 32 KiB, and answers in parts beside them", got)
		}
	})
}

func TestLargeRequestsTravelAlone(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		name := func(i int) string { return strings.Repeat("x", []int{1 << 10, 5 << 10, 300 << 10}[i%3]) }
		wantHello(t, together(t, client, 60, name), name)
		got := seen.read()
		if got.batched < 2 || got.batched > 20 || got.calls < 20 || got.longest > 32<<10 {
			t.Errorf("%+v; want the twenty small ones in batches of up to 32 KiB, and the others alone", got)
		}
	})
}

func TestABatchStaysBelowTheLimitOfTheBroker(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := batching(t, b)
		seen := watchCalls(t, b)
		name := func(i int) string { return strings.Repeat("x", i*5) }
		wantHello(t, together(t, client, crowd, name), name)
		if got := seen.read(); got.callBatches == 0 || got.longest > 4<<10 {
			t.Errorf("%+v; want batches within 4 KiB", got)
		}
	}, bustest.WithServer(func(o *server.Options) { o.MaxPayload = 4 << 10 }))
}

func TestBatchesFollowTheSelector(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for range 2 {
			s := newGreeter(b.Conn(t))
			rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) { return &HelloResponse{Msg: s.ID()}, nil })
			serve(t, s)
		}
		client := batching(t, b, func(c *rpc.ClientConfig) { c.Selector.Strategy = selector.RoundRobin })
		seen := watchCalls(t, b)
		counts := make(map[string]int)
		for _, e := range together(t, client, crowd, john) {
			if e.err != nil {
				t.Fatal(e.err)
			}
			counts[e.res.Msg]++
		}
		if got := seen.read(); len(counts) != 2 || got.callBatches == 0 {
			t.Errorf("%v, %+v; want batches to both instances", counts, got)
		}
		for id, n := range counts {
			if n < crowd/3 {
				t.Errorf("instance %s got %d of %d calls", id, n, crowd)
			}
		}
	})
}
