package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

func TestAnInlineMethodDoesNotWaitForTheParts(t *testing.T) {
	for _, way := range []string{"request", "answer"} {
		t.Run(way, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: storage})
				s.HandleRaw("Store.Big", func(context.Context, *rpc.Request) (*rpc.Response, error) {
					return &rpc.Response{Codec: codec.JSON, Body: pattern(1 << 20)}, nil
				}, rpc.Inline())
				s.HandleRaw("Store.Small", func(context.Context, *rpc.Request) (*rpc.Response, error) {
					return &rpc.Response{Codec: codec.JSON, Body: []byte("1")}, nil
				}, rpc.Inline())
				serve(t, s)
				conn := b.Conn(t)
				reply, release, err := conn.Expect(func(*nats.Msg) {}) // and never takes it
				if err != nil {
					t.Fatal(err)
				}
				defer release()
				header, data := nats.Header{"Mbus-Stream": {"chunks"}}, []byte("1")
				if way == "request" {
					open := wire.Open{Call: true, Window: wire.Credit{Seq: 64, Bytes: 1 << 20}}
					header, data = nil, wire.AppendFrame(nil, &wire.Frame{
						Type: wire.FrameOpen, Seq: 1, Codec: wire.CodecJSON, Meta: []wire.Pair{{Key: wire.MetaSize, Value: "1000000"}}, Payload: wire.AppendOpen(nil, &open),
					})
				}
				if err := conn.Publish(t.Context(), "mbus.rpc.go_micro_srv_storage.Store.Big", reply, header, data); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				res, err := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Timeout: time.Minute}).Do(t.Context(), &rpc.Request{Service: storage, Method: "Store.Small"})
				if err != nil || string(res.Body) != "1" {
					t.Fatal(err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("a call waited %v behind one whose parts nobody sends or takes", took)
				}
			})
		})
	}
}

func TestARequestIsNotLongerThanItWasSaidToBe(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t))
		conn := b.Conn(t)
		got := make(chan *nats.Msg, 100)
		reply, release, err := conn.Expect(func(m *nats.Msg) { got <- m })
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		open := wire.Open{Call: true, Window: wire.Credit{Seq: 64, Bytes: 1 << 20}}
		f := wire.Frame{Type: wire.FrameOpen, Seq: 1, Meta: []wire.Pair{{Key: wire.MetaSize, Value: "3"}}, Payload: wire.AppendOpen(nil, &open)}
		if err := conn.Publish(t.Context(), "mbus.rpc.go_micro_srv_storage.Store.Echo", reply, nil, wire.AppendFrame(nil, &f)); err != nil {
			t.Fatal(err)
		}
		uplink := (<-got).Reply
		for i := range 2 {
			part := wire.Frame{Type: wire.FrameData, Seq: uint64(i) + 1, More: true, Payload: make([]byte, 64<<10)}
			if err := conn.Publish(t.Context(), uplink, reply, nil, wire.AppendFrame(nil, &part)); err != nil {
				t.Fatal(err)
			}
		}
		for {
			m := <-got
			f, err := wire.ParseFrame(m.Data)
			if err == nil && f.Type == wire.FrameCancel {
				if e := bus.FrameError(f.Payload); e.Code != bus.DataLoss {
					t.Errorf("got %v", e)
				}
				return
			}
			if e := bus.ReplyError(m); e != nil && e.Code != bus.DataLoss {
				t.Fatalf("got %v", e)
			}
		}
	})
}

func TestALargeRequestEndsWithItsCaller(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: storage})
		ended := make(chan error, 1)
		s.HandleRaw("Store.Put", func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		s.HandleRaw("Store.Get", func(context.Context, *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Body: pattern(2)}, nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			wantError(t, put(ctx, client, 1<<20), bus.Canceled, bus.Cancelled)
			began := time.Now()
			<-ended
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Fatalf("the handler ended %v after its caller", took)
			}
		}
	})
}

func TestARequestOfNoBytesIsBoundedToo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t))
		conn := b.Conn(t)
		got := make(chan *nats.Msg, 100)
		reply, release, err := conn.Expect(func(m *nats.Msg) { got <- m })
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		open := wire.Open{Call: true, Window: wire.Credit{Seq: 64, Bytes: 1 << 20}}
		f := wire.Frame{Type: wire.FrameOpen, Seq: 1, Meta: []wire.Pair{{Key: wire.MetaSize, Value: "0"}}, Payload: wire.AppendOpen(nil, &open)}
		if err := conn.Publish(t.Context(), "mbus.rpc.go_micro_srv_storage.Store.Echo", reply, nil, wire.AppendFrame(nil, &f)); err != nil {
			t.Fatal(err)
		}
		m := <-got
		part := wire.Frame{Type: wire.FrameData, Seq: 1, More: true, Payload: make([]byte, 64<<10)}
		if err := conn.Publish(t.Context(), m.Reply, reply, nil, wire.AppendFrame(nil, &part)); err != nil {
			t.Fatal(err)
		}
		select {
		case m = <-got:
			if f, err := wire.ParseFrame(m.Data); err != nil || f.Type != wire.FrameCancel {
				t.Errorf("%v, %v", f, err)
			}
		case <-time.After(time.Second):
			t.Error("64 KiB of a body of no bytes were taken")
		}
	})
}

func TestEverySizeFitsALowLimitOfTheBroker(t *testing.T) {
	for _, limit := range []int{8 << 10, 64 << 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveStorage(t, b.Conn(t))
				serveLab(t, b.Conn(t))
				client := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{Timeout: time.Minute}))
				sizes := []int{2, 3 * limit}
				for _, at := range []int{limit / 2, limit - 20<<10, limit - 1<<10, limit, 2*limit - 2<<10} {
					for n := max(at-40, 2); n <= at+2; n += 3 {
						sizes = append(sizes, n, n+1)
					}
				}
				stream := openChat(t, client)
				for _, n := range sizes {
					if err := get(bustest.Context(t), client, n); err != nil {
						t.Errorf("an answer of %d: %v", n, err)
					}
					if err := put(bustest.Context(t), client, n); err != nil {
						t.Errorf("a request of %d: %v", n, err)
					}
					text := strings.Repeat("x", n)
					if err := stream.Send(&Text{text}); err != nil {
						t.Fatalf("a message of %d: %v", n, err)
					}
					if m, err := stream.Recv(); err != nil || m.Text != text {
						t.Fatalf("a message of %d: %v", n, err)
					}
					for one, err := range rpc.CallStream[Text](bustest.Context(t), client, lab, "Lab.Chat", &Text{text}) {
						if err != nil || one.Text != text {
							t.Errorf("a first message of %d: %v", n, err)
						}
					}
				}
				_ = stream.Close()
			}, bustest.WithServer(func(o *server.Options) { o.MaxPayload = int32(limit) }))
		})
	}
}
