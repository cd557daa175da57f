package live_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/live"
)

func TestABadHandshakeIsRefusedWithAStatus(t *testing.T) {
	without := func(name string) string {
		var kept []string
		for line := range strings.SplitSeq(strings.TrimSuffix(handshakeHeaders, "\r\n"), "\r\n") {
			if !strings.HasPrefix(line, name+":") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\r\n") + "\r\n"
	}
	with := func(name, value string) string { return without(name) + name + ": " + value + "\r\n" }
	tests := []struct {
		name, line, headers string
		status              int
		version, upgrade    string
	}{
		{"no Upgrade", "GET /ws/x/y HTTP/1.1", without("Upgrade"), 426, "", "websocket"},
		{"Upgrade to h2c", "GET /ws/x/y HTTP/1.1", with("Upgrade", "h2c"), 426, "", "websocket"},
		{"no Connection", "GET /ws/x/y HTTP/1.1", without("Connection"), 400, "", ""},
		{"Connection: keep-alive", "GET /ws/x/y HTTP/1.1", with("Connection", "keep-alive"), 400, "", ""},
		{"version 8", "GET /ws/x/y HTTP/1.1", with("Sec-WebSocket-Version", "8"), 426, "13", ""},
		{"version 14", "GET /ws/x/y HTTP/1.1", with("Sec-WebSocket-Version", "14"), 426, "13", ""},
		{"no version", "GET /ws/x/y HTTP/1.1", without("Sec-WebSocket-Version"), 426, "13", ""},
		{"no key", "GET /ws/x/y HTTP/1.1", without("Sec-WebSocket-Key"), 400, "", ""},
		{"short key", "GET /ws/x/y HTTP/1.1", with("Sec-WebSocket-Key", "c2hvcnQ="), 400, "", ""},
		{"long key", "GET /ws/x/y HTTP/1.1", with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSE="), 400, "", ""},
		{"key that is not base64", "GET /ws/x/y HTTP/1.1", with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ==!"), 400, "", ""},
		{"two keys", "GET /ws/x/y HTTP/1.1", handshakeHeaders + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400, "", ""},
		{"HTTP/1.0", "GET /ws/x/y HTTP/1.0", handshakeHeaders, 426, "", ""},
		{"POST", "POST /ws/x/y HTTP/1.1", handshakeHeaders + "Content-Length: 0\r\n", 400, "", ""},
		{"HEAD", "HEAD /ws/x/y HTTP/1.1", handshakeHeaders, 400, "", ""},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, test := range tests {
			for _, path := range []string{"/ws/" + lab + "/Lab.Chat", "/broker?topic=a"} {
				if path != "/ws/"+lab+"/Lab.Chat" && !strings.HasPrefix(test.line, "GET") {
					continue // Micro's answer
				}
				s := r.rawConn()
				s.write([]byte(strings.Replace(test.line, "/ws/x/y", path, 1) + "\r\n" + test.headers + "\r\n"))
				method, _, _ := strings.Cut(test.line, " ")
				res, err := s.response(method)
				if err != nil {
					t.Errorf("%s: %v", test.name, err)
					continue
				}
				h := res.Header
				if res.StatusCode != test.status || h.Get("Sec-WebSocket-Version") != test.version || h.Get("Upgrade") != test.upgrade || h.Get("Content-Type") != "application/json" {
					t.Errorf("%s: %s, %v", test.name, res.Status, h)
				}
				_ = s.conn.Close()
			}
		}
		if got := r.lab.calls.Load(); got != 0 || r.live.Count() != 0 {
			t.Errorf("%d calls reached the service, %d conversations are open", got, r.live.Count())
		}
	})
}

// a is an answer of the echo.
func a(texts ...string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, `text {"text":"`+text+`"}`)
	}
	return all
}

func m(text string) string { return `{"text":"` + text + `"}` }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func TestFramesAreHeldToTheRules(t *testing.T) {
	ok := masked(fin|opText, m("ok"))
	euro := m("\u20ac")
	cut := strings.Index(euro, "\u20ac") + 1
	tests := []struct {
		name string
		send []byte
		want []string // all that comes back; "..." is any last text frame
	}{
		// Data.
		{"text", ok, a("ok")},
		{"text of 125 bytes", masked(fin|opText, m(strings.Repeat("x", 114))), a(strings.Repeat("x", 114))},
		{"text of 126 bytes", masked(fin|opText, m(strings.Repeat("x", 115))), a(strings.Repeat("x", 115))},
		{"text of 127 bytes", masked(fin|opText, m(strings.Repeat("x", 116))), a(strings.Repeat("x", 116))},
		{"the longest text", masked(fin|opText, m(strings.Repeat("x", 4096-11))), a(strings.Repeat("x", 4096-11))},
		{"a byte over the longest", masked(fin|opText, m(strings.Repeat("x", 4096-10))), []string{"close 1009 *"}},
		{"70,000 bytes", masked(fin|opText, m(strings.Repeat("x", 70000))), []string{"close 1009 *"}},
		{"a frame that says 2^62 bytes", join([]byte{fin | opText, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0}, []byte("mask"), make([]byte, 8192)), []string{"close 1009 *"}},
		{"a frame that says 2^63 bytes", join([]byte{fin | opText, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, []byte("mask")), []string{"close 1002 *"}},
		{"a zero mask", frame(fin|opText, m("ok"), "\x00\x00\x00\x00"), a("ok")},
		{"msgpack", masked(fin|opBinary, "\x81\xa4text\xa2ok"), []string{"binary 81a474657874a26f6b"}},

		// Masks, reserved bits and opcodes.
		{"unmasked text", frame(fin|opText, m("ok"), ""), []string{"close 1002 *"}},
		{"unmasked ping", frame(fin|opPing, "", ""), []string{"close 1002 *"}},
		{"unmasked close", frame(fin|opClose, "\x03\xe8", ""), []string{"close 1002 *"}},
		{"rsv1", masked(fin|rsv1|opText, m("ok")), []string{"close 1002 *"}},
		{"rsv2", masked(fin|rsv2|opText, m("ok")), []string{"close 1002 *"}},
		{"rsv3", masked(fin|rsv3|opText, m("ok")), []string{"close 1002 *"}},
		{"rsv1 on a ping", masked(fin|rsv1|opPing, ""), []string{"close 1002 *"}},
		{"rsv on a continuation", join(masked(opText, `{"te`), masked(fin|rsv1|opContinuation, `xt":"ok"}`)), []string{"close 1002 *"}},
		{"opcode 3", masked(fin|3, ""), []string{"close 1002 *"}},
		{"opcode 4", masked(fin|4, "x"), []string{"close 1002 *"}},
		{"opcode 5", masked(fin|5, ""), []string{"close 1002 *"}},
		{"opcode 6", masked(fin|6, ""), []string{"close 1002 *"}},
		{"opcode 7", masked(fin|7, ""), []string{"close 1002 *"}},
		{"opcode 11", masked(fin|11, ""), []string{"close 1002 *"}},
		{"opcode 12", masked(fin|12, "x"), []string{"close 1002 *"}},
		{"opcode 13", masked(fin|13, ""), []string{"close 1002 *"}},
		{"opcode 14", masked(fin|14, ""), []string{"close 1002 *"}},
		{"opcode 15", masked(fin|15, ""), []string{"close 1002 *"}},

		// Pings.
		{"ping", masked(fin|opPing, ""), []string{"pong "}},
		{"ping with a body", masked(fin|opPing, "hello"), []string{"pong hello"}},
		{"ping of 125 bytes", masked(fin|opPing, strings.Repeat("x", 125)), []string{"pong " + strings.Repeat("x", 125)}},
		{"ping of 126 bytes", masked(fin|opPing, strings.Repeat("x", 126)), []string{"close 1002 *"}},
		{"a ping in fragments", join(masked(opPing, "he"), masked(fin|opContinuation, "llo")), []string{"close 1002 *"}},
		{"a pong nobody asked for", join(masked(fin|opPong, "x"), ok), a("ok")},
		{"ten pings", join(slices.Repeat([][]byte{masked(fin|opPing, "x")}, 10)...), slices.Repeat([]string{"pong x"}, 10)},

		// Fragments.
		{"two fragments", join(masked(opText, `{"te`), masked(fin|opContinuation, `xt":"ok"}`)), a("ok")},
		{"fragments of one byte", fragments(m("one byte each")), a("one byte each")},
		{"empty fragments", join(masked(opText, ""), masked(opContinuation, ""), masked(opContinuation, m("ok")), masked(fin|opContinuation, "")), a("ok")},
		{"a ping between fragments", join(masked(opText, `{"te`), masked(fin|opPing, "now"), masked(fin|opContinuation, `xt":"ok"}`)), append([]string{"pong now"}, a("ok")...)},
		{"a continuation of nothing", masked(fin|opContinuation, "x"), []string{"close 1002 *"}},
		{"a continuation of nothing, with more", masked(opContinuation, "x"), []string{"close 1002 *"}},
		{"a continuation after the end", join(masked(fin|opPong, ""), masked(fin|opContinuation, "x")), []string{"close 1002 *"}},
		{"a text between fragments", join(masked(opText, `{"te`), ok), []string{"close 1002 *"}},
		{"a binary between fragments", join(masked(opText, `{"te`), masked(fin|opBinary, "x")), []string{"close 1002 *"}},
		{"fragments over the limit", fragments(strings.Repeat(" ", 4097)), []string{"close 1009 *"}},
		{"a flood of fragments", join(masked(opText, " "), slices.Repeat(masked(opContinuation, " "), 20_000)), []string{"close 1009 *"}},
		{"a flood of empty fragments", join(masked(opText, ""), slices.Repeat(masked(opContinuation, ""), 20_000)), []string{"close 1008 too many fragments"}},
		{"a close between fragments", join(masked(opText, `{"te`), closingFrame(1000, "")), []string{"close 1000"}},

		// UTF-8.
		{"UTF-8", masked(fin|opText, m("κόσμε \U0001f600")), a("κόσμε \U0001f600")},
		{"UTF-8 cut between fragments", join(masked(opText, euro[:cut]), masked(fin|opContinuation, euro[cut:])), a("\u20ac")},
		{"a byte that is none", masked(fin|opText, m("\xff")), []string{"close 1007 *"}},
		{"a bad byte in the second fragment", join(masked(opText, `{"text":"`), masked(fin|opContinuation, "\xc3\x28\"}")), []string{"close 1007 *"}},
		{"half a sequence at the end", masked(fin|opText, "\"\xe2\x82"), []string{"close 1007 *"}},
		{"overlong", masked(fin|opText, m("\xc0\xaf")), []string{"close 1007 *"}},
		{"half a surrogate pair", masked(fin|opText, m("\xed\xa0\x80")), []string{"close 1007 *"}},
		{"beyond U+10FFFF", masked(fin|opText, m("\xf4\x90\x80\x80")), []string{"close 1007 *"}},

		// Closes of the client.
		{"close", masked(fin|opClose, ""), []string{"close"}},
		{"close 1000", closingFrame(1000, ""), []string{"close 1000"}},
		{"close with a reason", closingFrame(1001, "bye"), []string{"close 1001 bye"}},
		{"close with the longest reason", closingFrame(1000, strings.Repeat("x", 123)), []string{"close 1000 " + strings.Repeat("x", 123)}},
		{"close with one byte", masked(fin|opClose, "\x03"), []string{"close 1002 *"}},
		{"close of 126 bytes", closingFrame(1000, strings.Repeat("x", 124)), []string{"close 1002 *"}},
		{"close in fragments", masked(opClose, "\x03\xe8"), []string{"close 1002 *"}},
		{"close 0", closingFrame(0, ""), []string{"close 1002 *"}},
		{"close 999", closingFrame(999, ""), []string{"close 1002 *"}},
		{"close 1004", closingFrame(1004, ""), []string{"close 1002 *"}},
		{"close 1005", closingFrame(1005, ""), []string{"close 1002 *"}},
		{"close 1006", closingFrame(1006, ""), []string{"close 1002 *"}},
		{"close 1015", closingFrame(1015, ""), []string{"close 1002 *"}},
		{"close 1016", closingFrame(1016, ""), []string{"close 1002 *"}},
		{"close 2999", closingFrame(2999, ""), []string{"close 1002 *"}},
		{"close 3000", closingFrame(3000, ""), []string{"close 3000"}},
		{"close 4999", closingFrame(4999, ""), []string{"close 4999"}},
		{"close 5000", closingFrame(5000, ""), []string{"close 1002 *"}},
		{"close 65535", closingFrame(65535, ""), []string{"close 1002 *"}},
		{"close with a reason that is not UTF-8", closingFrame(1000, "\xff"), []string{"close 1007 *"}},
		{"close with a reason that is cut off", closingFrame(1000, "\u20ac"[:2]), []string{"close 1007 *"}},
		{"close with a reason in UTF-8", closingFrame(1000, "\u20ac"), []string{"close 1000 \u20ac"}},
		{"data after a close", join(closingFrame(1000, ""), ok), []string{"close 1000"}},
		{"two closes", join(closingFrame(1000, "a"), closingFrame(1001, "b")), []string{"close 1000 a"}},

		// Lengths in a longer form than they need.
		{"a short length in 16 bits", join([]byte{fin | opPing, 0xfe, 0, 1}, []byte("mask"), []byte{'x' ^ 'm'}), []string{"close 1002 *"}},
		{"a short length in 64 bits", join([]byte{fin | opText, 0xff, 0, 0, 0, 0, 0, 0, 0, 1}, []byte("mask"), []byte{'1' ^ 'm'}), []string{"close 1002 *"}},

		// Messages.
		{"not JSON", masked(fin|opText, "{"), []string{"...", "close 4400 invalid_argument"}},
		{"two documents", masked(fin|opText, m("a")+m("b")), []string{"...", "close 4400 invalid_argument"}},
		{"not msgpack", masked(fin|opBinary, "\xc1"), []string{"...", "close 4400 invalid_argument"}},
		{"the end of messages", join(ok, masked(fin|opText, "")), append(a("ok"), end(1)...)},
		{"the end in fragments", join(ok, masked(opText, ""), masked(fin|opContinuation, "")), append(a("ok"), end(1)...)},
		{"the end at once", masked(fin|opText, ""), end(0)},
		{"a failure", masked(fin|opText, m("fail")), []string{"...", "close 4409 conflict"}},
	}
	if len(tests) < 60 {
		t.Fatalf("%d cases", len(tests))
	}
	for _, bytewise := range []bool{false, true} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			r := newRoom(t, b, func(c *live.Config) { c.MaxMessage = 4096 })
			for _, test := range tests {
				if bytewise && len(test.send) > 1000 {
					continue
				}
				if err := r.converse(test.send, test.want, bytewise); err != nil {
					t.Errorf("%s (bytewise %t): %v", test.name, bytewise, err)
				}
			}
		})
	}
}

// converse sends bytes to the echo and compares what comes back.
func (r *room) converse(send []byte, want []string, bytewise bool) error {
	s := r.raw("/ws/" + lab + "/Lab.Chat")
	start := time.Now()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if !bytewise {
			s.write(send)
			return
		}
		for i := range send {
			if !s.write(send[i : i+1]) {
				return
			}
		}
	}()
	var got []string
	for len(got) < len(want) {
		f, err := s.next()
		if err != nil {
			return fmt.Errorf("after %.300q: %w", got, err)
		}
		got = append(got, f.String())
	}
	for i := range want {
		prefix, open := strings.CutSuffix(want[i], "*")
		if want[i] == "..." {
			prefix, open = `text {"error":{"id":`, true
		}
		if got[i] != want[i] && !(open && strings.HasPrefix(got[i], prefix)) {
			return fmt.Errorf("got %.300q, want %.300q", got, want)
		}
	}
	if closed := strings.HasPrefix(got[len(got)-1], "close"); closed {
		s.write(masked(fin|opClose, "\x03\xe8"))
		if rest := s.rest(); len(rest) != 0 {
			return fmt.Errorf("after the close came %q", rest)
		}
	} else {
		s.write(closingFrame(1000, "bye"))
		if rest := s.rest(); len(rest) != 1 || rest[0] != "close 1000 bye" {
			return fmt.Errorf("the close was answered with %q", rest)
		}
	}
	<-written
	// A close behind bytes that broke the framing is not heard, and waited for.
	took := time.Since(start)
	r.idle(time.Second)
	if took > 5*time.Second {
		return fmt.Errorf("it took %v", took)
	}
	return nil
}

// fragments is a text with one byte in each frame.
func fragments(text string) []byte {
	var b []byte
	for i := range len(text) {
		first := byte(opContinuation)
		if i == 0 {
			first = opText
		}
		if i == len(text)-1 {
			first |= fin
		}
		b = append(b, masked(first, text[i:i+1])...)
	}
	return b
}
