package mcp

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxName is the longest name of a tool that all clients take.
	maxName = 64
	// hashed is how many letters of a hash end a name that was too long.
	hashed = 12
)

// toolName is the name of a method's tool. Services and methods are escaped as on
// the bus, where a name neither begins nor ends with "_" and has no run of three:
// so "___" between them leaves no doubt which is which.
func toolName(service, method string) string {
	name := wire.Escape(service) + "___" + wire.Escape(method)
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	end := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashed]
	return name[:maxName-hashed-1] + "_" + end
}

// A pattern is "SERVICE", or "SERVICE/METHOD", where "*" stands for any letters.
type pattern struct{ service, method string }

func parsePattern(text string) (pattern, error) {
	service, method, both := strings.Cut(text, "/")
	if !both {
		method = "*"
	}
	if service == "" || method == "" || strings.ContainsAny(text, " \t") || strings.Contains(method, "/") {
		return pattern{}, bus.Errorf(bus.InvalidArgument, "the pattern %q is no SERVICE/METHOD, such as go.micro.srv.*/Say.*", text)
	}
	return pattern{service, method}, nil
}

func (p pattern) matches(service, method string) bool {
	return glob(p.service, service) && glob(p.method, method)
}

// glob reports whether text is what pattern says, where "*" is any letters. It
// takes time in proportion to the product of both lengths at most.
func glob(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(part):], more
	}
}
