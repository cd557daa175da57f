//go:build unix

package e2e_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// An attack is a message that would be expensive, or the end, for someone who
// believes it.
type attack struct {
	name   string
	header nats.Header
	data   []byte
}

func attacks() []attack {
	const large = 900 << 10
	claims := []attack{
		{name: "an array of 4 billion", data: []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
		{name: "a map of 4 billion", data: []byte{0xdf, 0xff, 0xff, 0xff, 0xff}},
		{name: "4 GiB of bytes", data: []byte{0xc6, 0xff, 0xff, 0xff, 0xff}},
		{name: "a million arrays in each other", data: bytes.Repeat([]byte{0x91}, large)},
	}
	var all []attack
	for _, a := range claims {
		frame := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: 1, Codec: wire.CodecMsgpack, Payload: a.data})
		reply := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: 1, Codec: wire.CodecMsgpack, Payload: a.data})
		all = append(all,
			attack{a.name, nil, a.data},
			attack{a.name + ", as msgpack", nats.Header{wire.HeaderContentType: {"application/msgpack"}}, a.data},
			attack{a.name + ", in a frame", nil, frame},
			attack{a.name + ", in a reply frame", nil, reply})
	}
	return append(all,
		attack{name: "JSON arrays in each other", data: bytes.Repeat([]byte{'['}, large)},
		attack{name: "JSON objects in each other", data: bytes.Repeat([]byte(`{"a":`), large/5)},
		attack{name: "a frame of one byte", data: []byte{wire.Magic}},
		attack{name: "a frame without a sequence", data: []byte{wire.Magic, wire.Version, byte(wire.FrameCall), 0, wire.CodecJSON}},
		attack{name: "a frame of an unknown version", data: []byte{wire.Magic, 99, 1, 0, 1, 1}},
		attack{name: "a frame with unknown flags", data: []byte{wire.Magic, wire.Version, 1, 0xf8, 1, 1}},
		attack{name: "a frame of an unknown type", data: []byte{wire.Magic, wire.Version, 200, 0, 1, 1}},
		attack{name: "a frame with 4 billion metadata", data: []byte{wire.Magic, wire.Version, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}},
		attack{name: "a frame with a sequence without end", data: append([]byte{wire.Magic, wire.Version, 1, 0, 1}, bytes.Repeat([]byte{0xff}, large)...)},
		attack{name: "an error frame that is cut off", data: []byte{wire.Magic, wire.Version, byte(wire.FrameError), 0, 1, 1, 0xf7}},
	)
}

// maxGrowth is how much memory garbage may cost anybody.
const maxGrowth = 32 << 20

// endures runs an attack on processes that must live on and not grow.
func endures(t *testing.T, attack func(), processes ...*process) {
	t.Helper()
	before := make([]int64, len(processes))
	for i, p := range processes {
		resetPeak(t, p)
		before[i] = memory(t, p)
	}
	attack()
	for i, p := range processes {
		if !p.running() {
			t.Errorf("%s has ended: exit code %d", p.name, p.code())
			continue
		}
		grown := peakMemory(t, p) - before[i]
		t.Logf("%s: had %d MiB, grew by %d MiB at most", p.name, before[i]>>20, grown>>20)
		if grown > maxGrowth {
			t.Errorf("%s grew by %d MiB, want at most %d", p.name, grown>>20, int64(maxGrowth)>>20)
		}
	}
}

func TestHostileRequestsAreRefusedAndCostLittle(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral")
	victim := b.startGreeter(t, "victim")
	nc := b.plain(t)
	endures(t, func() {
		for _, a := range attacks() {
			for _, subject := range []string{
				"mbus.rpc.go_micro_srv_greeter.Say.Hello", "mbus.node.go_micro_srv_greeter.victim.Say.Hello",
				"mbus.registry.get", "mbus.registry.register", "mbus.registry.deregister",
			} {
				m, err := nc.RequestMsg(&nats.Msg{Subject: subject, Header: a.header, Data: a.data}, 10*time.Second)
				if err != nil {
					t.Errorf("%s at %s: %v, want an answer", a.name, subject, err)
					continue
				}
				if e := refusal(m); e == nil || !slices.Contains([]bus.Code{bus.InvalidArgument, bus.Unimplemented, bus.TooLarge}, e.Code) {
					t.Errorf("%s at %s: got %v, %q; want a refusal", a.name, subject, e, m.Data[:min(len(m.Data), 100)])
				} else if len(e.Message) > 1024 {
					t.Errorf("%s at %s: %d bytes of message", a.name, subject, len(e.Message))
				}
			}
			// These do not have to mind the body.
			for _, subject := range []string{"mbus.registry.list", "mbus.probe", "$SRV.INFO", "mbus.node.go_micro_srv_greeter.victim.Debug.Health"} {
				if _, err := nc.RequestMsg(&nats.Msg{Subject: subject, Header: a.header, Data: a.data}, 10*time.Second); err != nil {
					t.Errorf("%s at %s: %v, want an answer", a.name, subject, err)
				}
			}
		}
		said := succeed(t, b.mbus("query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`))
		if !strings.Contains(said, "Hello John") {
			t.Errorf("the next good call is answered with %q", said)
		}
	}, b.node, victim)
	if size := len(victim.stderr.String()); size > 64<<10 {
		t.Errorf("the greeter logged %d bytes about it", size)
	}
}

// refusal reads the error in an answer, in either spelling.
func refusal(m *nats.Msg) *bus.Error {
	if wire.IsFrame(m.Data) {
		f, err := wire.ParseErrorFrame(m.Data)
		if err != nil {
			return nil
		}
		code, ok := bus.CodeOf(f.Code)
		if !ok {
			return nil
		}
		return &bus.Error{Code: code, Message: f.Message}
	}
	return bus.ReplyError(m)
}

// The control: what a handler really allocates is seen by the same means.
func TestHostileRequestsWouldBeSeen(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral")
	p := b.startCrowd(t)
	resetPeak(t, p)
	before := memory(t, p)
	succeed(t, b.mbus("query", "crowd", "Crowd.Hold", `{"mib":64}`))
	if grown := peakMemory(t, p) - before; grown <= maxGrowth {
		t.Errorf("64 MiB are seen as %d MiB", grown>>20)
	}
}
