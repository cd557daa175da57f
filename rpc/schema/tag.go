package schema

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"
)

// applyTags adds what the tags jsonschema, jsonschema_description and jsonschema_extras of a field say to its schema and
// to that of the struct around it. The grammar is that of github.com/invopop/jsonschema, which reads the tags here.
func applyTags(prop *object, f field, parent *object) (*object, error) {
	if !hasTags(f.sf.Tag) {
		return prop, nil
	}
	said, err := readTags(f, stand(prop, 0))
	if err != nil {
		return nil, fmt.Errorf("jsonschema tag: %w", err)
	}
	own := newObject()
	if props := said.child("properties"); props != nil && props.child(f.name) != nil {
		own = props.child(f.name)
	}
	if pair := own.list("oneOf"); len(pair) == 2 && allowsNull(pair[1:]) && len(own.keys) == 1 {
		if inner, ok := pair[0].(*object); ok { // the tag "nullable"
			own, prop = inner, nullable(prop)
		}
	}
	if key := linkIn(own); key != "" {
		return nil, fmt.Errorf("jsonschema tag: %s cannot be set from a tag: types give the references", key)
	}
	prop = merge(prop, own)
	if err := checkSchema(prop); err != nil {
		return nil, fmt.Errorf("jsonschema tag: %w", err)
	}
	for _, key := range []string{"required", "oneOf", "anyOf"} {
		if list := said.list(key); len(list) > 0 {
			parent.set(key, addAlternatives(parent.list(key), list))
		}
	}
	return prop, nil
}

func hasTags(tag reflect.StructTag) bool {
	for _, key := range []string{"jsonschema", "jsonschema_description", "jsonschema_extras"} {
		if _, ok := tag.Lookup(key); ok {
			return true
		}
	}
	return false
}

// stand is a plain type that has the same type in JSON as prop: which keywords a tag may set depends on it.
func stand(prop *object, depth int) reflect.Type {
	if d, ok := prop.vals["$ref"].(*def); ok && d.node != nil && depth < 2 {
		return stand(d.node, depth+1)
	}
	switch natural(prop) {
	case "string":
		return reflect.TypeFor[string]()
	case "integer":
		return reflect.TypeFor[int64]()
	case "number":
		return reflect.TypeFor[float64]()
	case "boolean":
		return reflect.TypeFor[bool]()
	case "array":
		if items := prop.child("items"); items != nil && depth < 2 {
			return reflect.SliceOf(stand(items, depth+1))
		}
		return reflect.TypeFor[[]any]()
	}
	return reflect.TypeFor[any]()
}

// readTags lets the library describe a struct with one field: the stand-in, under the tags of f.
func readTags(f field, stand reflect.Type) (node *object, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("it does not fit the type of the field")
		}
	}()
	tag := `json:"` + f.name + `"`
	for _, key := range []string{"jsonschema", "jsonschema_description", "jsonschema_extras"} {
		if v, ok := f.sf.Tag.Lookup(key); ok {
			tag += fmt.Sprintf(" %s:%q", key, v)
		}
	}
	t := reflect.StructOf([]reflect.StructField{{Name: "F", Type: stand, Tag: reflect.StructTag(tag)}})
	r := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true,
		AllowAdditionalProperties: true, RequiredFromJSONSchemaTags: true,
	}
	raw, err := r.ReflectFromType(t).MarshalJSON()
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(raw)
	if err != nil {
		return nil, err
	}
	node, ok := v.(*object)
	if !ok {
		return newObject(), nil
	}
	return node, nil
}

// merge puts the keywords of own, read from tags, over those of prop. A type that the tag did not change stays what it
// was, null included.
func merge(prop, own *object) *object {
	null := isNullable(prop)
	retyped := own.has("type") && own.text("type") != natural(prop)
	if retyped { // the tag knows better than the type: what described the type goes
		for _, key := range []string{"$ref", "anyOf", "format", "items", "properties", "additionalProperties", "minimum", "maximum"} {
			prop.drop(key)
		}
		prop.set("type", own.text("type"))
	}
	for _, key := range own.keys {
		val := own.vals[key]
		switch key {
		case "type":
		case "items":
			inner, ok := val.(*object)
			if !ok || retyped {
				continue
			}
			if items := prop.child("items"); items != nil {
				prop.set("items", merge(items, inner))
			} else if inner.drop("type"); len(inner.keys) > 0 {
				prop.set("items", inner) // beside a reference: both hold
			}
		case "oneOf", "anyOf":
			prop.drop("type")
			prop.drop("format")
			prop.drop("$ref")
			prop.set(key, val)
		default:
			prop.set(key, val)
		}
	}
	if null {
		return nullable(prop)
	}
	return prop
}

// natural is the one type beside null that prop says, through a reference too; "" if it says none.
func natural(prop *object) string {
	if d, ok := prop.vals["$ref"].(*def); ok && d.node != nil && !prop.has("type") {
		prop = d.node
	}
	switch typ := prop.vals["type"].(type) {
	case string:
		return typ
	case []any:
		s, _ := typ[0].(string)
		return s
	}
	return ""
}

// isNullable tells whether prop allows null beside one type.
func isNullable(prop *object) bool {
	list := prop.list("type")
	return len(list) == 2 && allowsNull(list) || allowsNull(prop.list("anyOf"))
}

// addAlternatives appends entries of a list of the struct. Groups with the same title (oneof_required=group on several
// fields) are one alternative that requires all of their fields.
func addAlternatives(have, more []any) []any {
	for _, m := range more {
		group, ok := m.(*object)
		merged := false
		for _, h := range have {
			old, isObject := h.(*object)
			if ok && isObject && old.text("title") == group.text("title") {
				old.set("required", append(old.list("required"), group.list("required")...))
				merged = true
			}
		}
		if !merged {
			have = append(have, m)
		}
	}
	return have
}
