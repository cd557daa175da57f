package schema

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
)

// Skeleton is an example of a value that fits a schema: a request to start from. Every property is there; lists have
// one element; a const, example, default or the first value of an enumeration is used where there is one; a type that
// contains itself is cut there. Patterns are not understood: what they ask for stays "".
//
// The body may come from anyone: the work and the size of the answer are bounded (what comes after 8192 values or 64 KiB
// of names and given values is null or left out), and references that leave the document are never followed. The error says why the body is no schema.
func Skeleton(body json.RawMessage) (json.RawMessage, error) {
	r, err := newReader(body)
	if err != nil {
		return nil, err
	}
	return appendValue(nil, r.example(r.root)), nil
}

func (r *reader) example(v any) any {
	if !r.spend(0) {
		return nil
	}
	w := r.view(v)
	if val, ok := given(v, w.node); ok {
		if !r.spend(len(appendValue(nil, val))) {
			return nil
		}
		return val
	}
	switch w.typ {
	case "object":
		return r.exampleObject(w)
	case "array":
		return r.exampleArray(w)
	case "string":
		return exampleString(w.node)
	case "integer", "number":
		return exampleNumber(w.node, w.typ == "integer")
	case "boolean":
		return false
	}
	return nil
}

// given is a value that the author of the schema chose, beside a reference or where it leads.
func given(v any, node *object) (any, bool) {
	outer, ok := v.(*object)
	if !ok {
		return nil, false
	}
	for _, o := range []*object{outer, node} {
		if val, ok := o.vals["const"]; ok {
			return val, true
		}
		if list := o.list("examples"); len(list) > 0 {
			return list[0], true
		}
		if val, ok := o.vals["default"]; ok {
			return val, true
		}
		if list := o.list("enum"); len(list) > 0 {
			return list[0], true
		}
	}
	return nil, false
}

func (r *reader) exampleObject(w view) any {
	if !r.enter(w.node) {
		if w.null {
			return nil
		}
		return newObject()
	}
	defer r.leave()
	out := newObject()
	if props := w.node.child("properties"); props != nil {
		for _, name := range props.keys {
			if !r.spend(len(name)) {
				break
			}
			out.set(name, r.example(props.vals[name]))
		}
	}
	return out
}

func (r *reader) exampleArray(w view) any {
	items, ok := w.node.vals["items"]
	if !ok {
		return []any{}
	}
	want := min(max(w.node.count("minItems"), 1), 16)
	if w.node.has("maxItems") {
		want = min(want, w.node.count("maxItems"))
	}
	if !r.enter(w.node) {
		if w.null {
			return nil
		}
		return []any{}
	}
	defer r.leave()
	if inner := r.view(items); want > 0 && slices.Contains(r.path, inner.node) && w.node.count("minItems") == 0 {
		return []any{} // a list of what contains it: nothing more to see
	}
	out := []any{}
	for range want {
		out = append(out, r.example(items))
	}
	return out
}

func exampleString(node *object) any {
	switch format := node.text("format"); {
	case format == "date-time":
		return "2006-01-02T15:04:05Z"
	case format == "date":
		return "2006-01-02"
	case format == "time":
		return "15:04:05Z"
	case format == "duration":
		return "PT1S"
	case format == "email":
		return "user@example.com"
	case format == "hostname":
		return "example.com"
	case format == "ipv4":
		return "192.0.2.1"
	case format == "ipv6":
		return "2001:db8::1"
	case format == "uri", format == "iri", format == "uri-reference":
		return "https://example.com/"
	case format == "uuid":
		return "00000000-0000-0000-0000-000000000000"
	case node.text("pattern") == quotedWhole, node.text("pattern") == quotedNumber:
		return "0"
	case node.text("pattern") == quotedText:
		return `""`
	case strings.HasPrefix(strings.TrimPrefix(format, "u"), "int"): // protojson's 64-bit integers
		return "0"
	case node.text("contentEncoding") == "base64":
		return strings.Repeat("AAAA", (min(node.count("minLength"), 64)+3)/4)
	}
	return strings.Repeat("x", min(node.count("minLength"), 64))
}

// exampleNumber is the number nearest to zero within the bounds.
func exampleNumber(node *object, whole bool) any {
	n, one := new(big.Rat), big.NewRat(1, 1)
	if lo := node.bound("minimum"); lo != nil && n.Cmp(lo) < 0 {
		n = lo
	}
	if lo := node.bound("exclusiveMinimum"); lo != nil && n.Cmp(lo) <= 0 {
		n = new(big.Rat).Add(lo, one)
	}
	if hi := node.bound("maximum"); hi != nil && n.Cmp(hi) > 0 {
		n = hi
	}
	if hi := node.bound("exclusiveMaximum"); hi != nil && n.Cmp(hi) >= 0 {
		n = new(big.Rat).Sub(hi, one)
	}
	if whole && !n.IsInt() {
		// A positive n is a lower bound and a negative one an upper bound: away from zero is inside.
		i := new(big.Int).Quo(n.Num(), n.Denom())
		return json.Number(i.Add(i, big.NewInt(int64(n.Sign()))).String())
	}
	if n.IsInt() {
		return json.Number(n.Num().String())
	}
	f, _ := n.Float64()
	text, err := json.Marshal(f)
	if err != nil {
		return json.Number("0")
	}
	return json.Number(text)
}
