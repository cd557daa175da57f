package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mbus-dev/mbus/bus/wire"
)

// batchOf is a batch of these frames.
func batchOf(frames ...[]byte) []byte {
	var b []byte
	for _, f := range frames {
		b = wire.AppendToBatch(b, f)
	}
	return b
}

func frame(kind wire.FrameType, seq uint64, payload string) []byte {
	return wire.AppendFrame(nil, &wire.Frame{Type: kind, Seq: seq, Codec: wire.CodecJSON, Payload: []byte(payload)})
}

func TestABatchBringsItsFramesWithTheirSequences(t *testing.T) {
	frames := [][]byte{
		frame(wire.FrameReply, 1, `{}`), frame(wire.FrameReply, 1<<40, strings.Repeat("x", 300)),
		wire.AppendErrorFrame(nil, &wire.ErrorFrame{Seq: 300, Status: 404, Code: "not_found"}),
	}
	b := batchOf(frames...)
	got, err := wire.ParseBatch(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []wire.Batched{{1, frames[0]}, {1 << 40, frames[1]}, {300, frames[2]}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	if over := wire.BatchOverhead(len(frames)); len(b)-size > over {
		t.Errorf("%d bytes besides the frames, %d were said", len(b)-size, over)
	}
}

func TestABatchHoldsItsMostFramesAndNotOneMore(t *testing.T) {
	var b []byte
	for n := range wire.MaxBatch {
		b = wire.AppendToBatch(b, frame(wire.FrameCall, uint64(n+1), "{}"))
	}
	if got, err := wire.ParseBatch(nil, b); err != nil || len(got) != wire.MaxBatch {
		t.Errorf("%d frames, %v; want %d", len(got), err, wire.MaxBatch)
	}
	b = wire.AppendToBatch(b, frame(wire.FrameCall, 1000, "{}"))
	if _, err := wire.ParseBatch(nil, b); !errors.Is(err, wire.ErrFrame) {
		t.Errorf("one frame more: %v, want %v", err, wire.ErrFrame)
	}
}

func TestBrokenBatchesAreRefusedWhole(t *testing.T) {
	one := frame(wire.FrameCall, 1, "{}")
	good := batchOf(one, one)
	head := string(good[:6])
	for name, b := range map[string]string{
		"nothing":                      "",
		"the head alone":               head,
		"a call":                       string(one),
		"an error":                     string(wire.AppendErrorFrame(nil, &wire.ErrorFrame{Seq: 1})),
		"a sequence":                   head[:5] + "\x07" + string(good[6:]),
		"a codec":                      head[:4] + "\x01\x00" + string(good[6:]),
		"a timeout":                    head[:3] + "\x02\x00\x00\x05" + string(good[6:]),
		"a batch in a batch":           string(batchOf(one, good)),
		"a frame of 4 GiB":             head + "\xff\xff\xff\xff\x0f" + string(one),
		"a length longer than need be": head + "\x88\x00" + string(one),
		"a frame cut off":              string(good[:len(good)-1]),
		"an empty frame":               head + "\x00",
		"no frame":                     head + "\x02{}",
		"a sequence of 0":              string(batchOf(one, frame(wire.FrameCall, 0, "{}"))),
		"no sequence":                  string(batchOf(one[:5])),
		"a frame of another version":   string(batchOf([]byte("\xc1\x02\x01\x00\x01\x01{}"))),
		"an error without a sequence":  string(batchOf([]byte("\xc1\x01\x03\x00"))),
	} {
		kept := []wire.Batched{{Seq: 7}}
		if got, err := wire.ParseBatch(kept, []byte(b)); !errors.Is(err, wire.ErrFrame) || len(got) != 1 {
			t.Errorf("%s: %d frames, %v; want %v", name, len(got)-1, err, wire.ErrFrame)
		}
	}
	if _, err := wire.ParseBatch(nil, []byte("\xc1\x02\x0d\x00???")); !errors.Is(err, wire.ErrVersion) {
		t.Errorf("a batch of another version: %v, want %v", err, wire.ErrVersion)
	}
}

// FuzzBatch takes a body: what is accepted is written again as the same bytes, and every frame is one that may be there.
func FuzzBatch(f *testing.F) {
	for _, b := range [][]byte{
		batchOf(frame(wire.FrameCall, 1, "{}"), frame(wire.FrameReply, 300, "")),
		batchOf(wire.AppendErrorFrame(nil, &wire.ErrorFrame{Seq: 2, Status: 500, Code: "internal", Message: "no"})),
		batchOf(batchOf(frame(wire.FrameCall, 1, "{}"))),
		[]byte("\xc1\x01\x0d\x00\x00\x00\xff\xff\xff\xff\x0f\xc1"),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := wire.ParseBatch(nil, b)
		if err != nil {
			if errors.Is(err, wire.ErrVersion) == errors.Is(err, wire.ErrFrame) || len(all) > 0 {
				t.Errorf("want no frames and exactly one of ErrFrame and ErrVersion, got %d and %v", len(all), err)
			}
			return
		}
		var again []byte
		for _, one := range all {
			if wire.TypeOf(one.Frame) == wire.FrameBatch || one.Seq == 0 || cap(one.Frame) > len(one.Frame) {
				t.Errorf("a frame of type %s, sequence %d, room for %d bytes more", wire.TypeOf(one.Frame), one.Seq, cap(one.Frame)-len(one.Frame))
			}
			if f, err := wire.ParseFrame(one.Frame); err == nil && f.Seq != one.Seq {
				t.Errorf("the frame %+v is said to have the sequence %d", f, one.Seq)
			}
			again = wire.AppendToBatch(again, one.Frame)
		}
		if !bytes.Equal(again, b) || len(all) > wire.MaxBatch {
			t.Errorf("%d frames, written again\n got % x\nwant % x", len(all), again, b)
		}
	})
}

func ExampleParseBatch() {
	var batch []byte
	for seq := range uint64(2) {
		batch = wire.AppendToBatch(batch, wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: seq + 1, Codec: wire.CodecJSON, Payload: []byte("{}")}))
	}
	frames, err := wire.ParseBatch(nil, batch)
	for _, f := range frames {
		fmt.Printf("%d: % x\n", f.Seq, f.Frame)
	}
	fmt.Println(err)
	// Output:
	// 1: c1 01 01 00 01 01 7b 7d
	// 2: c1 01 01 00 01 02 7b 7d
	// <nil>
}
