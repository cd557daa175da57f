package gateway

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
)

// maxSegments is the most parts that a path may have.
const maxSegments = 64

// Segments splits the path of a request into its decoded parts. Empty parts
// count as not written, as in Micro; what two readers could take for two
// different paths is refused.
func Segments(u *url.URL) ([]string, error) {
	parts := make([]string, 0, 4)
	escaped, plain := u.Path, plainPath(u)
	if !plain {
		escaped = u.EscapedPath()
	}
	for part := range strings.SplitSeq(escaped, "/") {
		if part == "" {
			continue
		}
		if len(parts) == maxSegments {
			return nil, bus.Errorf(bus.InvalidArgument, "the path has more than %d parts", maxSegments)
		}
		if plain {
			parts = append(parts, part)
			continue
		}
		decoded, err := url.PathUnescape(part)
		if err != nil || !plainPart(decoded) {
			return nil, bus.Errorf(bus.InvalidArgument, "the path %.200q is ambiguous: no part of it may be . or .., and none may hold an encoded slash, a backslash or a control character", escaped)
		}
		parts = append(parts, decoded)
	}
	return parts, nil
}

// plainPart reports whether everybody reads a part of a path alike.
func plainPart(part string) bool {
	if part == "." || part == ".." || !utf8.ValidString(part) {
		return false
	}
	return strings.IndexFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' || r == '\\' }) < 0
}

// DirectPath reads a path that names a service and a method in full. At least
// one of them has a dot, which tells it from Micro's form.
func DirectPath(parts []string) (service, method string, ok bool) {
	if len(parts) != 2 || !strings.Contains(parts[0], ".") && !strings.Contains(parts[1], ".") {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// MicroPath maps a path to a service of the namespace and a method by Micro's
// rule. The path has at least one part.
func MicroPath(namespace string, parts []string) (service, method string) {
	n := len(parts)
	switch {
	case n <= 2:
		return joinName(namespace, parts[:max(1, n-1)]), titled(parts)
	case n == 3 && isVersion(parts[0]):
		return joinName(namespace, parts[:2]), titled(parts[1:])
	}
	return joinName(namespace, parts[:n-2]), titled(parts[n-2:])
}

// AppPath maps a path to a service that is reached by HTTP, by the rule of
// Micro's proxy: the first part, or the first two if there is a version.
func AppPath(namespace string, parts []string) (service string, ok bool) {
	if len(parts) == 0 {
		return "", false
	}
	own := parts[:1]
	if isVersion(parts[0]) && len(parts) > 1 {
		own = parts[:2]
	}
	for _, part := range own {
		if !isAlias(part) {
			return "", false
		}
	}
	return joinName(namespace, own), true
}

// TopicPath maps a path to a topic and the name of an event by Micro's rule.
func TopicPath(namespace string, parts []string) (topic, event string) {
	switch {
	case len(parts) == 0:
		return namespace, "event"
	case isVersion(parts[0]) && len(parts) > 1:
		return joinName(namespace, parts[:2]), strings.Join(parts[1:], ".")
	}
	return joinName(namespace, parts[:1]), strings.Join(parts[1:], ".")
}

func joinName(namespace string, parts []string) string {
	return namespace + "." + strings.Join(parts, ".")
}

// titled makes the parts of a method of parts of a path: each begins with a
// capital, and what follows a hyphen does too.
func titled(parts []string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		upper := true
		for _, c := range []byte(part) {
			if c == '-' {
				upper = true
				continue
			}
			if upper && 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			upper = false
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isVersion reports whether a part is v and a number.
func isVersion(part string) bool {
	digits, ok := strings.CutPrefix(part, "v")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// isAlias reports whether a part may name an app: letters and digits, and
// hyphens inside.
func isAlias(part string) bool {
	if part == "" || part[0] == '-' || part[len(part)-1] == '-' {
		return false
	}
	for _, c := range []byte(part) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
