package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestParseFrameGivesBackWhatWasAppended(t *testing.T) {
	for _, f := range []wire.Frame{
		{Type: wire.FrameCall},
		{Type: wire.FrameCall, Seq: math.MaxUint64, Codec: wire.CodecRaw, Timeout: wire.MaxTimeout, Payload: []byte{0xC1, 0}},
		{Type: wire.FrameCall, Timeout: wire.Expired},
		{Type: wire.FrameReply, Codec: 250, Payload: []byte("an unknown codec is for the codec package to judge")},
		{Type: wire.FrameData, More: true, Seq: 127, Meta: []wire.Pair{{"A", ""}, {"A", "2"}, {"b", "ä\t"}}, Payload: []byte("x")},
		{Type: wire.FrameOpen, Seq: 128, Meta: manyPairs(wire.MaxMetaPairs)},
		{Type: wire.FrameOpen, Meta: []wire.Pair{{"k", strings.Repeat("v", wire.MaxMetaBytes-1)}}},
	} {
		want := f
		want.Version = wire.Version
		b := wire.AppendFrame([]byte("kept"), &f)
		if !bytes.HasPrefix(b, []byte("kept")) {
			t.Fatalf("AppendFrame lost the bytes before it: %q", b[:4])
		}
		got, err := wire.ParseFrame(b[4:])
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", f.Type, err, diff)
		}
	}
}

func manyPairs(n int) []wire.Pair {
	meta := make([]wire.Pair, n)
	for i := range meta {
		meta[i] = wire.Pair{Key: "K", Value: strings.Repeat("v", i)}
	}
	return meta
}

func TestFrameTimeouts(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		0:                       0,
		1:                       time.Millisecond,
		1500 * time.Microsecond: 2 * time.Millisecond,
		-time.Hour:              wire.Expired,
		math.MaxInt64:           wire.MaxTimeout,
	} {
		f, err := wire.ParseFrame(wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Timeout: in}))
		if f.Timeout != want || err != nil {
			t.Errorf("timeout %s came back as %s (%v), want %s", in, f.Timeout, err, want)
		}
	}
}

func TestParseFrameRefusesBrokenFrames(t *testing.T) {
	for _, c := range []struct{ hex, want string }{
		{"", "invalid frame: the first byte is not 0xC1"},
		{"7b7d", "invalid frame: the first byte is not 0xC1"},
		{"c1", "invalid frame: 1 bytes, the head alone has 4"},
		{"c10101", "invalid frame: 3 bytes, the head alone has 4"},
		{"c1010100", "invalid frame: ends before the codec"},
		{"c101010001", "invalid frame: ends in the sequence"},
		{"c10101000180", "invalid frame: ends in the sequence"},
		{"c1010100018000", "invalid frame: the sequence is longer than need be"},
		{"c101010001ffffffffffffffffff02", "invalid frame: the sequence does not fit 64 bits"},
		{"c101000001" + "00", "invalid frame: unknown type 0"},
		{"c1010f0001" + "00", "invalid frame: unknown type 15"},
		{"c101030001" + "00", "invalid frame: an error frame, which has a layout of its own"},
		{"c101010801" + "00", "invalid frame: unknown flags 0x08"},
		{"c10101ff01" + "00", "invalid frame: unknown flags 0xf8"},
		{"c101010201" + "00", "invalid frame: ends in the timeout"},
		{"c101010201" + "00" + "8100", "invalid frame: the timeout is longer than need be"},
		{"c101010101" + "00", "invalid frame: ends in the metadata count"},
		{"c101010101" + "00" + "00", "invalid frame: metadata flag without metadata"},
		{"c101010101" + "00" + "41", "invalid frame: 65 metadata pairs, at most 64 are allowed"},
		{"c101010101" + "00" + "ffffffffffffffffff01", "invalid frame: 18446744073709551615 metadata pairs, at most 64 are allowed"},
		{"c101010101" + "00" + "01", "invalid frame: ends in the metadata key length"},
		{"c101010101" + "00" + "01" + "ffffffffffffffffff01", "invalid frame: metadata key of 18446744073709551615 bytes, 0 are left"},
		{"c101010101" + "00" + "01" + "0141", "invalid frame: ends in the metadata value length"},
		{"c101010101" + "00" + "01" + "0141" + "0262", "invalid frame: metadata value of 2 bytes, 1 are left"},
		{"c101010101" + "00" + "01" + "00" + "0162", `invalid frame: metadata key "" is not a header name`},
		{"c101010101" + "00" + "01" + "0120" + "0162", `invalid frame: metadata key " " is not a header name`},
		{"c101010101" + "00" + "01" + "013a" + "0162", `invalid frame: metadata key ":" is not a header name`},
		{"c101010101" + "00" + "01" + "0141" + "020d0a", `invalid frame: metadata "A" contains a control character`},
		{"c101010101" + "00" + "02" + "0141" + "0162", "invalid frame: ends in the metadata key length"},
		{"c101010101" + "00" + "01" + "0141" + "8080" + "01" + strings.Repeat("62", 16384), "invalid frame: metadata of more than 16384 bytes"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		f, err := wire.ParseFrame(b)
		if text(err) != c.want || !errors.Is(err, wire.ErrFrame) {
			t.Errorf("ParseFrame(%.60s)\n got %v\nwant %s", c.hex, err, c.want)
		}
		if diff := cmp.Diff(wire.Frame{}, f); diff != "" {
			t.Errorf("ParseFrame(%.60s): want a zero frame with the error\n%s", c.hex, diff)
		}
	}
}

func TestParseFrameOfAnotherVersionStillReadsTheHead(t *testing.T) {
	for _, version := range []byte{0, 2, 255} {
		f, err := wire.ParseFrame([]byte{wire.Magic, version, 99, 0xfc})
		if !errors.Is(err, wire.ErrVersion) || errors.Is(err, wire.ErrFrame) {
			t.Errorf("version %d: got %v, want ErrVersion", version, err)
		}
		if diff := cmp.Diff(wire.Frame{Version: version, Type: 99, More: true}, f); diff != "" {
			t.Errorf("version %d (-want +got)\n%s", version, diff)
		}
	}
}

func TestParseFrameAllocatesNoDeclaredLengths(t *testing.T) {
	huge := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" // a uvarint of 64 bits
	for _, b := range []string{
		"\xc1\x01\x01\x01\x01\x00" + huge,
		"\xc1\x01\x01\x01\x01\x00\x40\x01A" + huge,
		"\xc1\x01\x01\x01\x01\x00\x40" + huge,
		"\xc1\x01\x01\x01\x01\x00\x01\x01A\xff\xff\xff\xff\x07",
	} {
		if n := allocated(func() { _, _ = wire.ParseFrame([]byte(b)) }); n > 1024 {
			t.Errorf("ParseFrame(% x) allocates %d bytes, want at most 1024", b, n)
		}
	}
	broken := []byte("\xc1\x01\x03\x00\x00\x01\x94\x00\x00" + huge)
	if n := allocated(func() { _, _ = wire.ParseErrorFrame(broken) }); n > 1024 {
		t.Errorf("ParseErrorFrame(% x) allocates %d bytes, want at most 1024", broken, n)
	}
	if n := allocated(func() { _ = strings.Clone(strings.Repeat("x", 2048)) }); n <= 1024 {
		t.Errorf("the measure sees %d bytes of an allocation of 2048", n)
	}
}

// allocated is the mean number of bytes f allocates.
func allocated(f func()) uint64 {
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

func TestFramesCostFewAllocations(t *testing.T) {
	valid := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameData, Seq: 9, Timeout: time.Second, Payload: make([]byte, 1<<20)})
	if n := testing.AllocsPerRun(100, func() { _, _ = wire.ParseFrame(valid) }); n != 0 {
		t.Errorf("a frame without metadata: %v allocations, want 0", n)
	}
	meta := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Meta: manyPairs(wire.MaxMetaPairs)})
	if n := testing.AllocsPerRun(100, func() { _, _ = wire.ParseFrame(meta) }); n != 2 {
		t.Errorf("a frame with %d pairs: %v allocations, want 2", wire.MaxMetaPairs, n)
	}
	dst := make([]byte, 0, 1<<12)
	f := wire.Frame{Type: wire.FrameCall, Seq: 9, Timeout: time.Second, Payload: make([]byte, 100)}
	if n := testing.AllocsPerRun(100, func() { dst = wire.AppendFrame(dst[:0], &f) }); n != 0 {
		t.Errorf("AppendFrame into a large enough slice: %v allocations, want 0", n)
	}
}

func TestPayloadAliasesTheBytesAndMetadataDoesNot(t *testing.T) {
	b := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Meta: []wire.Pair{{"Key", "value"}}, Payload: []byte("body")})
	f, err := wire.ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 'x'
	}
	if f.Get("Key") != "value" || string(f.Payload) != "xxxx" {
		t.Errorf("after overwriting: metadata %q, payload %q, want value and xxxx", f.Get("Key"), f.Payload)
	}
	if f.Get("key") != "" {
		t.Errorf("Get(key) = %q: keys are case-sensitive", f.Get("key"))
	}
}

func TestTypeOfReadsAnyVersion(t *testing.T) {
	for _, c := range []struct {
		b    string
		want wire.FrameType
	}{
		{"\xc1\x01\x03\x00", wire.FrameError},
		{"\xc1\x07\x03\x00", wire.FrameError},
		{"\xc1\x01\x01\x00\x01\x00", wire.FrameCall},
		{"\xc1\x01\x03", 0},
		{"", 0},
		{"{\"a\":1}", 0},
	} {
		if got := wire.TypeOf([]byte(c.b)); got != c.want {
			t.Errorf("TypeOf(%q) = %s, want %s", c.b, got, c.want)
		}
	}
	if wire.IsFrame(nil) || wire.IsFrame([]byte("{}")) || !wire.IsFrame([]byte{0xC1}) {
		t.Error("IsFrame: want true only for a first byte 0xC1")
	}
}

func TestCheckMetaAgreesWithParseFrame(t *testing.T) {
	for _, c := range []struct {
		meta []wire.Pair
		want string
	}{
		{nil, ""},
		{manyPairs(64), ""},
		{[]wire.Pair{{"x-user.id~", "tab\tand ünïcode"}}, ""},
		{[]wire.Pair{{"k", strings.Repeat("v", 16383)}}, ""},
		{manyPairs(65), "metadata: 65 pairs, at most 64 are allowed"},
		{[]wire.Pair{{"k", strings.Repeat("v", 16384)}}, "metadata: more than 16384 bytes of keys and values"},
		{[]wire.Pair{{"", "v"}}, `metadata key "": not a header name`},
		{[]wire.Pair{{"a b", "v"}}, `metadata key "a b": not a header name`},
		{[]wire.Pair{{"ä", "v"}}, `metadata key "ä": not a header name`},
		{[]wire.Pair{{"a\r\nNats-X", "v"}}, `metadata key "a\r\nNats-X": not a header name`},
		{[]wire.Pair{{"a", "v\r\nNats-X: 1"}}, `metadata "a": the value contains a control character`},
		{[]wire.Pair{{"a", "\x00"}}, `metadata "a": the value contains a control character`},
		{[]wire.Pair{{"a", "\x7f"}}, `metadata "a": the value contains a control character`},
	} {
		got := wire.CheckMeta(c.meta)
		if text(got) != c.want {
			t.Errorf("CheckMeta\n got %v\nwant %s", got, c.want)
		}
		_, err := wire.ParseFrame(wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Meta: c.meta}))
		if (err == nil) != (got == nil) {
			t.Errorf("CheckMeta says %v, ParseFrame says %v", got, err)
		}
	}
}

func TestFrameTypeNames(t *testing.T) {
	want := "type(0) call reply error open accept data credit half end cancel ping pong batch stream-batch type(15)"
	var names []string
	for n := range wire.FrameType(16) {
		names = append(names, n.String())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func BenchmarkParseFrame(b *testing.B) {
	frame := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: 1234, Codec: wire.CodecMsgpack, Timeout: 5 * time.Second, Payload: make([]byte, 128)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseFrame(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	f := wire.Frame{Type: wire.FrameCall, Seq: 1234, Codec: wire.CodecMsgpack, Timeout: 5 * time.Second, Payload: make([]byte, 128)}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = wire.AppendFrame(dst[:0], &f)
	}
}
