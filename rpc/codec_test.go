package rpc_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

const helloSubject = "mbus.rpc.go_micro_srv_greeter.Say.Hello"

func TestAPlainRequestIsAnsweredInItsOwnCodec(t *testing.T) {
	packed, err := codec.Msgpack.Marshal(HelloRequest{Name: "John"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		header nats.Header
		body   string
		codec  codec.Codec // of the answer, or
		code   bus.Code    // the error
	}{
		{name: "no header", body: `{"name":"John"}`, codec: codec.JSON},
		{name: "JSON", header: nats.Header{"Content-Type": {"application/json"}}, body: `{"name":"John"}`, codec: codec.JSON},
		{name: "JSON with a charset", header: nats.Header{"Content-Type": {"application/json; charset=utf-8"}}, body: `{"name":"John"}`, codec: codec.JSON},
		{name: "msgpack", header: nats.Header{"Content-Type": {"application/msgpack"}}, body: string(packed), codec: codec.Msgpack},
		{name: "unknown type", header: nats.Header{"Content-Type": {"text/xml"}}, body: `<name/>`, code: bus.Unimplemented},
		{name: "raw", header: nats.Header{"Content-Type": {"application/octet-stream"}}, body: `{"name":"John"}`, code: bus.Unimplemented},
		{name: "two types", header: nats.Header{"Content-Type": {"application/json", "application/msgpack"}}, body: `{}`, code: bus.InvalidArgument},
		{name: "another case", header: nats.Header{"content-type": {"application/msgpack"}}, body: `{"name":"John"}`, codec: codec.JSON},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveHello(t, b)
				m := ask(t, b.Conn(t), helloSubject, row.header, row.body)
				if e := bus.ReplyError(m); row.code != 0 || e != nil {
					if e == nil || e.Code != row.code || !strings.Contains(e.Message, "application/json") && row.code == bus.Unimplemented {
						t.Errorf("got %v, want %v naming what is supported", e, row.code)
					}
					return
				}
				got, err := codec.Parse(m.Header.Get("Content-Type"))
				var res HelloResponse
				if err == nil {
					err = got.Unmarshal(m.Data, &res)
				}
				if err != nil || got != row.codec || res.Msg != "Hello John" {
					t.Errorf("got %v %q (%v), want %v", got, m.Data, err, row.codec)
				}
			})
		})
	}
}

// Odd cannot travel as msgpack.
type Odd struct {
	Raw json.RawMessage `json:"raw"`
}

func TestTypesThatMsgpackCannotCarryTravelAsJSON(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var seen codec.Codec
		rpc.Handle(s, "Odd.Echo", func(ctx context.Context, r *Odd) (*Odd, error) {
			seen = rpc.RequestFrom(ctx).Codec
			return r, nil
		})
		rpc.Handle(s, "Odd.Answer", func(_ context.Context, r *HelloRequest) (*Odd, error) {
			return &Odd{Raw: json.RawMessage(`"` + r.Name + `"`)}, nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 2 { // plain, then frames
			res, err := rpc.Call[Odd](bustest.Context(t), client, greeter, "Odd.Echo", &Odd{Raw: json.RawMessage(`{"n":9007199254740993}`)})
			if err != nil || string(res.Raw) != `{"n":9007199254740993}` || seen != codec.JSON {
				t.Errorf("got %v in %v, %v", res, seen, err)
			}
			res, err = rpc.Call[Odd](bustest.Context(t), client, greeter, "Odd.Answer", &HelloRequest{Name: "John"})
			if err != nil || string(res.Raw) != `"John"` {
				t.Errorf("got %v, %v", res, err)
			}
			time.Sleep(time.Second)
		}
		// Someone sends msgpack all the same: it is understood.
		packed, err := codec.Msgpack.Marshal(map[string]any{"raw": map[string]any{"n": uint64(9007199254740993)}})
		if err != nil {
			t.Fatal(err)
		}
		m := ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Odd.Echo", nats.Header{"Content-Type": {"application/msgpack"}}, string(packed))
		if e := bus.ReplyError(m); e != nil || string(m.Data) != `{"raw":{"n":9007199254740993}}` || len(m.Header) != 0 {
			t.Errorf("got %v, %q with %v", e, m.Data, m.Header)
		}
		// A caller whose type is JSON's, of a method whose types are not.
		s2 := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "other"})
		rpc.Handle(s2, "Say.Hello", hello)
		serve(t, s2)
		for range 2 {
			res, err := rpc.Call[json.RawMessage](bustest.Context(t), client, "other", "Say.Hello", &HelloRequest{Name: "John"})
			if err != nil || string(*res) != `{"msg":"Hello John"}` {
				t.Errorf("got %s, %v", *res, err)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestBytesTravelAsTheyAre(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Blob.Echo", func(_ context.Context, r *[]byte) (*[]byte, error) { return r, nil })
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		blob := []byte("\xc1\x00\xff not JSON")
		for range 2 { // plain, then frames
			res, err := rpc.Call[[]byte](bustest.Context(t), client, greeter, "Blob.Echo", blob)
			if err != nil || string(*res) != string(blob) {
				t.Errorf("got %q, %v", *res, err)
			}
			time.Sleep(time.Second)
		}
		m := ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Blob.Echo", nil, `{"plain":true}`)
		if string(m.Data) != `{"plain":true}` || m.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("got %q with %v", m.Data, m.Header)
		}
	})
}

func TestStrictNamesTheFieldItDoesNotKnow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello, rpc.Strict())
		rpc.Handle(s, "Say.Loose", hello)
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 2 { // plain, then frames with msgpack
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", map[string]string{"name": "John", "nick": "J"})
			if e := wantError(t, err, bus.InvalidArgument, bus.Handler); !strings.Contains(e.Message, `"nick"`) || !strings.Contains(e.Message, "Say.Hello") {
				t.Errorf("message %q does not name the field and the method", e.Message)
			}
			for _, req := range []any{map[string]string{"name": "John"}, &HelloRequest{Name: "John"}} {
				res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", req)
				if err != nil || res.Msg != "Hello John" {
					t.Errorf("got %v, %v", res, err)
				}
			}
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", nil); err != nil {
				t.Errorf("an empty request: %v", err)
			}
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Loose", map[string]string{"nick": "J"}); err != nil {
				t.Errorf("a method that is not strict: %v", err)
			}
			time.Sleep(time.Second)
		}
	})
}
