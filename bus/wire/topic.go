package wire

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTopicBytes bounds a topic, a pattern and an inbox prefix, in bytes.
const MaxTopicBytes = 255

// CheckTopic returns nil if topic may be published to as an event. A topic is a NATS subject, verbatim: non-empty
// tokens joined by dots, at most MaxTopicBytes bytes of UTF-8 without spaces, control characters, '*' and '>'. The
// first token must not be "mbus" nor start with '$' or '_': those subjects belong to mbus and to the broker.
func CheckTopic(topic string) error { return checkTopic("topic", topic, false) }

// CheckPattern returns nil if pattern may be subscribed to: a topic in which whole tokens after the first may be '*'
// (one token), and the last may be '>' (one or more tokens). A wildcard as first token is refused: it would be interest
// in every subject of the broker, so that nobody could be told "nobody listens", and would show other people's calls.
func CheckPattern(pattern string) error { return checkTopic("pattern", pattern, true) }

// CheckInboxPrefix returns nil if prefix may precede the reply subjects of a connection: a subject without wildcards
// whose first byte is '_', without a dot at the end. See ReplyAllowed for the reason.
func CheckInboxPrefix(prefix string) error {
	if prefix != "" && prefix[0] != '_' {
		return fmt.Errorf("inbox prefix %s: does not start with '_', services would drop every request", quote(prefix))
	}
	return checkSubject("inbox prefix", prefix, false)
}

func checkTopic(what, s string, wildcards bool) error {
	if err := checkSubject(what, s, wildcards); err != nil {
		return err
	}
	first, _, _ := strings.Cut(s, ".")
	switch {
	case first == "mbus":
		return fmt.Errorf("%s %s: first token \"mbus\" is reserved", what, quote(s))
	case first[0] == '$' || first[0] == '_':
		return fmt.Errorf("%s %s: first token starts with %q, which is reserved", what, quote(s), first[0])
	case first == "*" || first == ">":
		return fmt.Errorf("%s %s: first token is the wildcard %q; name the first token, one subscription for each", what, quote(s), first)
	}
	return nil
}

func checkSubject(what, s string, wildcards bool) error {
	if s == "" {
		return errors.New(what + " is empty")
	}
	if len(s) > MaxTopicBytes {
		return fmt.Errorf("%s %s: %d bytes, at most %d are allowed", what, quote(s), len(s), MaxTopicBytes)
	}
	if plainSubject(s) {
		return nil
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s %s: not valid UTF-8", what, quote(s))
	}
	for rest, more := s, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if token == "" {
			return fmt.Errorf("%s %s: empty token", what, quote(s))
		}
		if wildcards && (token == "*" || token == ">" && !more) {
			continue
		}
		for _, r := range token {
			switch {
			case r == '*' || r == '>':
				return wildcardError(what, s, token, wildcards)
			case unicode.IsSpace(r):
				return fmt.Errorf("%s %s: contains a space (%q)", what, quote(s), r)
			case unicode.IsControl(r):
				return fmt.Errorf("%s %s: contains the control character %q", what, quote(s), r)
			}
		}
	}
	return nil
}

// plainSubject tells, for the subjects that most are, that nothing is wrong with one: printable ASCII without wildcards.
func plainSubject(s string) bool {
	before := byte('.')
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '*' || c == '>' || c == '.' && before == '.' {
			return false
		}
		before = c
	}
	return before != '.'
}

func wildcardError(what, s, token string, wildcards bool) error {
	switch {
	case !wildcards:
		return fmt.Errorf("%s %s: wildcards are not allowed here (token %q)", what, quote(s), token)
	case token == ">":
		return fmt.Errorf("%s %s: '>' is allowed as the last token only", what, quote(s))
	}
	return fmt.Errorf("%s %s: a wildcard must be a whole token (token %q)", what, quote(s), token)
}
