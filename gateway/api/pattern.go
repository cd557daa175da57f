package api

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/mbus-dev/mbus/bus"
)

// maxPattern is the most bytes of the path of a route.
const maxPattern = 512

// A pattern is the path of a route: a template such as /users/{id}/files/{rest...},
// or a POSIX regular expression as Micro has them.
type pattern struct {
	text    string
	parts   []segment
	tail    string         // name of what {rest...} takes, "" if there is none
	regular *regexp.Regexp // of what is no template
}

// A segment is one part of a template: text, or a field.
type segment struct {
	text  string
	field bool
}

// parsePattern reads the path of a route. A path with a character that only
// regular expressions have a use for is one.
func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	if len(text) > maxPattern {
		return p, bus.Errorf(bus.InvalidArgument, "the path of %d bytes is over %d", len(text), maxPattern)
	}
	if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, `^$*+?()[]|\`) {
		re, err := regexp.CompilePOSIX(text)
		if err != nil {
			return p, bus.Errorf(bus.InvalidArgument, "the path %q is neither a template nor a regular expression: %w", text, err)
		}
		p.regular = re
		return p, nil
	}
	parts := split(text)
	named := map[string]bool{}
	for i, part := range parts {
		name, isField := strings.CutPrefix(part, "{")
		if !isField {
			if strings.ContainsAny(part, "{}") {
				return p, bus.Errorf(bus.InvalidArgument, "the path %q: a field is a whole part, such as {id}", text)
			}
			p.parts = append(p.parts, segment{text: part})
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		tail, isTail := strings.CutSuffix(name, "...")
		if !closed || !isFieldName(tail) || named[tail] || isTail && i < len(parts)-1 {
			return p, bus.Errorf(bus.InvalidArgument, "the path %q: %s is no field that can be here", text, part)
		}
		named[tail] = true
		if isTail {
			p.tail = tail
			return p, nil
		}
		p.parts = append(p.parts, segment{text: name, field: true})
	}
	return p, nil
}

// split returns the parts of a path that are not empty.
func split(path string) []string {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func isFieldName(s string) bool { return s != "" && strings.Trim(s, nameBytes) == "" }

// match reports whether a path is meant, and the fields in it. path is the same
// as parts, joined.
func (p *pattern) match(path string, parts []string) (map[string]string, bool) {
	if p.regular != nil {
		return nil, p.regular.MatchString(path)
	}
	if len(parts) < len(p.parts) || len(parts) > len(p.parts) && p.tail == "" {
		return nil, false
	}
	for i, s := range p.parts {
		if !s.field && s.text != parts[i] {
			return nil, false
		}
	}
	var fields map[string]string
	set := func(name, value string) {
		if fields == nil {
			fields = make(map[string]string)
		}
		fields[name] = value
	}
	for i, s := range p.parts {
		if s.field {
			set(s.text, parts[i])
		}
	}
	if p.tail != "" {
		set(p.tail, strings.Join(parts[len(p.parts):], "/"))
	}
	return fields, true
}

// closeness orders patterns by how closely they describe a path, the closest
// first: the first part that is text in one and a field in the other decides.
// Those with an open end come later, and regular expressions last.
func (p *pattern) closeness() string {
	if p.regular != nil {
		return fmt.Sprintf("3%04d", maxPattern-len(p.text)) // the longer one says more
	}
	var b strings.Builder
	for _, s := range p.parts {
		if s.field {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	}
	if p.tail != "" {
		b.WriteByte('2')
	}
	return b.String()
}

// shape is the same for two patterns that match the same paths.
func (p *pattern) shape() string {
	if p.regular != nil {
		return p.text
	}
	var b strings.Builder
	for _, s := range p.parts {
		b.WriteByte('/')
		if s.field {
			b.WriteByte('{')
		} else {
			b.WriteString(s.text)
		}
	}
	if p.tail != "" {
		b.WriteString("/...")
	}
	return b.String()
}
