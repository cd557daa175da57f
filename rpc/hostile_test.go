package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

// maxHostileBytes is what two hostile messages and their answers may make the
// process allocate, with the broker's own work. Undefended, five bytes ask for
// 34 GiB.
const maxHostileBytes = 128 << 20

// List has what a length that lies would fill.
type List struct {
	Items []int64 `json:"items"`
	Any   any     `json:"any"`
}

func newHostileServer(t *testing.T, b *bustest.Bus) {
	t.Helper()
	s := newGreeter(b.Conn(t))
	rpc.Handle(s, "Say.Hello", hello)
	rpc.Handle(s, "List.Echo", func(_ context.Context, r *List) (*List, error) { return r, nil })
	rpc.Handle(s, "Ints.Echo", func(_ context.Context, r *[]int64) (*[]int64, error) { return r, nil })
	rpc.Handle(s, "Any.Echo", func(_ context.Context, r *any) (*any, error) { return r, nil })
	serve(t, s)
}

// hostileBodies are msgpack that lies or goes too deep, by name.
func hostileBodies() map[string][]byte {
	return map[string][]byte{
		"array32 of 4G":         {0xdd, 0xff, 0xff, 0xff, 0xff},
		"map32 of 4G":           {0xdf, 0xff, 0xff, 0xff, 0xff},
		"str32 of 4G":           {0xdb, 0xff, 0xff, 0xff, 0xff},
		"bin32 of 4G":           {0xc6, 0xff, 0xff, 0xff, 0xff},
		"ext32 of 4G":           {0xc9, 0xff, 0xff, 0xff, 0xff, 0x01},
		"nested in a map":       append([]byte{0x81, 0xa5}, append([]byte("items"), 0xdd, 0xff, 0xff, 0xff, 0xff)...),
		"65 arrays":             append(bytes.Repeat([]byte{0x91}, 65), 0xc0),
		"900 KiB of arrays":     bytes.Repeat([]byte{0x91}, 900<<10),
		"900 KiB of maps":       bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 300<<10),
		"900 KiB of empty maps": append([]byte{0xdd, 0x00, 0x0e, 0x0f, 0x00}, bytes.Repeat([]byte{0x80}, 0x0e0f00)...),
		"trailing bytes":        {0x80, 0x80},
		"never used":            {0xc1},
		"cut":                   {0x81, 0xa5, 'i', 't'},
	}
}

func TestHostileRequestsAreTypedErrorsAndCostLittle(t *testing.T) {
	for name, body := range hostileBodies() {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				newHostileServer(t, b)
				conn := b.Conn(t)
				for _, method := range []string{"Say.Hello", "List.Echo", "Ints.Echo", "Any.Echo"} {
					subject := wire.CallSubject(greeter, method)
					frame := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: 7, Codec: wire.CodecMsgpack, Payload: body})
					before := allocated()
					plain := ask(t, conn, subject, nats.Header{"Content-Type": {"application/msgpack"}}, string(body))
					framed := ask(t, conn, subject, nil, string(frame))
					if spent := allocated() - before; spent > maxHostileBytes {
						t.Errorf("%s: %d MiB were allocated", method, spent>>20)
					}
					if name == "900 KiB of empty maps" && method != "Say.Hello" {
						continue // may be a legal value, which only has to be cheap
					}
					for spelling, m := range map[string]*nats.Msg{"plain": plain, "frame": framed} {
						if e := bus.ReplyError(m); e == nil || e.Code != bus.InvalidArgument && e.Code != bus.TooLarge {
							t.Errorf("%s, %s: got %v, want invalid_argument", method, spelling, e)
						}
					}
				}
				if m := ask(t, conn, helloSubject, nil, `{"name":"John"}`); string(m.Data) != `{"msg":"Hello John"}` {
					t.Errorf("the next request: %q", m.Data)
				}
			})
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestHostileRepliesAreTypedErrorsAndCostLittle(t *testing.T) {
	replies := make(map[string][]byte)
	for name, body := range hostileBodies() {
		replies[name] = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: 1, Codec: wire.CodecMsgpack, Payload: body})
	}
	replies["another number"] = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: 99, Codec: wire.CodecMsgpack, Payload: []byte{0x80}})
	replies["another type"] = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameData, Seq: 1, Codec: wire.CodecMsgpack, Payload: []byte{0x80}})
	replies["another codec"] = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: 1, Codec: 77, Payload: []byte{0x80}})
	replies["another version"] = []byte{0xc1, 9, 2, 0, 0}
	replies["a broken frame"] = []byte{0xc1, 1}
	replies["a broken error frame"] = []byte{0xc1, 1, 3, 0, 1}
	replies["text"] = []byte("hello")
	for name, reply := range replies {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				evil := b.Conn(t).NATS()
				answerAs(t, evil, "evil", true)
				if _, err := evil.Subscribe("mbus.rpc.evil.Do", func(m *nats.Msg) {
					answer := reply
					if f, err := wire.ParseFrame(m.Data); err == nil && len(answer) > 5 && answer[5] == 1 {
						// Answer with the number that was asked.
						if own, err := wire.ParseFrame(answer); err == nil {
							own.Seq = f.Seq
							answer = wire.AppendFrame(nil, &own)
						}
					} else if err != nil {
						answer = []byte(`{}`)
					}
					_ = m.Respond(answer)
				}); err != nil {
					t.Fatal(err)
				}
				if err := evil.FlushWithContext(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				if _, err := rpc.Call[List](bustest.Context(t), client, "evil", "Do", &List{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // from here on frames
				before := allocated()
				_, err := rpc.Call[List](bustest.Context(t), client, "evil", "Do", &List{})
				if spent := allocated() - before; spent > maxHostileBytes {
					t.Errorf("%d MiB were allocated", spent>>20)
				}
				if name == "900 KiB of empty maps" && err == nil {
					return
				}
				wantError(t, err, bus.DataLoss, bus.Handler)
			})
		})
	}
}

// answerAs answers PING as an instance of a service; frames says whether it
// claims to speak frames.
func answerAs(t *testing.T, nc *nats.Conn, service string, frames bool) {
	t.Helper()
	answer := fmt.Sprintf(`{"type":"io.nats.micro.v1.ping_response","name":%q,"id":"X","version":"1.0.0","metadata":{"mbus.name":%q}}`, wire.Escape(service), service)
	if frames {
		answer = strings.Replace(answer, `{"mbus.name"`, `{"mbus.v":"1","mbus.codecs":"json,msgpack","mbus.name"`, 1)
	}
	if _, err := nc.Subscribe("$SRV.PING."+wire.Escape(service), func(m *nats.Msg) { _ = m.Respond([]byte(answer)) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenRequestsGetTypedErrors(t *testing.T) {
	call := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: 5, Codec: wire.CodecJSON, Payload: []byte(`{"name":"John"}`)})
	change := func(at int, to byte) string {
		b := bytes.Clone(call)
		b[at] = to
		return string(b)
	}
	flood := nats.Header{}
	for i := range 65 {
		flood[fmt.Sprint("h", i)] = []string{"v"}
	}
	many := nats.Header{"h": make([]string, 65)}
	expired := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: 5, Codec: wire.CodecJSON, Timeout: wire.Expired})
	for _, row := range []struct {
		name   string
		header nats.Header
		body   string
		code   bus.Code
	}{
		{name: "JSON that is cut", body: `{"name":"Jo`, code: bus.InvalidArgument},
		{name: "JSON with more behind it", body: `{"name":"John"} x`, code: bus.InvalidArgument},
		{name: "JSON 65 deep", body: strings.Repeat("[", 65) + strings.Repeat("]", 65), code: bus.InvalidArgument},
		{name: "JSON 100,000 deep", body: strings.Repeat(`{"a":`, 100_000), code: bus.InvalidArgument},
		{name: "JSON of another type", body: `{"name":7}`, code: bus.InvalidArgument},
		{name: "65 headers", header: flood, body: `{}`, code: bus.TooLarge},
		{name: "one header 65 times", header: many, body: `{}`, code: bus.TooLarge},
		{name: "a header of 17 KiB", header: nats.Header{"h": {strings.Repeat("x", 17<<10)}}, body: `{}`, code: bus.TooLarge},
		{name: "two timeouts", header: nats.Header{"Mbus-Timeout": {"1", "2"}}, body: `{}`, code: bus.InvalidArgument},
		{name: "attempt 0", header: nats.Header{"Mbus-Attempt": {"0"}}, body: `{}`, code: bus.InvalidArgument},
		{name: "a stream", header: nats.Header{"Mbus-Stream": {"1"}}, body: `{}`, code: bus.Unimplemented},
		{name: "frame: only the first byte", body: "\xc1", code: bus.InvalidArgument},
		{name: "frame: cut", body: string(call[:5]), code: bus.InvalidArgument},
		{name: "frame: unknown version", body: change(1, 9), code: bus.Unimplemented},
		{name: "frame: version 0", body: change(1, 0), code: bus.Unimplemented},
		{name: "frame: a reply", body: change(2, 2), code: bus.InvalidArgument},
		{name: "frame: an error", body: change(2, 3), code: bus.InvalidArgument},
		{name: "frame: a stream", body: change(2, 4), code: bus.Unimplemented},
		{name: "frame: unknown type", body: change(2, 200), code: bus.InvalidArgument},
		{name: "frame: unknown flags", body: change(3, 0x80), code: bus.InvalidArgument},
		{name: "frame: more to come", body: change(3, 0x04), code: bus.Unimplemented},
		{name: "frame: unknown codec", body: change(4, 9), code: bus.Unimplemented},
		{name: "frame: no time left", body: string(expired), code: bus.DeadlineExceeded},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				ran := false
				s := newGreeter(b.Conn(t))
				rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
					ran = true
					return hello(ctx, r)
				})
				serve(t, s)
				m := ask(t, b.Conn(t), helloSubject, row.header, row.body)
				e := bus.ReplyError(m)
				if e == nil || e.Code != row.code || ran {
					t.Errorf("got %v, ran %v; want %v without a run", e, ran, row.code)
				}
				if framed := wire.IsFrame([]byte(row.body)); framed != wire.IsFrame(m.Data) {
					t.Errorf("the answer's spelling is not the request's: %q", m.Data)
				}
			})
		})
	}
}

func TestRequestsThatCannotBeAnsweredAreDroppedAndCounted(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ran := 0
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			ran++
			return hello(ctx, r)
		})
		serve(t, s)
		conn := b.Conn(t)
		victim, err := conn.NATS().SubscribeSync("mbus.announce.payments.>") // where nobody else speaks
		if err != nil {
			t.Fatal(err)
		}
		node := wire.NodeSubject(greeter, s.ID(), "Say.Hello")
		replies := []string{"", "mbus.announce.payments.evil.up", "$JS.API.INFO", helloSubject, "user.created"}
		for _, reply := range replies {
			for _, subject := range []string{helloSubject, node, wire.NodeSubject(greeter, s.ID(), "No.Such")} {
				if err := conn.Publish(bustest.Context(t), subject, reply, nil, []byte(`{}`)); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(100 * time.Millisecond)
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		stats, err := rpc.Call[rpc.Stats](bustest.Context(t), client, greeter, rpc.MethodStats, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, _, _ := victim.Pending(); ran != 0 || n != 0 || stats.Dropped != uint64(3*len(replies)) {
			t.Errorf("the handler ran %d times, %d replies went astray, %d were counted; want 0, 0, %d", ran, n, stats.Dropped, 3*len(replies))
		}
	})
}

func TestForgedHeadersAreNotMetadata(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var got *rpc.Request
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			got = rpc.RequestFrom(ctx).Clone()
			return hello(ctx, r)
		})
		serve(t, s)
		m := ask(t, b.Conn(t), helloSubject, nats.Header{
			"Nats-Request-Info": {"{}"}, "nats-request-info": {"{}"}, "mbus-from": {"root"}, "MBUS-TIMEOUT": {"-1"}, "Traceparent": {"x"},
			"Mbus-From": {"web"}, "Mbus-Id": {"42"}, "Mbus-Attempt": {"2"}, "X-User": {"John", "Jane"},
		}, `{}`)
		if e := bus.ReplyError(m); e != nil {
			t.Fatal(e)
		}
		if len(got.Meta) != 1 || got.Meta["X-User"] != "John" {
			t.Errorf("got metadata %v, want only X-User", got.Meta)
		}
		if got.From != "web" || got.ID != "42" || got.Attempt != 2 || got.Codec != codec.JSON || got.Service != greeter || got.Method != "Say.Hello" || got.Instance != s.ID() {
			t.Errorf("got request %+v", got)
		}
	})
}
