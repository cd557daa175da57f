package wire_test

import (
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestCheckTopicSaysWhichRuleIsBroken(t *testing.T) {
	for _, c := range []struct{ topic, want string }{
		{"user.created", ""},
		{"a", ""},
		{"mbusx.a", ""},
		{"a.mbus", ""},
		{"a.$b._c", ""},
		{"größe.neu", ""},
		{"go.micro.web.topic/x", ""},
		{strings.Repeat("a", 255), ""},
		{"", "topic is empty"},
		{"mbus", `topic "mbus": first token "mbus" is reserved`},
		{"mbus.rpc.a.B", `topic "mbus.rpc.a.B": first token "mbus" is reserved`},
		{"$JS.API.INFO", `topic "$JS.API.INFO": first token starts with '$', which is reserved`},
		{"_INBOX.x", `topic "_INBOX.x": first token starts with '_', which is reserved`},
		{"a..b", `topic "a..b": empty token`},
		{".a", `topic ".a": empty token`},
		{"a.", `topic "a.": empty token`},
		{"a b", `topic "a b": contains a space (' ')`},
		{"a\tb", `topic "a\tb": contains a space ('\t')`},
		{"a\u00a0b", `topic "a\u00a0b": contains a space ('\u00a0')`},
		{"a\x00b", `topic "a\x00b": contains the control character '\x00'`},
		{"a\x7f", `topic "a\x7f": contains the control character '\x7f'`},
		{"a\xff", `topic "a\xff": not valid UTF-8`},
		{"a.*", `topic "a.*": wildcards are not allowed here (token "*")`},
		{"a.>", `topic "a.>": wildcards are not allowed here (token ">")`},
		{"a.b*", `topic "a.b*": wildcards are not allowed here (token "b*")`},
		{"*", `topic "*": wildcards are not allowed here (token "*")`},
		{strings.Repeat("a", 256), `topic "` + strings.Repeat("a", 128) + `"…: 256 bytes, at most 255 are allowed`},
	} {
		if got := text(wire.CheckTopic(c.topic)); got != c.want {
			t.Errorf("CheckTopic(%q)\n got %s\nwant %s", c.topic, got, c.want)
		}
	}
}

func TestCheckPatternAllowsWildcardsAfterTheFirstToken(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"user.created", ""},
		{"user.*", ""},
		{"user.>", ""},
		{"user.*.x.>", ""},
		{"", "pattern is empty"},
		{">", `pattern ">": first token is the wildcard ">"; name the first token, one subscription for each`},
		{"*", `pattern "*": first token is the wildcard "*"; name the first token, one subscription for each`},
		{"*.created", `pattern "*.created": first token is the wildcard "*"; name the first token, one subscription for each`},
		{"user.>.x", `pattern "user.>.x": '>' is allowed as the last token only`},
		{"user.a*", `pattern "user.a*": a wildcard must be a whole token (token "a*")`},
		{"user.>>", `pattern "user.>>": a wildcard must be a whole token (token ">>")`},
		{"mbus.>", `pattern "mbus.>": first token "mbus" is reserved`},
		{"$SYS.>", `pattern "$SYS.>": first token starts with '$', which is reserved`},
		{"_INBOX.>", `pattern "_INBOX.>": first token starts with '_', which is reserved`},
		{"user..*", `pattern "user..*": empty token`},
	} {
		if got := text(wire.CheckPattern(c.pattern)); got != c.want {
			t.Errorf("CheckPattern(%q)\n got %s\nwant %s", c.pattern, got, c.want)
		}
	}
}

func TestCheckInboxPrefix(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"_INBOX", ""},
		{"_INBOX.alice", ""},
		{"", "inbox prefix is empty"},
		{"INBOX", `inbox prefix "INBOX": does not start with '_', services would drop every request`},
		{"_INBOX.", `inbox prefix "_INBOX.": empty token`},
		{"_INBOX.*", `inbox prefix "_INBOX.*": wildcards are not allowed here (token "*")`},
		{"_IN BOX", `inbox prefix "_IN BOX": contains a space (' ')`},
	} {
		if got := text(wire.CheckInboxPrefix(c.prefix)); got != c.want {
			t.Errorf("CheckInboxPrefix(%q)\n got %s\nwant %s", c.prefix, got, c.want)
		}
	}
}
