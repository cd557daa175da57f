package wire_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mbus-dev/mbus/bus/wire"
)

// FuzzEscape takes two names: valid ones come back, and two of them never share a token.
func FuzzEscape(f *testing.F) {
	f.Fuzz(func(t *testing.T, a, b string) {
		if wire.CheckService(a) != nil {
			return
		}
		token := wire.Escape(a)
		if back, ok := wire.Unescape(token); back != a || !ok {
			t.Errorf("Unescape(Escape(%q)) = %q, %t", a, back, ok)
		}
		if len(token) > 2*wire.MaxNameBytes-2 && len(token) > 1 {
			t.Errorf("Escape(%q) has %d bytes", a, len(token))
		}
		if wire.CheckService(token) != nil && len(token) <= wire.MaxNameBytes {
			t.Errorf("Escape(%q) = %q is not a name of one token", a, token)
		}
		if wire.CheckService(b) == nil && a != b && wire.Escape(b) == token {
			t.Errorf("%q and %q share the token %q", a, b, token)
		}
	})
}

// FuzzUnescape takes a token: what is accepted is a valid name, and escapes to the same token.
func FuzzUnescape(f *testing.F) {
	f.Fuzz(func(t *testing.T, token string) {
		name, ok := wire.Unescape(token)
		if !ok {
			return
		}
		if err := wire.CheckService(name); err != nil {
			t.Errorf("Unescape(%q): %v", token, err)
		}
		if again := wire.Escape(name); again != token {
			t.Errorf("Unescape(%q) = %q, which escapes to %q", token, name, again)
		}
	})
}

// FuzzEscapeID takes an id and a token: ids come back, tokens are accepted only in the one spelling EscapeID writes.
func FuzzEscapeID(f *testing.F) {
	f.Fuzz(func(t *testing.T, id, token string) {
		escaped := wire.EscapeID(id)
		back, ok := wire.UnescapeID(escaped)
		if valid := wire.CheckID(id) == nil; ok != valid || valid && back != id {
			t.Errorf("UnescapeID(EscapeID(%q)) = %q, %t, want ok = %t", id, back, ok, valid)
		}
		for i := range len(escaped) {
			if c := escaped[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
				t.Errorf("EscapeID(%q) = %q, more than one token", id, escaped)
			}
		}
		if id != token && wire.EscapeID(token) == escaped {
			t.Errorf("%q and %q share the token %q", id, token, escaped)
		}
		if plain, ok := wire.UnescapeID(token); ok && (wire.CheckID(plain) != nil || wire.EscapeID(plain) != token) {
			t.Errorf("UnescapeID(%q) = %q, which does not escape to it", token, plain)
		}
	})
}

// FuzzSubject takes the parts of subjects, and a subject: valid parts come back, and whatever is parsed is built again
// from its parts.
func FuzzSubject(f *testing.F) {
	f.Fuzz(func(t *testing.T, service, id, method, subject string) {
		if wire.CheckService(service) == nil && wire.CheckID(id) == nil && wire.CheckMethod(method) == nil {
			if s, m, ok := wire.ParseCall(wire.CallSubject(service, method)); s != service || m != method || !ok {
				t.Errorf("call %q %q came back as %q %q %t", service, method, s, m, ok)
			}
			if s, i, m, ok := wire.ParseNode(wire.NodeSubject(service, id, method)); s != service || i != id || m != method || !ok {
				t.Errorf("node %q %q %q came back as %q %q %q %t", service, id, method, s, i, m, ok)
			}
			if s, i, e, ok := wire.ParseAnnounce(wire.AnnounceSubject(service, id, wire.EventUp)); s != service || i != id || e != wire.EventUp || !ok {
				t.Errorf("announce %q %q came back as %q %q %q %t", service, id, s, i, e, ok)
			}
			if s, i, x, ok := wire.ParseStream(wire.StreamSubject(service, id, "1")); s != service || i != id || x != "1" || !ok {
				t.Errorf("stream %q %q came back as %q %q %q %t", service, id, s, i, x, ok)
			}
			if !wire.UplinkAllowed(wire.StreamSubject(service, id, "1"), service, id) {
				t.Errorf("the instance's own stream subject is not allowed: %q %q", service, id)
			}
		}
		built := []string{}
		if s, m, ok := wire.ParseCall(subject); ok {
			built = append(built, wire.CallSubject(s, m))
		}
		if s, i, m, ok := wire.ParseNode(subject); ok {
			built = append(built, wire.NodeSubject(s, i, m))
		}
		if s, i, e, ok := wire.ParseAnnounce(subject); ok {
			built = append(built, wire.AnnounceSubject(s, i, e))
		}
		if s, i, x, ok := wire.ParseStream(subject); ok {
			built = append(built, wire.StreamSubject(s, i, x))
		}
		if len(built) > 1 || len(built) == 1 && built[0] != subject {
			t.Errorf("%q was parsed as %q", subject, built)
		}
	})
}

// FuzzTopic takes a topic: what is accepted is a pattern too, one clean subject outside the reserved ones.
func FuzzTopic(f *testing.F) {
	f.Fuzz(func(t *testing.T, topic string) {
		if wire.CheckTopic(topic) != nil {
			return
		}
		if err := wire.CheckPattern(topic); err != nil {
			t.Errorf("%q is a topic and no pattern: %v", topic, err)
		}
		if i := bytes.IndexAny([]byte(topic), " \t\r\n\x00*>"); i >= 0 || len(topic) > wire.MaxTopicBytes || wire.ReplyAllowed(topic) {
			t.Errorf("%q was accepted", topic)
		}
		if wire.CheckTopic("a."+topic+".b") != nil && len(topic) <= wire.MaxTopicBytes-4 {
			t.Errorf("%q is a topic, and none with a token before and after it", topic)
		}
	})
}

// FuzzTimeout takes a header value: what is accepted is in range and stays the same when written and read again.
func FuzzTimeout(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		d, err := wire.ParseTimeout(s)
		if err != nil {
			if d != 0 {
				t.Errorf("ParseTimeout(%q) = %s with the error %v", s, d, err)
			}
			return
		}
		if d < 0 || d > wire.MaxTimeout || d%time.Millisecond != 0 {
			t.Errorf("ParseTimeout(%q) = %s", s, d)
		}
		if again, err := wire.ParseTimeout(wire.FormatTimeout(d)); again != d || err != nil {
			t.Errorf("ParseTimeout(%q) = %s, which came back as %s, %v", s, d, again, err)
		}
		if r, err := wire.ParseRetry("after=" + s); r != wire.RetryAfter(d) || err != nil {
			t.Errorf("ParseRetry(after=%q) = %s, %v, want %s", s, r, err, wire.RetryAfter(d))
		}
	})
}

// FuzzFrame takes a body: what is accepted is written again as the same bytes and holds no more than they do.
func FuzzFrame(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := wire.ParseFrame(b)
		if err != nil {
			if errors.Is(err, wire.ErrVersion) == errors.Is(err, wire.ErrFrame) {
				t.Errorf("want exactly one of ErrFrame and ErrVersion, got %v", err)
			}
			if errors.Is(err, wire.ErrVersion) && (frame.Version != b[1] || frame.Type != wire.TypeOf(b)) {
				t.Errorf("another version: got %+v of % x", frame, b[:4])
			}
			if len(err.Error()) > 1024 {
				t.Errorf("an error text of %d bytes", len(err.Error()))
			}
			return
		}
		if err := wire.CheckMeta(frame.Meta); err != nil {
			t.Errorf("accepted metadata that CheckMeta refuses: %v", err)
		}
		if 2*cap(frame.Meta) > len(b) || cap(frame.Payload) > cap(b) {
			t.Errorf("%d bytes gave room for %d pairs and %d bytes of payload", len(b), cap(frame.Meta), cap(frame.Payload))
		}
		again := wire.AppendFrame(nil, &frame)
		if frame.Timeout < wire.MaxTimeout && !bytes.Equal(again, b) { // longer timeouts are cut
			t.Errorf("parsed and written again\n got % x\nwant % x", again, b)
		}
		back, err := wire.ParseFrame(again)
		if diff := cmp.Diff(frame, back, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("written and parsed again: %v\n%s", err, diff)
		}
	})
}

// FuzzErrorFrame takes a body: what is accepted, once its message is clean, is written again as the same bytes.
func FuzzErrorFrame(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := wire.ParseErrorFrame(b)
		if err != nil {
			if !errors.Is(err, wire.ErrFrame) {
				t.Errorf("want ErrFrame, got %v", err)
			}
			return
		}
		again := wire.AppendErrorFrame(nil, &e)
		if b[1] == wire.Version && wire.CleanMessage(e.Message) == e.Message && !bytes.Equal(again, b) {
			t.Errorf("parsed and written again\n got % x\nwant % x", again, b)
		}
		e.Message = wire.CleanMessage(e.Message)
		back, err := wire.ParseErrorFrame(again)
		if diff := cmp.Diff(e, back); diff != "" || err != nil {
			t.Errorf("written and parsed again: %v\n%s", err, diff)
		}
		if _, err := wire.ParseFrame(again); err == nil {
			t.Error("an error frame was accepted as another frame")
		}
	})
}

// FuzzCleanMessage takes a message: cleaned once is clean.
func FuzzCleanMessage(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		clean := wire.CleanMessage(s)
		if again := wire.CleanMessage(clean); again != clean || len(clean) > wire.MaxMessageBytes {
			t.Errorf("%q became %q, then %q", s, clean, again)
		}
		if bytes.ContainsAny([]byte(clean), "\r\n\x00") {
			t.Errorf("%q became %q", s, clean)
		}
	})
}
