package schema

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"
)

// describer is a type that knows its own schema, as github.com/invopop/jsonschema defines it.
type describer interface {
	JSONSchema() *jsonschema.Schema
}

func hasCustom(t reflect.Type) bool {
	node, err := custom(t, "")
	return node != nil || err != nil
}

// custom is the schema that t gives itself, nil if it does not.
func custom(t reflect.Type, path string) (*object, error) {
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer || !reflect.PointerTo(t).Implements(reflect.TypeFor[describer]()) {
		return nil, nil
	}
	raw, err := callJSONSchema(t)
	if promoted(t, raw, err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	v, err := parseJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %s.JSONSchema: %w", path, t, err)
	}
	node, ok := v.(*object)
	switch {
	case v == true:
		return newObject(), nil
	case !ok:
		return newObject("not", newObject()), nil
	}
	node.drop("$schema")
	if key := linkIn(node); key != "" {
		return nil, fmt.Errorf("%s: %s.JSONSchema uses %s: return a schema that stands alone, as a jsonschema.Reflector with Anonymous, ExpandedStruct and DoNotReference makes", path, t, key)
	}
	if err := checkSchema(node); err != nil {
		return nil, fmt.Errorf("%s: %s.JSONSchema: %w", path, t, err)
	}
	return node, nil
}

func callJSONSchema(t reflect.Type) (raw []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s.JSONSchema panicked on a zero value: %v", t, p)
		}
	}()
	s := reflect.New(t).Interface().(describer).JSONSchema()
	if s == nil {
		return []byte("true"), nil
	}
	return s.MarshalJSON()
}

// promoted tells that t has JSONSchema only because it embeds a type with that method. Reflection cannot say so, but
// then the two give the same schema, or the call fails on a nil embedded pointer.
func promoted(t reflect.Type, raw []byte, err error) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		base := sf.Type
		if base.Kind() == reflect.Pointer {
			base = base.Elem()
		}
		if !sf.Anonymous || !reflect.PointerTo(base).Implements(reflect.TypeFor[describer]()) && !base.Implements(reflect.TypeFor[describer]()) {
			continue
		}
		if err != nil || base.Kind() == reflect.Interface {
			return true
		}
		if inner, innerErr := callJSONSchema(base); innerErr == nil && bytes.Equal(inner, raw) {
			return true
		}
	}
	return false
}

// linkIn finds a keyword that only has a meaning inside the document it was written for.
func linkIn(v any) string {
	switch v := v.(type) {
	case *object:
		for _, k := range v.keys {
			if slices.Contains([]string{"$id", "$anchor", "$dynamicAnchor", "$ref", "$dynamicRef", "$defs"}, k) {
				return k
			}
			if found := linkIn(v.vals[k]); found != "" {
				return found
			}
		}
	case []any:
		for _, e := range v {
			if found := linkIn(e); found != "" {
				return found
			}
		}
	}
	return ""
}
