package bustest

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func TestReadOpTellsMessagesFromTheRest(t *testing.T) {
	for _, tc := range []struct{ in, verb, subject string }{
		{"PING\r\n", "PING", ""},
		{"+OK\r\n", "+OK", ""},
		{"-ERR 'Slow Consumer'\r\n", "-ERR", ""},
		{"INFO {\"a\":\"" + strings.Repeat("x", 10_000) + "\"}\r\n", "INFO", ""},
		{"SUB a.b q 1\r\n", "SUB", ""},
		{"PUB a.b 5\r\nhello\r\n", "PUB", "a.b"},
		{"pub a.b _INBOX.1 0\r\n\r\n", "PUB", "a.b"},
		{"HPUB a.b 12 12\r\nNATS/1.0\r\n\r\n\r\n", "HPUB", "a.b"},
		{"MSG a.b 1 _INBOX.1 4\r\nPUB \r\n", "MSG", "a.b"},
		{"HMSG a.b 1 12 14\r\nNATS/1.0\r\n\r\n\r\n\r\n", "HMSG", "a.b"},
	} {
		o, err := readOp(bufio.NewReader(strings.NewReader(tc.in + "PONG\r\n")))
		if err != nil || o.verb != tc.verb || o.subject != tc.subject || string(o.raw) != tc.in {
			t.Errorf("%.40q: got %s of %q, %.40q, %v", tc.in, o.verb, o.subject, o.raw, err)
		}
	}
}

func TestReadOpRefusesWhatHasNoEnd(t *testing.T) {
	for _, in := range []string{
		"PUB\r\n", "PUB a\r\n", "PUB a -1\r\n", "PUB a x\r\n", "PUB a 99999999999\r\n", "PUB a 10\r\nshort\r\n",
		"PING", "INFO " + strings.Repeat("x", maxLine+8192),
	} {
		if o, err := readOp(bufio.NewReader(strings.NewReader(in))); err == nil {
			t.Errorf("%.40q: got %+v, want an error", in, o)
		}
	}
}

func FuzzReadOpKeepsEveryByte(f *testing.F) {
	f.Add([]byte("INFO {}\r\nPING\r\nMSG a 1 2\r\nhi\r\n"))
	f.Add([]byte("HPUB a b 12 13\r\nNATS/1.0\r\n\r\nx\r\nPUB a"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out []byte
		for r := bufio.NewReader(bytes.NewReader(in)); ; {
			o, err := readOp(r)
			if err != nil {
				break
			}
			out = append(out, o.raw...)
		}
		if !bytes.HasPrefix(in, out) {
			t.Errorf("read %q from %q", out, in)
		}
	})
}
