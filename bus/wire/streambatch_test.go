package wire_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
)

// writeBatch is the payload of these messages.
func writeBatch(messages ...[]byte) []byte {
	var b []byte
	for _, m := range messages {
		b = wire.AppendStreamBatch(b, m)
	}
	return b
}

// readBatch reads a payload as a receiver does.
func readBatch(b []byte) ([][]byte, error) {
	n, err := wire.CheckStreamBatch(b)
	var all [][]byte
	for range n {
		var m []byte
		m, b = wire.NextStreamBatch(b)
		all = append(all, m)
	}
	return all, err
}

func TestABatchOfAStreamComesBack(t *testing.T) {
	want := [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 300), []byte("last")}
	got, err := readBatch(writeBatch(want...))
	if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%q, %v", got, err)
	}
	for _, m := range got {
		if cap(m) != len(m) {
			t.Errorf("%q has room for what follows it", m)
		}
	}
}

func TestABatchOfAStreamIsBounded(t *testing.T) {
	many := slices.Repeat([][]byte{{}}, wire.MaxStreamBatch)
	large := bytes.Repeat([]byte("x"), wire.MaxStreamBatchBytes-3)
	for name, b := range map[string][]byte{"many messages": writeBatch(many...), "many bytes": writeBatch(large)} {
		if _, err := wire.CheckStreamBatch(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := wire.CheckStreamBatch(append(b, 0)); !errors.Is(err, wire.ErrFrame) || n != 0 {
			t.Errorf("%s and one more: %d, %v", name, n, err)
		}
	}
}

func TestABrokenBatchOfAStreamIsRefusedAsAWhole(t *testing.T) {
	for _, b := range []string{"", "\x01", "\x01a\x02b", "\x81\x00a", "\x01a\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if n, err := wire.CheckStreamBatch([]byte(b)); !errors.Is(err, wire.ErrFrame) || n != 0 {
			t.Errorf("%q: %d messages, %v", b, n, err)
		}
	}
}
