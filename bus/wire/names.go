package wire

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds of service and method names, and of instance ids.
const (
	MaxNameBytes  = 128 // bytes of a service or method name, dots included
	MaxNameTokens = 16  // dot-separated tokens of a service or method name
	MaxIDBytes    = 128 // bytes of an instance id before EscapeID
)

// NoVersion is what ADRVersion gives for a version that is not strict semver.
const NoVersion = "0.0.0"

// semver is the regular expression of semver.org, which ADR-32 asks for.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

// CheckService returns nil if name is a service name: 1 to MaxNameTokens tokens of [A-Za-z0-9_-] joined by dots,
// at most MaxNameBytes bytes, no token starting or ending with '_'. The error says which rule is broken, on one line.
func CheckService(name string) error { return checkName("service name", name) }

// CheckMethod returns nil if name is a method name. The rules are those of CheckService.
func CheckMethod(name string) error { return checkName("method name", name) }

func checkName(what, name string) error {
	if name == "" {
		return errors.New(what + " is empty")
	}
	if len(name) > MaxNameBytes {
		return fmt.Errorf("%s %s: %d bytes, at most %d are allowed", what, quote(name), len(name), MaxNameBytes)
	}
	tokens, start := 1, 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			if !nameByte(name[i]) {
				r, _ := utf8.DecodeRuneInString(name[i:])
				return fmt.Errorf("%s %s: character %q is not allowed, only A-Z a-z 0-9 _ - and dots between tokens", what, quote(name), r)
			}
			continue
		}
		switch {
		case i == start:
			return fmt.Errorf("%s %s: empty token", what, quote(name))
		case name[start] == '_':
			return fmt.Errorf("%s %s: token starts with '_'", what, quote(name))
		case name[i-1] == '_':
			return fmt.Errorf("%s %s: token ends with '_'", what, quote(name))
		}
		if i < len(name) {
			tokens++
		}
		start = i + 1
	}
	if tokens > MaxNameTokens {
		return fmt.Errorf("%s %s: %d tokens, at most %d are allowed", what, quote(name), tokens, MaxNameTokens)
	}
	return nil
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func nameByte(c byte) bool { return alnum(c) || c == '_' || c == '-' }

// quote quotes s for an error text. It cuts a long s, so that an error stays one short line whatever the peer sent.
func quote(s string) string {
	if len(s) > MaxNameBytes {
		return fmt.Sprintf("%q…", s[:MaxNameBytes])
	}
	return fmt.Sprintf("%q", s)
}

// Escape turns a service or method name into one subject token, which is also its ADR-32 name: '_' becomes "__",
// then '.' becomes '_'. For names that pass CheckService it is injective, and the token has at most
// 2*MaxNameBytes-2 bytes. Other names are escaped the same way, without the promise.
func Escape(name string) string {
	if strings.IndexByte(name, '.') < 0 && strings.IndexByte(name, '_') < 0 {
		return name
	}
	b := make([]byte, 0, len(name)+8)
	return string(appendEscaped(b, name))
}

func appendEscaped(dst []byte, name string) []byte {
	for i := range len(name) {
		switch name[i] {
		case '_':
			dst = append(dst, '_', '_')
		case '.':
			dst = append(dst, '_')
		default:
			dst = append(dst, name[i])
		}
	}
	return dst
}

// Unescape undoes Escape. It is false if Escape cannot have made the token from a valid name: such a token is the name
// of a foreign service, to be used as it is. (A foreign name such as "user_service" does unescape; only the metadata
// mbus.name tells it from the mbus service "user.service".)
func Unescape(token string) (name string, ok bool) {
	if len(token) > 2*MaxNameBytes || strings.IndexByte(token, '.') >= 0 {
		return "", false
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); {
		if token[i] != '_' {
			b = append(b, token[i])
			i++
			continue
		}
		run := i
		for i < len(token) && token[i] == '_' {
			i++
		}
		// A dot has no '_' beside it in a valid name, so a single '_' is a dot and an even run is literal.
		switch n := i - run; {
		case n == 1:
			b = append(b, '.')
		case n%2 == 0:
			for range n / 2 {
				b = append(b, '_')
			}
		default:
			return "", false
		}
	}
	if name = string(b); checkName("", name) != nil {
		return "", false
	}
	return name, true
}

// CheckID returns nil if id is an instance id: 1 to MaxIDBytes printable ASCII bytes (0x20 to 0x7e).
func CheckID(id string) error {
	if id == "" {
		return errors.New("instance id is empty")
	}
	if len(id) > MaxIDBytes {
		return fmt.Errorf("instance id %s: %d bytes, at most %d are allowed", quote(id), len(id), MaxIDBytes)
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return fmt.Errorf("instance id %s: byte 0x%02x is not printable ASCII", quote(id), id[i])
		}
	}
	return nil
}

const hexDigits = "0123456789abcdef"

// EscapeID turns an instance id into one subject token of [A-Za-z0-9_-]: every byte outside [A-Za-z0-9-] becomes '_'
// and two lower-case hex digits. It is injective for all strings, and leaves NUIDs and UUIDs unchanged.
func EscapeID(id string) string {
	if plainID(id) {
		return id
	}
	return string(appendEscapedID(make([]byte, 0, len(id)+8), id))
}

func plainID(id string) bool {
	for i := range len(id) {
		if !alnum(id[i]) && id[i] != '-' {
			return false
		}
	}
	return true
}

func appendEscapedID(dst []byte, id string) []byte {
	for i := range len(id) {
		if c := id[i]; alnum(c) || c == '-' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '_', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// UnescapeID undoes EscapeID. It is false if EscapeID cannot have made the token from an id that passes CheckID.
func UnescapeID(token string) (id string, ok bool) {
	if token == "" || len(token) > 3*MaxIDBytes {
		return "", false
	}
	if plainID(token) {
		return token, len(token) <= MaxIDBytes
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if alnum(c) || c == '-' {
			b = append(b, c)
			continue
		}
		if c != '_' || i+2 >= len(token) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		c = byte(hi<<4 | lo)
		if alnum(c) || c == '-' { // needed no escape, so EscapeID did not write it
			return "", false
		}
		b = append(b, c)
		i += 2
	}
	id = string(b)
	return id, CheckID(id) == nil
}

// ADRVersion is the version an instance shows in ADR-32 answers, which must be strict semver: version itself if it is,
// NoVersion ("0.0.0") otherwise. The version as given travels in the metadata mbus.version.
func ADRVersion(version string) string {
	if semver.MatchString(version) {
		return version
	}
	return NoVersion
}
