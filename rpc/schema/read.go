package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// reader looks things up in a schema document that may come from anyone: it is bounded in every direction.
type reader struct {
	root   any
	path   []*object // the objects being expanded, from the root: what is met again is recursion
	budget int       // parts still to be looked at
	bytes  int       // text still to be copied
}

// The bounds of one reading. A schema is short, what it stands for may be endless.
const (
	maxParts = 8192
	maxText  = 64 << 10
	maxRef   = 512
	maxAlts  = 64
)

func parseSchema(body []byte) (any, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("schema: body of %d bytes is over the limit of %d", len(body), MaxBody)
	}
	v, err := parseJSON(body)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	switch v.(type) {
	case *object, bool:
		return v, nil
	}
	return nil, errors.New("schema: a schema is a JSON object or a boolean")
}

func newReader(body []byte) (*reader, error) {
	v, err := parseSchema(body)
	if err != nil {
		return nil, err
	}
	return &reader{root: v, budget: maxParts, bytes: maxText}, nil
}

// view is a schema with its references followed.
type view struct {
	node        *object // never nil
	name        string  // of the definition it was reached through
	description string
	typ         string // the first type that is not null, "" if any
	null        bool   // null is allowed beside typ
}

// view follows references and steps over "or null".
func (r *reader) view(v any) view {
	out := view{node: newObject()}
	for range 16 {
		node, ok := v.(*object)
		if !ok {
			return out
		}
		out.node = node
		if out.description == "" {
			out.description = node.text("description")
		}
		if ref := node.text("$ref"); ref != "" {
			v = r.resolve(ref)
			out.name = ref[strings.LastIndexByte(ref, '/')+1:]
			if ref == "#" {
				out.name = ""
			}
			continue
		}
		if next := branch(node, &out); next != nil {
			v = next
			continue
		}
		break
	}
	out.typ = typeOf(out.node, &out.null)
	if out.name == "" {
		out.name = out.node.text("title")
	}
	return out
}

// branch chooses the first alternative that is not null, unless the node has a type of its own.
func branch(node *object, out *view) any {
	if node.has("type") || node.has("properties") || node.has("enum") {
		return nil
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		var chosen any
		for _, alt := range first(node.list(key)) {
			if o, ok := alt.(*object); ok && o.text("type") == "null" {
				out.null = true
				continue
			}
			if chosen == nil {
				chosen = alt
			}
		}
		if chosen != nil {
			return chosen
		}
	}
	return nil
}

// first is the part of a list that is looked at.
func first(list []any) []any {
	return list[:min(len(list), maxAlts)]
}

func typeOf(node *object, null *bool) string {
	typ := node.text("type")
	for _, t := range first(node.list("type")) {
		switch s, _ := t.(string); {
		case s == "null":
			*null = true
		case typ == "":
			typ = s
		}
	}
	switch {
	case typ != "":
	case node.has("properties"):
		typ = "object"
	case node.has("items"):
		typ = "array"
	}
	return typ
}

// resolve follows a reference inside the document. Others are never fetched: they are "any value".
func (r *reader) resolve(ref string) any {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok || len(ref) > maxRef {
		return nil
	}
	at := r.root
	for i, tok := range strings.Split(rest, "/") {
		if i == 0 {
			if tok != "" {
				return nil // an anchor
			}
			continue
		}
		tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
		switch v := at.(type) {
		case *object:
			at = v.vals[tok]
		case []any:
			n, err := strconv.Atoi(tok)
			if err != nil || n < 0 || n >= len(v) {
				return nil
			}
			at = v[n]
		default:
			return nil
		}
	}
	return at
}

// spend takes a part and some text from what is left; false if there has been enough.
func (r *reader) spend(text int) bool {
	r.budget--
	r.bytes -= text
	return r.budget >= 0 && r.bytes >= 0
}

// enter marks node as being expanded; false if it already is, or if there has been enough.
func (r *reader) enter(node *object) bool {
	if !r.spend(0) || len(r.path) >= 32 || slices.Contains(r.path, node) {
		return false
	}
	r.path = append(r.path, node)
	return true
}

func (r *reader) leave() {
	r.path = r.path[:len(r.path)-1]
}

// count reads a keyword that is a small whole number.
func (o *object) count(key string) int {
	n, ok := o.vals[key].(json.Number)
	if !ok {
		return 0
	}
	i, err := strconv.Atoi(n.String())
	if err != nil {
		return 0
	}
	return max(i, 0)
}

// bound reads a keyword that is a number.
func (o *object) bound(key string) *big.Rat {
	n, ok := number(o.vals[key])
	if !ok {
		return nil
	}
	return n
}
