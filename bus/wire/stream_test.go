package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mbus-dev/mbus/bus/wire"
)

func opens() []wire.Open {
	return []wire.Open{
		{},
		{Window: wire.Credit{Seq: 64, Bytes: 1 << 20}},
		{Window: wire.Credit{Seq: 64, Bytes: 1 << 20}, First: true, Half: true, Message: []byte(`{"n":5}`)},
		{Window: wire.Credit{Seq: math.MaxUint64, Bytes: math.MaxUint64}, First: true},
		{Call: true},
	}
}

func accepts() []wire.Accept {
	return []wire.Accept{{}, {Window: wire.Credit{Seq: 64, Bytes: 1 << 20}, ID: "GKQ3W8MZ4NP0X1Y2Z3A4B5"}}
}

func pings() []wire.Ping {
	return []wire.Ping{{}, {Window: wire.Credit{Seq: 96, Bytes: 1 << 21}, Sent: 300}}
}

func TestGoldenStreams(t *testing.T) {
	var b strings.Builder
	b.WriteString("# payloads of stream frames: hex, then what it means\n")
	line := func(data []byte, what string, v any) {
		fmt.Fprintf(&b, "%s\n\t%s %+v\n", hex.EncodeToString(data), what, v)
	}
	for _, o := range opens() {
		line(wire.AppendOpen(nil, &o), "open", o)
	}
	for _, a := range accepts() {
		line(wire.AppendAccept(nil, &a), "accept", a)
	}
	for _, p := range pings() {
		line(wire.AppendPing(nil, &p), "ping", p)
		line(wire.AppendCredit(nil, p.Window), "credit", p.Window)
	}
	golden(t, "streams.txt", b.String())
}

func TestStreamPayloadsComeBack(t *testing.T) {
	for _, want := range opens() {
		got, err := wire.ParseOpen(wire.AppendOpen(nil, &want))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("open: %v (-want +got)\n%s", err, diff)
		}
	}
	for _, want := range accepts() {
		if got, err := wire.ParseAccept(wire.AppendAccept(nil, &want)); got != want || err != nil {
			t.Errorf("accept: %+v, %v, want %+v", got, err, want)
		}
	}
	for _, want := range pings() {
		if got, err := wire.ParsePing(wire.AppendPing(nil, &want)); got != want || err != nil {
			t.Errorf("ping: %+v, %v, want %+v", got, err, want)
		}
		if got, err := wire.ParseCredit(wire.AppendCredit(nil, want.Window)); got != want.Window || err != nil {
			t.Errorf("credit: %+v, %v, want %+v", got, err, want.Window)
		}
	}
}

func TestBrokenStreamPayloadsAreRefused(t *testing.T) {
	for what, parse := range streamParsers() {
		for _, b := range []string{"", "\x01", "\x80\x00\x01", "\x01\x01\x08", "\x01\x01\x00more", "\x01\x01\x05short", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
			if again, err := parse([]byte(b)); err == nil && !bytes.Equal(again, []byte(b)) || err != nil && !errors.Is(err, wire.ErrFrame) {
				t.Errorf("%s of %q: %q, %v", what, b, again, err)
			}
		}
	}
	for _, b := range []string{"", "\x01\x01\x08", "\x01\x01\x00more"} {
		if _, err := wire.ParseOpen([]byte(b)); err == nil {
			t.Errorf("the open %q was accepted", b)
		}
	}
}

// streamParsers read a payload and write it again.
func streamParsers() map[string]func([]byte) ([]byte, error) {
	return map[string]func([]byte) ([]byte, error){
		"open":   func(b []byte) ([]byte, error) { v, err := wire.ParseOpen(b); return wire.AppendOpen(nil, &v), err },
		"accept": func(b []byte) ([]byte, error) { v, err := wire.ParseAccept(b); return wire.AppendAccept(nil, &v), err },
		"credit": func(b []byte) ([]byte, error) { v, err := wire.ParseCredit(b); return wire.AppendCredit(nil, v), err },
		"ping":   func(b []byte) ([]byte, error) { v, err := wire.ParsePing(b); return wire.AppendPing(nil, &v), err },
		"batch":  func(b []byte) ([]byte, error) { v, err := readBatch(b); return writeBatch(v...), err },
	}
}

// FuzzStream takes the payload of a stream frame: what is accepted has one spelling.
func FuzzStream(f *testing.F) {
	for _, o := range opens() {
		f.Add(wire.AppendOpen(nil, &o))
	}
	for _, a := range accepts() {
		f.Add(wire.AppendAccept(nil, &a))
	}
	for _, p := range pings() {
		f.Add(wire.AppendPing(nil, &p))
		f.Add(wire.AppendCredit(nil, p.Window))
	}
	f.Add(writeBatch([]byte("one"), nil, bytes.Repeat([]byte("x"), 300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for what, parse := range streamParsers() {
			again, err := parse(b)
			if err != nil {
				if !errors.Is(err, wire.ErrFrame) {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			if !bytes.Equal(again, b) {
				t.Errorf("%s: %x is accepted, and written %x", what, b, again)
			}
		}
	})
}
