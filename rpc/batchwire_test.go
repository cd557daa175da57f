package rpc_test

import (
	"errors"
	"fmt"
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
