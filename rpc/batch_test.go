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

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
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

// scripted serves Say.Hello of the greeter with plain NATS. Its PING answer has
// these metadata.
func scripted(t *testing.T, b *bustest.Bus, metadata string, f func(*nats.Msg)) (stop func()) {
	t.Helper()
	conn := b.Conn(t)
	var subs []*nats.Subscription
	for subject, f := range map[string]func(*nats.Msg){
		"$SRV.PING." + wire.Escape(greeter): func(m *nats.Msg) {
			_ = m.Respond(fmt.Appendf(nil, `{"type":"io.nats.micro.v1.ping_response","name":%q,"id":"X","version":"1.0.0","metadata":{%s}}`, wire.Escape(greeter), metadata))
		},
		wire.CallSubject(greeter, "Say.Hello"): f,
	} {
		sub, err := conn.NATS().Subscribe(subject, f)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	if err := conn.Flush(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe()
		}
		_ = conn.Flush(bustest.Context(t))
	}
}

const (
	framesOnly = `"mbus.v":"1","mbus.name":"go.micro.srv.greeter","mbus.codecs":"json,msgpack"`
	batchesToo = framesOnly + `,"mbus.batch":"64"`
)

// respond answers a call in its spelling.
func respond(m *nats.Msg) {
	f, err := wire.ParseFrame(m.Data)
	if err != nil {
		_ = m.Respond([]byte(`{"msg":"Hello John"}`))
		return
	}
	_ = m.Respond(wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: f.Seq, Codec: wire.CodecJSON, Payload: []byte(`{"msg":"Hello John"}`)}))
}

func TestWhoDoesNotSayThatItReadsBatchesGetsNone(t *testing.T) {
	for name, metadata := range map[string]string{"foreign": `"a":"b"`, "old": framesOnly, "one at a time": framesOnly + `,"mbus.batch":"1"`, "nonsense": framesOnly + `,"mbus.batch":"many"`} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				scripted(t, b, metadata, respond)
				client := batching(t, b)
				seen := watchCalls(t, b)
				wantHello(t, together(t, client, crowd, john), john)
				if got := seen.read(); got.callBatches > 0 || got.calls+got.plain != crowd || (got.calls > 0) != strings.Contains(metadata, "mbus.v") {
					t.Errorf("%+v; want no batches", got)
				}
			})
		})
	}
}

func TestOneInstanceThatReadsNoBatchesKeepsThemFromAll(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for _, limit := range []int{1024, 4} { // four calls at once are too few for batches
			s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Concurrency = limit })
			rpc.Handle(s, "Say.Hello", hello)
			serve(t, s)
		}
		client := batching(t, b)
		seen := watchCalls(t, b)
		_ = together(t, client, crowd, john)
		if got := seen.read(); got.callBatches > 0 || got.calls < crowd {
			t.Errorf("%+v; want no batches", got)
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
		if got := seen.read(); got.mostCalls < 10 || got.mostCalls > 20 {
			t.Errorf("%+v; want batches of 20 calls", got)
		}
	})
}

func TestABatchThatIsRefusedWholeIsSentAgainCallByCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var batches, singles atomic.Int32
		scripted(t, b, batchesToo, func(m *nats.Msg) {
			if wire.TypeOf(m.Data) != wire.FrameBatch {
				singles.Add(1)
				respond(m)
				return
			}
			batches.Add(1)
			_ = m.Respond(bus.Errorf(bus.InvalidArgument, "a frame of type batch is not a request").AppendFrame(nil, 0))
		})
		client := batching(t, b)
		wantHello(t, together(t, client, crowd, john), john)
		first := batches.Load()
		for range 2 {
			wantHello(t, together(t, client, crowd, john), john)
		}
		if n := batches.Load(); n == 0 || n != first {
			t.Errorf("%d batches were sent, %d of them by the first calls; want no others", n, first)
		}
		if n := singles.Load(); n != 3*crowd+1 {
			t.Errorf("%d calls came alone, want each once", n)
		}
	})
}

func TestAnswersOfABatchMayComeInAnyWay(t *testing.T) {
	reply := func(seq uint64) []byte {
		return wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: seq, Codec: wire.CodecJSON, Payload: []byte(`{"msg":"Hello John"}`)})
	}
	for _, row := range []struct {
		name   string
		answer func(m *nats.Msg, calls []wire.Batched)
		code   bus.Code // 0: all are answered
		end    bus.End
	}{
		{name: "one by one, backwards, twice", answer: func(m *nats.Msg, calls []wire.Batched) {
			for i := range calls {
				_ = m.Respond(reply(calls[len(calls)-1-i].Seq))
				_ = m.Respond(reply(calls[len(calls)-1-i].Seq))
			}
		}},
		{name: "with numbers of nobody", answer: func(m *nats.Msg, calls []wire.Batched) {
			var all []byte
			for i := range calls[:len(calls)-1] {
				all = wire.AppendToBatch(all, reply(calls[i].Seq))
			}
			all = wire.AppendToBatch(all, reply(1<<50))
			_ = m.Respond(all)
			_ = m.Respond(reply(calls[len(calls)-1].Seq))
		}},
		{name: "a broken batch", code: bus.DataLoss, end: bus.Handler, answer: func(m *nats.Msg, calls []wire.Batched) {
			_ = m.Respond(append(wire.AppendToBatch(nil, reply(calls[0].Seq)), 0xff))
		}},
		{name: "a batch of calls", code: bus.DataLoss, end: bus.Handler, answer: func(m *nats.Msg, _ []wire.Batched) { _ = m.Respond(m.Data) }},
		{name: "a plain answer", code: bus.DataLoss, end: bus.Handler, answer: func(m *nats.Msg, _ []wire.Batched) { _ = m.Respond([]byte(`{"msg":"Hello`)) }},
		{name: "a plain error", code: bus.Conflict, end: bus.Handler, answer: func(m *nats.Msg, _ []wire.Batched) {
			_ = m.RespondMsg(&nats.Msg{Header: bus.Errorf(bus.Conflict, "no").Header()})
		}},
		{name: "a broken frame", code: bus.DataLoss, end: bus.Handler, answer: func(m *nats.Msg, _ []wire.Batched) { _ = m.Respond([]byte{0xc1, 1, 2}) }},
		{name: "a refusal of all", code: bus.ResourceExhausted, end: bus.Refused, answer: func(m *nats.Msg, _ []wire.Batched) {
			e := bus.Errorf(bus.ResourceExhausted, "no")
			e.Retry = bus.RetrySafe
			_ = m.Respond(e.AppendFrame(nil, 0))
		}},
		{name: "nothing", code: bus.DeadlineExceeded, end: bus.Timeout, answer: func(*nats.Msg, []wire.Batched) {}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				var shared atomic.Int32
				scripted(t, b, batchesToo, func(m *nats.Msg) {
					calls, err := wire.ParseBatch(nil, m.Data)
					if err != nil {
						respond(m)
						return
					}
					shared.Add(int32(len(calls)))
					row.answer(m, calls)
				})
				client := batching(t, b)
				failed := 0
				for _, e := range together(t, client, 60, john, rpc.WithRetries(0)) {
					if e.err == nil {
						continue
					}
					failed++
					if row.code == 0 {
						t.Fatal(e.err)
					}
					wantError(t, e.err, row.code, row.end)
				}
				if n := int(shared.Load()); n == 0 || row.code != 0 && failed != n {
					t.Errorf("%d calls were in batches and %d failed", n, failed)
				}
			})
		})
	}
}

func TestWhenNobodyListensEachCallOfABatchSaysSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		stop := scripted(t, b, batchesToo, func(m *nats.Msg) { respond(m) })
		client := batching(t, b)
		stop()
		for _, e := range together(t, client, crowd, john, rpc.WithRetries(0)) {
			if !errors.Is(e.err, bus.Nobody) {
				t.Fatalf("got %v, want nobody", e.err)
			}
		}
		// They are tried again, and someone is back by then.
		time.AfterFunc(5*time.Millisecond, func() { scripted(t, b, batchesToo, respond) })
		for _, e := range together(t, client, 20, john) {
			if e.err != nil && !errors.Is(e.err, bus.Nobody) {
				t.Fatal(e.err)
			}
		}
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
		if got.batched < 10 || got.batched > 20 || got.calls < 20 || got.longest > 32<<10 {
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

func TestHostileBatchesAreRefusedWholeOrCallByCall(t *testing.T) {
	call := func(seq uint64, payload string) []byte {
		return wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: seq, Codec: wire.CodecJSON, Payload: []byte(payload)})
	}
	batch := func(frames ...[]byte) string {
		var all []byte
		for _, f := range frames {
			all = wire.AppendToBatch(all, f)
		}
		return string(all)
	}
	good := call(1, `{"name":"John"}`)
	var many []byte
	for i := range wire.MaxBatch + 1 {
		many = wire.AppendToBatch(many, call(uint64(i+1), "{}"))
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newHostileServer(t, b)
		conn := b.Conn(t)
		for name, data := range map[string]string{
			"nested": batch(good, []byte(batch(good))), "too many": string(many), "a length that lies": batch(good) + "\xff\xff\xff\xff\x0f\xc1",
			"empty": batch(good)[:6], "cut": batch(good)[:10], "a frame of version 9": batch(good, []byte("\xc1\x09\x01\x00\x01\x02{}")),
		} {
			e := bus.ReplyError(ask(t, conn, helloSubject, nil, data))
			if e == nil || e.Code != bus.InvalidArgument {
				t.Errorf("%s: got %v, want invalid_argument", name, e)
			}
		}
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.ID = "I1" })
		serve(t, s)
		if e := bus.ReplyError(ask(t, conn, wire.NodeSubject(greeter, "I1", "No.Such"), nil, batch(good))); e == nil || e.Code != bus.NotFound {
			t.Errorf("a method that is not there: %v, want not_found", e)
		}
	})
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		newHostileServer(t, b)
		frames := [][]byte{
			good, call(2, `{"name":`), []byte("\xc1\x01\x01\x80\x01\x03{}"), []byte("\xc1\x01\x04\x00\x01\x04\x01\x01\x04"),
			[]byte("\xc1\x01\x02\x00\x01\x05{}"), []byte("\xc1\x01\x01\x00\x63\x06{}"), []byte("\xc1\x01\x01\x02\x01\x07\x00{}"), call(8, `{"name":"Ada"}`),
		}
		want := map[uint64]bus.Code{2: bus.InvalidArgument, 3: bus.InvalidArgument, 4: bus.InvalidArgument, 5: bus.InvalidArgument, 6: bus.Unimplemented, 7: bus.DeadlineExceeded}
		got := answersOf(t, b.Conn(t), helloSubject, batch(frames...), len(frames))
		for seq := range uint64(len(frames)) {
			e := bus.ReplyError(&nats.Msg{Data: got[seq+1]})
			if code, failed := want[seq+1]; failed != (e != nil) || failed && e.Code != code {
				t.Errorf("call %d: got %q, %v; want %v", seq+1, got[seq+1], e, code)
			}
		}
	})
}

// answersOf sends a batch and returns its answers by their numbers.
func answersOf(t *testing.T, conn *bus.Conn, subject, batch string, n int) map[uint64][]byte {
	t.Helper()
	all := make(map[uint64][]byte)
	var mu sync.Mutex
	reply, release, err := conn.Expect(func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		frames, err := wire.ParseBatch(nil, m.Data)
		if err != nil {
			seq, _ := wire.AnswerSeq(m.Data)
			frames = []wire.Batched{{Seq: seq, Frame: m.Data}}
		}
		for _, f := range frames {
			all[f.Seq] = f.Frame
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := conn.Publish(bustest.Context(t), subject, reply, nil, []byte(batch)); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, 5*time.Second, "all answers", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(all) >= n
	})
	return all
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

func TestBodiesOfABatchDoNotShareTheirMemory(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		s.HandleRaw("Say.Hello", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: codec.JSON, Body: []byte(`{"msg":"Hello John"}`)}, nil
		})
		serve(t, s)
		client := batching(t, b)
		bodies := make(chan []byte, crowd)
		var wg sync.WaitGroup
		for range crowd {
			wg.Go(func() {
				res, err := client.Do(bustest.Context(t), &rpc.Request{Service: greeter, Method: "Say.Hello", Codec: codec.JSON, Body: []byte(`{}`)})
				if err != nil {
					t.Error(err)
					return
				}
				bodies <- res.Body
			})
		}
		wg.Wait()
		for range crowd {
			if body := <-bodies; cap(body) > 64 {
				t.Fatalf("a body of %d bytes holds on to %d", len(body), cap(body))
			}
		}
	})
}
