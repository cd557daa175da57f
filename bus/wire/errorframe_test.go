package wire_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestParseErrorFrameGivesBackWhatWasAppended(t *testing.T) {
	for _, e := range []wire.ErrorFrame{
		{},
		{Seq: 300, Status: 404, Code: "not_found", Message: "no user 7", Detail: []byte(`{"id":7}`)},
		{Status: 65535, Retry: wire.RetrySafe, Code: strings.Repeat("c", 255), Message: strings.Repeat("ä", 2048)},
		{Status: 429, Retry: wire.RetryAfter(time.Second)},
	} {
		got, err := wire.ParseErrorFrame(wire.AppendErrorFrame(nil, &e))
		if diff := cmp.Diff(e, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
}

func TestAppendErrorFrameCleansAndCuts(t *testing.T) {
	e := wire.ErrorFrame{Code: strings.Repeat("c", 300), Message: "a\r\nNats-X: 1" + strings.Repeat("ä", 5000)}
	got, err := wire.ParseErrorFrame(wire.AppendErrorFrame(nil, &e))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Code) != wire.MaxCodeBytes {
		t.Errorf("code of %d bytes, want %d", len(got.Code), wire.MaxCodeBytes)
	}
	if !strings.HasPrefix(got.Message, "a  Nats-X: 1") || len(got.Message) > wire.MaxMessageBytes {
		t.Errorf("message of %d bytes %.20q, want at most %d without line breaks", len(got.Message), got.Message, wire.MaxMessageBytes)
	}
}

func TestCleanMessage(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain, ünïcode 🙂", "plain, ünïcode 🙂"},
		{"two\nlines\tand\x00more\x7f", "two lines and more "},
		{"esc\x1b[31m", "esc [31m"},
		{"c1\u009b u\u2028 v\u2029", "c1  u  v "},
		{"bad\xffutf8", "bad utf8"},
		{strings.Repeat("a", 4096), strings.Repeat("a", 4096)},
		{strings.Repeat("a", 4097), strings.Repeat("a", 4093) + "…"},
		{strings.Repeat("a", 4092) + "ääää", strings.Repeat("a", 4092) + "…"},
	} {
		got := wire.CleanMessage(c.in)
		if got != c.want || !utf8.ValidString(got) {
			t.Errorf("CleanMessage(%.40q) of %d bytes\n got %d bytes …%q\nwant %d bytes", c.in, len(c.in), len(got), got[max(0, len(got)-20):], len(c.want))
		}
	}
}

func TestParseErrorFrameReadsEveryVersion(t *testing.T) {
	b := wire.AppendErrorFrame(nil, &wire.ErrorFrame{Status: 501, Code: "unimplemented"})
	b[1] = 200
	if e, err := wire.ParseErrorFrame(b); e.Code != "unimplemented" || err != nil {
		t.Errorf("got %+v, %v, want unimplemented", e, err)
	}
}

func TestParseErrorFrameRefusesBrokenFrames(t *testing.T) {
	for _, c := range []struct{ hex, want string }{
		{"", "invalid frame: the first byte is not 0xC1"},
		{"c10103", "invalid frame: 3 bytes, the head alone has 4"},
		{"c101020000", "invalid frame: type reply, not an error frame"},
		{"c1010301", "invalid frame: flags 0x01 in an error frame"},
		{"c1010300", "invalid frame: ends in the sequence"},
		{"c1010300" + "8000", "invalid frame: the sequence is longer than need be"},
		{"c1010300" + "00" + "01", "invalid frame: ends in the status"},
		{"c1010300" + "00" + "0194", "invalid frame: ends in the retry"},
		{"c1010300" + "00" + "0194" + "8000", "invalid frame: the retry is longer than need be"},
		{"c1010300" + "00" + "0194" + "00", "invalid frame: ends in the code"},
		{"c1010300" + "00" + "0194" + "00" + "0261", "invalid frame: ends in the code"},
		{"c1010300" + "00" + "0194" + "00" + "0161", "invalid frame: ends in the message length"},
		{"c1010300" + "00" + "0194" + "00" + "0161" + "0261", "invalid frame: message of 2 bytes, 1 are left"},
		{"c1010300" + "00" + "0194" + "00" + "0161" + "ffffffffffffffffff01", "invalid frame: message of 18446744073709551615 bytes, 0 are left"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		e, err := wire.ParseErrorFrame(b)
		if text(err) != c.want || !errors.Is(err, wire.ErrFrame) {
			t.Errorf("ParseErrorFrame(%s)\n got %v\nwant %s", c.hex, err, c.want)
		}
		if diff := cmp.Diff(wire.ErrorFrame{}, e); diff != "" {
			t.Errorf("ParseErrorFrame(%s): want a zero frame with the error\n%s", c.hex, diff)
		}
	}
}
