package schema

import (
	"encoding/json"
	"slices"
	"strings"
)

// Field is one line of the listing of a schema.
type Field struct {
	// Name is the key; Path leads to it from the message: "order.items[].price", "labels{}".
	Name, Path string
	// Depth is 0 for the keys of the message itself. The fields that follow with a greater depth belong to this one.
	Depth int
	// Type is a word in Go's spelling: string, bool, int64, float64, bytes, time, any, the name of a type, and
	// []T and map[string]T of these.
	Type string
	// Required tells that the key must be there, Nullable that null is a value.
	Required, Nullable bool
	// Description is the author's text, "" without one.
	Description string
	// Enum is the values that are possible, as JSON; nil if they are not listed. All fields together list 64 KiB.
	Enum []json.RawMessage
}

// MaxFields bounds what Fields lists; the rest is left out.
const MaxFields = 1024

// maxPath bounds Field.Path, in bytes: what lies deeper is left out. maxWord bounds the name of a type.
const (
	maxPath = 1024
	maxWord = 128
)

// Fields lists the keys of an object schema in the order they are declared, each followed by those inside it: through
// lists and maps to their elements, but not again into a type that is being listed. A schema of something else than
// an object has no fields, unless its elements have.
//
// The body may come from anyone; the work is bounded. The error says why it is no schema.
func Fields(body json.RawMessage) ([]Field, error) {
	r, err := newReader(body)
	if err != nil {
		return nil, err
	}
	var out []Field
	r.fields(&out, r.root, "", 0)
	return out, nil
}

func (r *reader) fields(out *[]Field, v any, path string, depth int) {
	v, path = r.element(v, path)
	w := r.view(v)
	props := w.node.child("properties")
	if props == nil || !r.enter(w.node) {
		return
	}
	defer r.leave()
	for _, name := range props.keys {
		if len(*out) >= MaxFields || !r.spend(0) {
			return
		}
		if len(path)+len(name) > maxPath {
			continue
		}
		prop := props.vals[name]
		p := r.view(prop)
		f := Field{
			Name: name, Path: strings.TrimPrefix(path+"."+name, "."), Depth: depth,
			Type: r.word(prop, nil), Nullable: p.null, Description: p.description,
			Required: slices.Contains(w.node.list("required"), any(name)),
		}
		for _, e := range p.node.list("enum") {
			val := appendValue(nil, e)
			if len(val) > r.bytes {
				break
			}
			r.bytes -= len(val)
			f.Enum = append(f.Enum, val)
		}
		*out = append(*out, f)
		r.fields(out, prop, f.Path, depth+1)
	}
}

// element steps into lists and maps until something else comes.
func (r *reader) element(v any, path string) (any, string) {
	for range 16 {
		switch w := r.view(v); {
		case w.typ == "array" && w.node.has("items"):
			v, path = w.node.vals["items"], path+"[]"
		case w.typ == "object" && !w.node.has("properties") && w.node.has("additionalProperties"):
			v, path = w.node.vals["additionalProperties"], path+"{}"
		default:
			return v, path
		}
	}
	return true, path
}

// word names the type of a schema. A list or map that contains itself is named where it comes again.
func (r *reader) word(v any, around []*object) string {
	w := r.view(v)
	format := w.node.text("format")
	named := w.name != "" && len(w.name) <= maxWord
	switch {
	case slices.Contains(around, w.node) && named:
		return w.name
	case slices.Contains(around, w.node), len(around) > 8:
		return "any"
	case w.typ == "object" && (w.node.has("properties") || !w.node.has("additionalProperties")):
		if named {
			return w.name
		}
		if w.node.has("properties") {
			return "object"
		}
		return "map[string]any"
	case w.typ == "object":
		return "map[string]" + r.word(w.node.vals["additionalProperties"], append(around, w.node))
	case w.typ == "array":
		return "[]" + r.word(w.node.vals["items"], append(around, w.node))
	case w.typ == "string" && format == "date-time":
		return "time"
	case w.typ == "string" && w.node.text("contentEncoding") == "base64":
		return "bytes"
	case w.typ == "string":
		return "string"
	case w.typ == "boolean":
		return "bool"
	case w.typ == "integer" && len(format) <= 6 && strings.Contains(format, "int"):
		return format
	case w.typ == "integer":
		return "int"
	case w.typ == "number" && format == "float":
		return "float32"
	case w.typ == "number":
		return "float64"
	case w.typ == "null":
		return "null"
	}
	return "any"
}
