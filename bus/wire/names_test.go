package wire_test

import (
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestCheckServiceSaysWhichRuleIsBroken(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"greeter", ""},
		{"go.micro.srv.greeter", ""},
		{"user-service", ""},
		{"a_b.c__d", ""},
		{"-", ""},
		{"0", ""},
		{strings.Repeat("a", 128), ""},
		{strings.TrimSuffix(strings.Repeat("a.", 16), "."), ""},
		{"", `service name is empty`},
		{"_a", `service name "_a": token starts with '_'`},
		{"a._b", `service name "a._b": token starts with '_'`},
		{"a_", `service name "a_": token ends with '_'`},
		{"a_.b", `service name "a_.b": token ends with '_'`},
		{"_", `service name "_": token starts with '_'`},
		{".a", `service name ".a": empty token`},
		{"a.", `service name "a.": empty token`},
		{"a..b", `service name "a..b": empty token`},
		{".", `service name ".": empty token`},
		{"a b", `service name "a b": character ' ' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{"a.*", `service name "a.*": character '*' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{"a.>", `service name "a.>": character '>' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{"$SRV", `service name "$SRV": character '$' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{"grüezi", `service name "grüezi": character 'ü' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{"a\x00", `service name "a\x00": character '\x00' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{"a\r\nb", `service name "a\r\nb": character '\r' is not allowed, only A-Z a-z 0-9 _ - and dots between tokens`},
		{strings.Repeat("a", 129), `service name "` + strings.Repeat("a", 128) + `"…: 129 bytes, at most 128 are allowed`},
		{strings.TrimSuffix(strings.Repeat("a.", 17), "."), `service name "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a": 17 tokens, at most 16 are allowed`},
	} {
		if got := text(wire.CheckService(c.name)); got != c.want {
			t.Errorf("CheckService(%q)\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	if got, want := text(wire.CheckMethod("Say._x")), `method name "Say._x": token starts with '_'`; got != want {
		t.Errorf("CheckMethod: got %s, want %s", got, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestEscapeGivesOneTokenAndBack(t *testing.T) {
	for _, c := range []struct{ name, token string }{
		{"greeter", "greeter"},
		{"go.micro.srv.greeter", "go_micro_srv_greeter"},
		{"user_service", "user__service"},
		{"user.service", "user_service"},
		{"user-service", "user-service"},
		{"a__b", "a____b"},
		{"a_b.c_d", "a__b_c__d"},
		{"Say.Hello", "Say_Hello"},
		{"a" + strings.Repeat("_", 126) + "b", "a" + strings.Repeat("_", 252) + "b"},
	} {
		if got := wire.Escape(c.name); got != c.token {
			t.Errorf("Escape(%q) = %q, want %q", c.name, got, c.token)
		}
		if got, ok := wire.Unescape(c.token); got != c.name || !ok {
			t.Errorf("Unescape(%q) = %q, %t, want %q", c.token, got, ok, c.name)
		}
	}
}

func TestUnescapeRefusesWhatEscapeCannotMake(t *testing.T) {
	for _, token := range []string{
		"", "_", "__", "_a", "a_", "__a", "a__", "a___b", "a_____b", "a.b", "a b", "a*", "ä",
		strings.Repeat("a", 129), strings.Repeat("a_", 16) + "a", strings.Repeat("_", 100000),
	} {
		if name, ok := wire.Unescape(token); ok || name != "" {
			t.Errorf("Unescape(%q) = %q, %t, want \"\", false", token, name, ok)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, c := range []struct{ id, want string }{
		{"GKQ3W8MZ4NP0X1Y2Z3A4B5", ""},
		{"my box: #1 (left)", ""},
		{strings.Repeat("~", 128), ""},
		{"", "instance id is empty"},
		{"a\nb", `instance id "a\nb": byte 0x0a is not printable ASCII`},
		{"a\x7f", `instance id "a\x7f": byte 0x7f is not printable ASCII`},
		{"é", `instance id "é": byte 0xc3 is not printable ASCII`},
		{strings.Repeat("i", 129), `instance id "` + strings.Repeat("i", 128) + `"…: 129 bytes, at most 128 are allowed`},
	} {
		if got := text(wire.CheckID(c.id)); got != c.want {
			t.Errorf("CheckID(%q)\n got %s\nwant %s", c.id, got, c.want)
		}
	}
}

func TestEscapeIDGivesOneTokenAndBack(t *testing.T) {
	for _, c := range []struct{ id, token string }{
		{"GKQ3W8MZ4NP0X1Y2Z3A4B5", "GKQ3W8MZ4NP0X1Y2Z3A4B5"},
		{"550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"},
		{"a_b", "a_5fb"},
		{"10.0.0.1:8080", "10_2e0_2e0_2e1_3a8080"},
		{"*", "_2a"},
		{">", "_3e"},
		{" ", "_20"},
		{strings.Repeat("~", 128), strings.Repeat("_7e", 128)},
	} {
		if got := wire.EscapeID(c.id); got != c.token {
			t.Errorf("EscapeID(%q) = %q, want %q", c.id, got, c.token)
		}
		if got, ok := wire.UnescapeID(c.token); got != c.id || !ok {
			t.Errorf("UnescapeID(%q) = %q, %t, want %q", c.token, got, ok, c.id)
		}
	}
}

func TestUnescapeIDRefusesWhatEscapeIDCannotMake(t *testing.T) {
	for _, token := range []string{
		"", "_", "a_", "_2", "_2A", "_zz", "_41", "_2d", "_0a", "_7f", "_c3_a9", "a.b", "a b", "ä",
		strings.Repeat("a", 129), strings.Repeat("_7e", 129),
	} {
		if id, ok := wire.UnescapeID(token); ok {
			t.Errorf("UnescapeID(%q) = %q, true, want false", token, id)
		}
	}
}

func TestADRVersionIsTheVersionOnlyIfStrictSemver(t *testing.T) {
	for _, v := range []string{"0.0.0", "1.2.3", "10.20.30-rc.1+build.5", "1.0.0-0a", "1.0.0+001", "1.0.0--"} {
		if got := wire.ADRVersion(v); got != v {
			t.Errorf("ADRVersion(%q) = %q, want it unchanged", v, got)
		}
	}
	for _, v := range []string{"", "latest", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3\n", "1.2.3+", "1.2.3.4", " 1.2.3", "1.2.3-ä"} {
		if got := wire.ADRVersion(v); got != wire.NoVersion {
			t.Errorf("ADRVersion(%q) = %q, want %q", v, got, wire.NoVersion)
		}
	}
}
