package live

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// FuzzServerSentEvents holds what is written to the reading that the HTML standard
// prescribes: every event comes out once, byte for byte, and none can be made up
// by a body.
func FuzzServerSentEvents(f *testing.F) {
	for _, body := range []string{
		"", "x", " x", "\n", "\r", "\r\n", "a\nb", "a\rb", "a\r\nb", "a\n\nb", "event: end\ndata: x\n\nid: 7",
		": ping", "\ufeffx", "\x00", "\xff", "\xed\xa0\x80", "\u2028", "\u0085", "retry: 1", "a\n", "{\"a\":\"\\ud800\"}",
	} {
		f.Add("user.created", []byte(body))
	}
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		if !utf8.ValidString(topic) || topic == "" || strings.ContainsFunc(topic, func(r rune) bool { return r <= ' ' }) || strings.HasPrefix(topic, "mbus.") {
			t.Skip()
		}
		e := event{topic: topic, body: body}
		wire := appendEvent(nil, &e)
		wire = appendEvent(wire, &event{topic: "next", body: []byte("1")})
		got := parseSSE(wire)
		if len(got) != 2 || got[1] != [2]string{"next", "1"} {
			t.Fatalf("%q became %q", wire, got)
		}
		name, data := got[0][0], got[0][1]
		if plain, packed := strings.CutSuffix(name, " base64"); packed {
			decoded, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Fatal(err)
			}
			name, data = plain, string(decoded)
		}
		if name != topic || data != string(body) {
			t.Errorf("%q of %q became %q of %q", body, topic, data, name)
		}

		var line struct{ Topic, Data, Encoding string }
		if err := json.Unmarshal(e.json(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Encoding == "base64" {
			decoded, err := base64.StdEncoding.DecodeString(line.Data)
			if err != nil {
				t.Fatal(err)
			}
			line.Data = string(decoded)
		}
		if line.Topic != topic || line.Data != string(body) {
			t.Errorf("%q of %q became %q of %q", body, topic, line.Data, line.Topic)
		}

		// What a service sends is one line of JSON, or no message.
		for _, c := range []codec.Codec{codec.JSON, codec.Msgpack, codec.Raw, codec.Protobuf} {
			text, err := asJSON(c, body)
			if err == nil && (!json.Valid(text) || !utf8.Valid(text) || bytes.ContainsAny(text, "\r\n")) {
				t.Errorf("%s %q became %q", c, body, text)
			}
		}
	})
}

// parseSSE reads events as section 9.2.6 of the HTML standard says: pairs of name
// and data.
func parseSSE(wire []byte) [][2]string {
	text := strings.ReplaceAll(strings.ReplaceAll(string(wire), "\r\n", "\n"), "\r", "\n")
	var all [][2]string
	var name, data string
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			if data != "" {
				all = append(all, [2]string{name, strings.TrimSuffix(data, "\n")})
			}
			name, data = "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data += value + "\n"
		}
	}
	return all
}

// FuzzMessageOfAWebSocket gives the edge of a conversation any frame: it passes
// on whole JSON and msgpack only, and nothing panics.
func FuzzMessageOfAWebSocket(f *testing.F) {
	for _, body := range []string{"", "{}", "null", `{"a":`, "{}{}", "\xff", "\x80", "\xc1", "\x81\xa1a\x01", "[[[[", `"\ud800"`, "\xdf\xff\xff\xff\xff"} {
		for mode := range 3 {
			f.Add(true, body == "", uint8(mode), []byte(body))
			f.Add(false, false, uint8(mode), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, text, half bool, mode uint8, body []byte) {
		c := &conversation{req: &rpc.Request{}, half: half, mode: []string{"", subprotocolJSON, subprotocolMsgpack}[mode%3]}
		kind := websocket.MessageBinary
		if text {
			kind = websocket.MessageText
		}
		k, err := c.judge(kind, body)
		switch {
		case err != nil || k == 0:
		case half:
			t.Errorf("%q passed after the last message", body)
		case codec.Guard(k, body) != nil:
			t.Errorf("%q passed as %s", body, k)
		case k == codec.JSON && (!text || !utf8.Valid(body) || c.mode == subprotocolMsgpack || len(body) == 0):
			t.Errorf("%q passed as JSON", body)
		case k == codec.Msgpack && (text || c.mode == subprotocolJSON):
			t.Errorf("%q passed as msgpack", body)
		}
	})
}

// FuzzFrames holds the guard to itself: however the bytes are cut, the same ones
// pass, and the library reads what passes without a panic.
func FuzzFrames(f *testing.F) {
	for _, wire := range [][]byte{
		{0x81, 0x81, 1, 2, 3, 4, 5},
		{0x88, 0x82, 0, 0, 0, 0, 3, 0xe8},
		{0x88, 0x83, 0, 0, 0, 0, 3, 0xe8, 0xff},
		{0x89, 0xfe, 0, 1, 0, 0, 0, 0, 1},
		{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1},
		{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0},
		{0x01, 0x80, 0, 0, 0, 0, 0x80, 0x80, 0, 0, 0, 0},
		{0x88, 0x80, 1, 2, 3, 4},
		{0x88, 0x7d},
		{},
	} {
		f.Add(wire, uint8(1))
		f.Add(wire, uint8(3))
	}
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		var whole, cut frameGuard
		good, broken := whole.scan(wire)
		if good > len(wire) || broken == nil && good != len(wire) {
			t.Fatalf("%d of %d bytes pass with %v", good, len(wire), broken)
		}
		passed, size := 0, int(step%16)+1
		for at := 0; at < len(wire); at += size {
			n, err := cut.scan(wire[at:min(at+size, len(wire))])
			passed += n
			if err != nil {
				break
			}
		}
		// Cut up, the beginning of the wrong frame passes too.
		if (cut.broken == nil) != (broken == nil) || passed < good {
			t.Errorf("whole: %d bytes and %v; in steps of %d: %d bytes and %v", good, broken, size, passed, cut.broken)
		}
		if len(cut.reason) > maxControl {
			t.Errorf("%d bytes of a reason are kept", len(cut.reason))
		}
	})
}

func TestAFrameThatIsReadTogetherWithTheHandshakePassesTheGuard(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	c := &patientConn{Conn: server, stall: time.Second, early: []byte{0x81, 0xfe, 0, 1, 0, 0, 0, 0, 'x'}}
	if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
