package rpc_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// A caller that is written from the protocol, and says or does not say that it
// reads several messages in one frame.
func TestOnlyWhoReadsBatchesGetsThem(t *testing.T) {
	for name, meta := range map[string][]wire.Pair{
		"says nothing":       nil,
		"reads them":         {{Key: wire.MetaStreamBatch, Value: wire.StreamBatchVersion}},
		"reads another kind": {{Key: wire.MetaStreamBatch, Value: "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				const n = 500
				serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
					for range n {
						if err := s.Send(codec.JSON, []byte("1")); err != nil {
							return err
						}
					}
					return nil
				})
				open := wire.Frame{
					Type: wire.FrameOpen, Seq: 1, Codec: wire.CodecJSON, Meta: meta,
					Payload: wire.AppendOpen(nil, &wire.Open{Window: wire.Credit{Seq: n, Bytes: 1 << 20}}),
				}
				var frames, messages uint64
				for m, err := range b.Conn(t).Gather(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Raw", nil, wire.AppendFrame(nil, &open), bus.Gather{
					Done: func(m *nats.Msg) bool { return wire.TypeOf(m.Data) == wire.FrameEnd },
				}) {
					if err != nil {
						t.Fatal(err)
					}
					f, err := wire.ParseFrame(m.Data)
					if err != nil {
						t.Fatal(err)
					}
					count := 1
					switch f.Type {
					case wire.FrameStreamBatch:
						if count, err = wire.CheckStreamBatch(f.Payload); err != nil {
							t.Fatal(err)
						}
						fallthrough
					case wire.FrameData:
						if f.Seq != messages+1 {
							t.Fatalf("%d came after %d", f.Seq, messages)
						}
						frames, messages = frames+1, messages+uint64(count)
					case wire.FrameAccept:
						if f.Get(wire.MetaStreamBatch) != wire.StreamBatchVersion {
							t.Errorf("the instance does not say that it reads batches: %v", f.Meta)
						}
					case wire.FrameEnd:
						if f.Seq != n {
							t.Errorf("the end speaks of %d messages", f.Seq)
						}
					default:
						t.Errorf("a frame of type %s", f.Type)
					}
				}
				if messages != n {
					t.Errorf("%d of %d messages came", messages, n)
				}
				if alone := frames == n; alone != (name != "reads them") {
					t.Errorf("%d messages came in %d frames", n, frames)
				}
			})
		})
	}
}

// An instance that is written from the protocol and reads single messages.
func TestAnInstanceThatReadsNoBatchesGetsNone(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const n = 200
		conn := b.Conn(t)
		got := make(chan string, n+1)
		take := func(m *nats.Msg) {
			f, err := wire.ParseFrame(m.Data)
			if err != nil {
				t.Error(err)
			}
			got <- f.Type.String()
		}
		uplink := wire.StreamSubject("old", "1", "s")
		for subject, f := range map[string]nats.MsgHandler{
			uplink: take,
			"mbus.rpc.old.Talk": func(m *nats.Msg) {
				accept := wire.Frame{Type: wire.FrameAccept, Payload: wire.AppendAccept(nil, &wire.Accept{Window: wire.Credit{Seq: n, Bytes: 1 << 20}, ID: "1"})}
				open, err := wire.ParseFrame(m.Data)
				if err != nil {
					t.Error(err)
				}
				accept.Seq = open.Seq
				if err := conn.Publish(t.Context(), m.Reply, uplink, nil, wire.AppendFrame(nil, &accept)); err != nil {
					t.Error(err)
				}
			},
		} {
			if _, err := conn.NATS().Subscribe(subject, f); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.NATS().Flush(); err != nil { // the client asks on another connection
			t.Fatal(err)
		}
		s, err := rpc.NewClient(b.Conn(t), rpc.ClientConfig{}).Open(bustest.Context(t), &rpc.Request{Service: "old", Method: "Talk"})
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := s.Send(codec.JSON, []byte("1")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if what := <-got; what != "data" {
				t.Fatalf("message %d came as %s", i+1, what)
			}
		}
		if what := <-got; what != "half" {
			t.Errorf("behind the messages came %s", what)
		}
	})
}

func TestMessagesThatGatherComeInOrderBothWays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const n = 5000
		serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
			for {
				c, body, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.Send(c, body); err != nil {
					return err
				}
			}
		})
		s := openRaw(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		// Of many sizes, some of which gather and some of which do not.
		size := func(i int) int { return []int{0, 1, 100, 1 << 10, 9 << 10, 70 << 10}[i*i%97%6] % (1 + i*100) }
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if err := s.Send(codec.Raw, append([]byte{byte(i), byte(i >> 8)}, make([]byte, size(i))...)); err != nil {
					sent <- err
					return
				}
			}
			sent <- s.CloseSend()
		}()
		for i := range n {
			_, body, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if len(body) != 2+size(i) || body[0] != byte(i) || body[1] != byte(i>>8) {
				t.Fatalf("message %d has %d bytes and begins with % x", i, len(body), body[:2])
			}
		}
		if _, _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// A peer may promise nothing and send a batch all the same, or a broken one.
func TestABrokenBatchEndsTheStream(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ended := make(chan error, 1)
		s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: lab})
		s.HandleRawStream("Lab.Raw", discovery.KindBidi, func(_ context.Context, s *rpc.RawStream) error {
			_, _, err := s.Recv()
			ended <- err
			return err
		})
		serve(t, s)
		conn := b.Conn(t)
		open := wire.Frame{Type: wire.FrameOpen, Seq: 1, Payload: wire.AppendOpen(nil, &wire.Open{Window: wire.Credit{Seq: 4, Bytes: 1 << 10}})}
		for m, err := range conn.Gather(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Raw", nil, wire.AppendFrame(nil, &open), bus.Gather{
			Done: func(m *nats.Msg) bool { return wire.TypeOf(m.Data) == wire.FrameCancel },
		}) {
			if err != nil {
				t.Fatal(err)
			}
			if wire.TypeOf(m.Data) == wire.FrameAccept {
				f := wire.Frame{Type: wire.FrameStreamBatch, Seq: 1, Codec: wire.CodecJSON, Payload: []byte{9, '1'}}
				if err := conn.Publish(t.Context(), m.Reply, "_INBOX.nobody", nil, wire.AppendFrame(nil, &f)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := <-ended; !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("the handler got %v", err)
		}
	})
}
