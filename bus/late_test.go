package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
)

func TestALateAnswerReachesNoOtherCall(t *testing.T) {
	frame := func(m *nats.Msg, text string) []byte {
		seq, _ := wire.SeqOf(m.Data)
		return wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: seq, Codec: wire.CodecRaw, Payload: []byte(text)})
	}
	failure := func(m *nats.Msg, text string) []byte {
		seq, _ := wire.SeqOf(m.Data)
		return bus.Errorf(bus.Conflict, "%s", text).AppendFrame(nil, seq)
	}
	plain := func(_ *nats.Msg, text string) []byte { return []byte(text) }
	for name, spell := range map[string]func(*nats.Msg, string) []byte{"frame": frame, "error": failure, "plain": plain} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				conn := b.Conn(t)
				sub, err := conn.Subscribe(bustest.Context(t), "twice", "", bus.Limits{}, func(m *nats.Msg) {
					body := string(m.Data[len(m.Data)-1:])
					time.Sleep(10 * time.Millisecond)
					_ = m.Respond(spell(m, body)) // who has given up misses it
					_ = m.Respond(spell(m, "again "+body))
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = sub.Drain(bustest.Context(t)) }()
				caller := b.Conn(t)
				for i := range uint64(40) {
					text := string(rune('a' + i%26))
					ctx, cancel := context.WithCancel(bustest.Context(t))
					if i%4 == 3 { // gives up
						time.AfterFunc(5*time.Millisecond, cancel)
					}
					call := bus.Call{Subject: "twice", Seq: i + 1}
					call.Data = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: call.Seq, Codec: wire.CodecRaw, Payload: []byte(text)})
					m, err := caller.Call(ctx, call)
					cancel()
					if i%4 == 3 {
						if !errors.Is(err, bus.Canceled) {
							t.Errorf("call %d: %v", i, err)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if want := string(spell(&nats.Msg{Data: call.Data}, text)); string(m.Data) != want {
						t.Errorf("call %d got %q, want %q", i, m.Data, want)
					}
				}
			})
		})
	}
}
