package rpc_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

func TestFramesGoOnlyToServicesThatTakeMsgpack(t *testing.T) {
	for codecs, wantFrames := range map[string]bool{"json": false, "json,msgpack": true} {
		t.Run(codecs, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				nc := b.Conn(t).NATS()
				ping := fmt.Sprintf(`{"type":"io.nats.micro.v1.ping_response","name":"plain","id":"X","version":"1.0.0","metadata":{"mbus.v":"1","mbus.name":"plain","mbus.codecs":%q}}`, codecs)
				var frames, plain atomic.Int32
				for subject, f := range map[string]func(*nats.Msg){
					"$SRV.PING.plain": func(m *nats.Msg) { _ = m.Respond([]byte(ping)) },
					"mbus.rpc.plain.Do": func(m *nats.Msg) {
						if f, err := wire.ParseFrame(m.Data); err == nil {
							frames.Add(1)
							_ = m.Respond(wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: f.Seq, Codec: wire.CodecJSON, Payload: []byte("{}")}))
							return
						}
						plain.Add(1)
						_ = m.Respond([]byte("{}"))
					},
				} {
					if _, err := nc.Subscribe(subject, f); err != nil {
						t.Fatal(err)
					}
				}
				if err := nc.FlushWithContext(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				for range 3 {
					if _, err := rpc.Call[map[string]int](bustest.Context(t), client, "plain", "Do", &map[string]int{}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second) // it learns in the meantime
				}
				if plain.Load() == 0 || (frames.Load() > 0) != wantFrames {
					t.Errorf("%d frames and %d plain calls, want frames: %v", frames.Load(), plain.Load(), wantFrames)
				}
			})
		})
	}
}
