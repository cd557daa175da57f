package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/bus/codec"
)

// valueDepth is how many levels of a message a Value shows, as Micro did.
const valueDepth = 3

const (
	maxSchema     = 128 << 10 // bytes of a schema that is read
	maxValues     = 10_000    // parts of one message
	maxReferences = 16        // from one to the next
)

// A Value describes a message or a part of one in Micro's words: a name, the
// name of a type, and the parts.
type Value struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Values []Value `json:"values"`
}

// ValueOf turns a JSON Schema into the Value that describes the same message,
// three levels deep. Parts that JSON Schema says more about than Micro could
// are shown by the name of their type. A body that is no schema, or one larger
// than 128 KiB, is an empty Value; after 10,000 parts the rest is left out.
func ValueOf(schema json.RawMessage) Value {
	d := describer{left: maxValues}
	if len(schema) > maxSchema || codec.Guard(codec.JSON, schema) != nil || json.Unmarshal(schema, &d.root) != nil {
		return Value{Values: []Value{}}
	}
	return d.value(&d.root, "", 0)
}

// A node is the part of a JSON Schema that Micro's Values can show.
type node struct {
	Ref        string          `json:"$ref"`
	Defs       map[string]node `json:"$defs"`
	Title      string          `json:"title"`
	Type       typeNames       `json:"type"`
	Format     string          `json:"format"`
	Encoding   string          `json:"contentEncoding"`
	Properties fields          `json:"properties"`
	Items      *node           `json:"items"`
	Additional *additional     `json:"additionalProperties"`
	AnyOf      []node          `json:"anyOf"`
	OneOf      []node          `json:"oneOf"`
}

// A describer walks one schema.
type describer struct {
	root node
	left int // of maxValues
}

// value describes n at a level of the message. name is the field's; the message
// itself goes by the name of its type.
func (d *describer) value(n *node, name string, level int) Value {
	d.left--
	n, typeName := d.resolve(n)
	v := Value{Name: name, Type: d.typeName(n, typeName, 0), Values: []Value{}}
	if v.Name == "" {
		v.Name = v.Type
	}
	if level+1 >= valueDepth {
		return v
	}
	if n.Items != nil {
		if elem, _ := d.resolve(n.Items); len(elem.Properties) > 0 && d.left > 0 {
			v.Values = append(v.Values, d.value(n.Items, "", level+1))
		}
		return v
	}
	for i := range n.Properties {
		if d.left <= 0 {
			break
		}
		v.Values = append(v.Values, d.value(&n.Properties[i].node, n.Properties[i].name, level+1))
	}
	return v
}

// resolve follows references and looks through "this or null". Only references
// into the schema's own $defs exist in what services serve.
func (d *describer) resolve(n *node) (*node, string) {
	name := ""
	for range maxReferences { // a circle of references ends here
		if def, ok := strings.CutPrefix(n.Ref, "#/$defs/"); ok {
			target, ok := d.root.Defs[def]
			if !ok {
				break
			}
			n, name = &target, def
			continue
		}
		if n.Ref == "#" {
			n = &d.root
			continue
		}
		one := n.only()
		if one == nil {
			break
		}
		n = one
	}
	return n, name
}

// only returns the one alternative of n that is not null.
func (n *node) only() *node {
	var found *node
	for _, list := range [][]node{n.AnyOf, n.OneOf} {
		for i := range list {
			if slices.Equal(list[i].Type, typeNames{"null"}) {
				continue
			}
			if found != nil {
				return nil
			}
			found = &list[i]
		}
	}
	return found
}

// typeName is the Go-like name that Micro showed. around counts the arrays and
// maps around n: a type may be an array of itself.
func (d *describer) typeName(n *node, name string, around int) string {
	inner := func(n *node) string {
		if around >= valueDepth {
			return "any"
		}
		elem, elemName := d.resolve(n)
		return d.typeName(elem, elemName, around+1)
	}
	if n.Title != "" {
		name = n.Title
	}
	if slices.Contains(n.Type, "integer") && len(n.Format) <= 6 && strings.Contains(n.Format, "int") {
		return n.Format // protobuf writes its 64-bit integers as text as well
	}
	switch n.Type.first() {
	case "string":
		if n.Encoding == "base64" {
			return "[]uint8"
		}
		return "string"
	case "boolean":
		return "bool"
	case "integer":
		return "int64"
	case "number":
		if n.Format == "float" || n.Format == "float32" {
			return "float32"
		}
		return "float64"
	case "array":
		if n.Items == nil {
			return "[]any"
		}
		return "[]" + inner(n.Items)
	case "object":
		if len(n.Properties) == 0 && n.Additional != nil && n.Additional.schema != nil {
			return "map[string]" + inner(n.Additional.schema)
		}
		return orElse(name, "object")
	}
	return orElse(name, "any")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// depth counts the levels of v.
func (v *Value) depth() int {
	if v == nil {
		return 0
	}
	deepest := 0
	for i := range v.Values {
		deepest = max(deepest, v.Values[i].depth())
	}
	return deepest + 1
}

func (v *Value) equal(o *Value) bool {
	if v == nil || o == nil {
		return v == o
	}
	return v.Name == o.Name && v.Type == o.Type &&
		slices.EqualFunc(v.Values, o.Values, func(a, b Value) bool { return a.equal(&b) })
}

// typeNames reads "type": "x" and "type": ["x", "null"].
type typeNames []string

func (t *typeNames) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = typeNames{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

func (t typeNames) first() string {
	for _, name := range t {
		if name != "null" {
			return name
		}
	}
	return ""
}

// additional reads a schema, or a boolean that stands for one.
type additional struct{ schema *node }

func (a *additional) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "false":
		return nil
	case "true":
		a.schema = &node{}
		return nil
	}
	a.schema = &node{}
	return json.Unmarshal(data, a.schema)
}

// fields keeps the properties in the order that the schema lists them in,
// which is that of the struct they come from.
type fields []field

type field struct {
	name string
	node node
}

func (f *fields) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("properties: not an object")
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		var p field
		p.name, _ = t.(string) // the key of an object is a string
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		if raw[0] == '{' { // true, the schema that says nothing, is the zero node
			if err := json.Unmarshal(raw, &p.node); err != nil {
				return err
			}
		}
		*f = append(*f, p)
	}
	return nil
}

// count counts the parts of v, itself included.
func (v *Value) count() int {
	if v == nil {
		return 0
	}
	n := 1
	for i := range v.Values {
		n += v.Values[i].count()
	}
	return n
}
