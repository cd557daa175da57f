package codec_test

import (
	"encoding/json"
	"testing"

	"github.com/mbus-dev/mbus/bus/codec"
)

// Without a Content-Type, what may be JSON is, and nothing that is JSON is taken
// for msgpack.
func TestTheCodecOfAnEventIsSeenInItsFirstByte(t *testing.T) {
	for first := range 256 {
		body := []byte{byte(first)}
		want := codec.JSON
		if first >= 0x80 && first != 0xef {
			want = codec.Msgpack
		}
		got, err := codec.OfEvent("", body)
		if got != want || err != nil || codec.Msgpack.NeedsType(body) != (want == codec.JSON) || codec.JSON.NeedsType(body) != (want != codec.JSON) {
			t.Errorf("an event that begins with %#02x is %s, %v", first, got, err)
		}
		if got, err := codec.OfEvent("application/protobuf", body); got != codec.Protobuf || err != nil || !codec.Protobuf.NeedsType(body) {
			t.Errorf("with its Content-Type it is %s, %v", got, err)
		}
		for _, more := range []string{"", "1", "\"\"", "{}", "\xbb\xbf{}", "\x80"} {
			if json.Valid(append(body, more...)) && want != codec.JSON {
				t.Errorf("JSON begins with %#02x", first)
			}
		}
	}
	if got, err := codec.OfEvent("", nil); got != codec.JSON || err != nil {
		t.Errorf("an empty event is %s, %v", got, err)
	}
}
