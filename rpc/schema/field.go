package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is one key that encoding/json writes for a struct.
type field struct {
	name   string
	sf     reflect.StructField
	index  []int
	tagged bool // the name comes from the tag
	quoted bool // ,string
	omit   []string
}

func (b *builder) structure(t reflect.Type, path string) (*object, error) {
	node := newObject("type", "object")
	props := newObject()
	for _, f := range fieldsOf(t) {
		if f.sf.Tag.Get("jsonschema") == "-" || neverWritten(f) {
			continue
		}
		at := path + "." + f.sf.Name
		prop, err := b.of(f.sf.Type, at)
		if err != nil {
			return nil, err
		}
		if f.quoted {
			prop = quoted(f.sf.Type, prop)
		}
		prop, err = applyTags(prop, f, node)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		props.set(f.name, prop)
	}
	if len(props.keys) > 0 {
		node.set("properties", props)
	}
	return node, nil
}

// neverWritten tells of a field whose type encoding/json cannot write but whose tag leaves out the only value it may
// have: it is no part of the message.
func neverWritten(f field) bool {
	switch f.sf.Type.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return slices.Contains(f.omit, "omitzero")
	}
	return false
}

// The patterns of what the option ,string makes of whole numbers, other numbers and strings.
const (
	quotedWhole  = "^-?(0|[1-9][0-9]*)$"
	quotedNumber = `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`
	quotedText   = `^".*"$`
)

// quoted describes a value under the option ,string: the JSON text of the value, inside a string.
func quoted(t reflect.Type, prop *object) *object {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if marshalled(t, true) != nil || hasCustom(t) {
		return prop // methods do not know the option
	}
	node := newObject("type", "string")
	for _, key := range []string{"format", "description"} {
		if prop.has(key) {
			node.set(key, prop.vals[key])
		}
	}
	switch {
	case t.Kind() == reflect.Bool:
		node.set("enum", []any{"false", "true"})
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64, t.PkgPath()+"."+t.Name() == "encoding/json.Number":
		node.set("pattern", quotedNumber)
	case t.Kind() == reflect.String:
		node.set("pattern", quotedText)
	default:
		node.set("pattern", quotedWhole)
	}
	if list, ok := prop.vals["type"].([]any); ok && allowsNull(list) {
		return nullable(node)
	}
	return node
}

// fieldsOf lists the keys of a struct as encoding/json chooses them: embedded structs without a name in their tag
// give their fields to the outer one; of fields with the same name the shallowest wins, then the one with a tag;
// if that leaves several, none is written.
func fieldsOf(t reflect.Type) []field {
	type embedded struct {
		t     reflect.Type
		index []int
		twice bool // reached on several ways at one depth: its fields hide each other
	}
	var found []field
	visited := map[reflect.Type]bool{}
	for level := []embedded{{t: t}}; len(level) > 0; {
		var next []embedded
		for _, e := range level {
			visited[e.t] = true
		}
		for _, e := range level {
			for i := range e.t.NumField() {
				f, ok := fieldOf(e.t.Field(i))
				if !ok {
					continue
				}
				f.index = append(slices.Clone(e.index), i)
				inner := f.sf.Type
				if inner.Kind() == reflect.Pointer && inner.Name() == "" {
					inner = inner.Elem()
				}
				if f.tagged || !f.sf.Anonymous || inner.Kind() != reflect.Struct {
					found = append(found, f)
					if e.twice {
						found = append(found, f)
					}
					continue
				}
				if visited[inner] {
					continue
				}
				if n := slices.IndexFunc(next, func(n embedded) bool { return n.t == inner }); n >= 0 {
					next[n].twice = true
					continue
				}
				next = append(next, embedded{t: inner, index: f.index})
			}
		}
		level = next
	}
	return dominant(found)
}

// fieldOf reads one field of a struct; false if encoding/json passes it over.
func fieldOf(sf reflect.StructField) (field, bool) {
	base := sf.Type
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	if !sf.IsExported() && (!sf.Anonymous || base.Kind() != reflect.Struct) {
		return field{}, false
	}
	tag := sf.Tag.Get("json")
	if tag == "-" {
		return field{}, false
	}
	name, rest, _ := strings.Cut(tag, ",")
	f := field{name: sf.Name, sf: sf, omit: strings.Split(rest, ",")}
	if validName(name) {
		f.name, f.tagged = name, true
	}
	if sf.Type.Kind() != reflect.Pointer || sf.Type.Name() != "" {
		base = sf.Type
	}
	f.quoted = slices.Contains(f.omit, "string") &&
		(base.Kind() >= reflect.Bool && base.Kind() <= reflect.Float64 || base.Kind() == reflect.String)
	return f, true
}

// validName is encoding/json's rule for a name in a tag; others are ignored.
func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// dominant drops the fields that others hide and puts the rest in the order they are written.
func dominant(found []field) []field {
	byName := map[string][]field{}
	for _, f := range found {
		byName[f.name] = append(byName[f.name], f)
	}
	better := func(a, b field) int {
		if d := cmp.Compare(len(a.index), len(b.index)); d != 0 {
			return d
		}
		switch {
		case a.tagged && !b.tagged:
			return -1
		case b.tagged && !a.tagged:
			return 1
		}
		return 0
	}
	var out []field
	for _, same := range byName {
		slices.SortStableFunc(same, better)
		if len(same) == 1 || better(same[0], same[1]) != 0 {
			out = append(out, same[0])
		}
	}
	slices.SortFunc(out, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return out
}
