package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// shape is what a keyword of JSON Schema 2020-12 has as its value.
type shape uint8

const (
	shapeAny shape = iota
	shapeString
	shapeType
	shapeCount
	shapeNumber
	shapeBool
	shapeList
	shapeStrings
	shapeStringsMap
	shapeSchema
	shapeSchemas
	shapeSchemaMap
)

func shapeOf(keyword string) shape {
	switch keyword {
	case "$schema", "$id", "$anchor", "$ref", "$dynamicRef", "$dynamicAnchor", "$comment", "title", "description",
		"format", "pattern", "contentEncoding", "contentMediaType":
		return shapeString
	case "type":
		return shapeType
	case "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties":
		return shapeCount
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		return shapeNumber
	case "deprecated", "readOnly", "writeOnly", "uniqueItems":
		return shapeBool
	case "enum", "examples":
		return shapeList
	case "required":
		return shapeStrings
	case "dependentRequired":
		return shapeStringsMap
	case "items", "additionalProperties", "propertyNames", "not", "if", "then", "else", "contains", "contentSchema",
		"unevaluatedItems", "unevaluatedProperties":
		return shapeSchema
	case "allOf", "anyOf", "oneOf", "prefixItems":
		return shapeSchemas
	case "properties", "patternProperties", "dependentSchemas", "$defs":
		return shapeSchemaMap
	}
	return shapeAny
}

// rank orders the keywords of one schema the way people read them; equal types have equal bytes because of it.
func rank(keyword string) int {
	order := [...]string{
		"$schema", "$ref", "title", "description", "type", "format", "contentEncoding", "contentMediaType", "pattern",
		"const", "enum", "default", "examples", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum",
		"multipleOf", "minLength", "maxLength", "items", "prefixItems", "minItems", "maxItems", "uniqueItems",
		"properties", "required", "propertyNames", "additionalProperties", "anyOf", "oneOf", "allOf", "not",
	}
	switch i := slices.Index(order[:], keyword); {
	case i >= 0:
		return i
	case keyword == "$defs":
		return len(order) + 1
	default:
		return len(order)
	}
}

// appendSchema writes a schema in its canonical bytes: keywords by rank, then by name; properties as declared;
// definitions by name; no blanks.
func appendSchema(dst []byte, v any) []byte {
	o, ok := v.(*object)
	if !ok {
		if v == true {
			return append(dst, "{}"...) // the same schema, and what most tools expect
		}
		return appendValue(dst, v)
	}
	keys := slices.Clone(o.keys)
	slices.SortStableFunc(keys, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, k), ':')
		dst = appendKeyword(dst, k, o.vals[k])
	}
	return append(dst, '}')
}

func appendKeyword(dst []byte, key string, val any) []byte {
	switch sh := shapeOf(key); {
	case sh == shapeSchema:
		return appendSchema(dst, val)
	case sh == shapeSchemas:
		dst = append(dst, '[')
		for i, s := range val.([]any) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendSchema(dst, s)
		}
		return append(dst, ']')
	case sh == shapeSchemaMap:
		m := val.(*object)
		names := m.keys
		if key != "properties" {
			names = slices.Sorted(maps.Keys(m.vals))
		}
		dst = append(dst, '{')
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, name), ':')
			dst = appendSchema(dst, m.vals[name])
		}
		return append(dst, '}')
	}
	return appendValue(dst, val)
}

// checkSchema refuses what no validator would compile. Schemas from types need no check; tags and JSONSchema methods do.
func checkSchema(v any) error {
	o, ok := v.(*object)
	if !ok {
		if _, ok := v.(bool); !ok {
			return fmt.Errorf("a schema is an object or a boolean, not %s", appendValue(nil, v))
		}
		return nil
	}
	for _, k := range o.keys {
		if err := checkKeyword(k, o.vals[k]); err != nil {
			return err
		}
	}
	return nil
}

func checkKeyword(key string, val any) error {
	bad := func(want string) error {
		return fmt.Errorf("%s must be %s, not %s", key, want, appendValue(nil, val))
	}
	switch shapeOf(key) {
	case shapeString:
		if _, ok := val.(*def); ok {
			return nil // a reference of ours
		}
		s, ok := val.(string)
		if !ok {
			return bad("a string")
		}
		if key == "pattern" {
			return checkPattern(s)
		}
	case shapeType:
		return checkType(val)
	case shapeCount:
		if n, ok := number(val); !ok || !n.IsInt() || n.Sign() < 0 {
			return bad("a whole number")
		}
	case shapeNumber:
		if n, ok := number(val); !ok || (key == "multipleOf" && n.Sign() <= 0) {
			return bad("a number (multipleOf above zero)")
		}
	case shapeBool:
		if _, ok := val.(bool); !ok {
			return bad("true or false")
		}
	case shapeList:
		if _, ok := val.([]any); !ok {
			return bad("a list")
		}
	case shapeStrings:
		if !isStrings(val) {
			return bad("a list of different strings")
		}
	case shapeStringsMap:
		m, ok := val.(*object)
		if !ok || slices.ContainsFunc(m.keys, func(k string) bool { return !isStrings(m.vals[k]) }) {
			return bad("an object of lists of strings")
		}
	case shapeSchema:
		return checkSchema(val)
	case shapeSchemas:
		list, ok := val.([]any)
		if !ok || len(list) == 0 {
			return bad("a list of schemas")
		}
		for _, s := range list {
			if err := checkSchema(s); err != nil {
				return err
			}
		}
	case shapeSchemaMap:
		return checkSchemaMap(key, val)
	}
	return nil
}

func checkSchemaMap(key string, val any) error {
	m, ok := val.(*object)
	if !ok {
		return fmt.Errorf("%s must be an object of schemas, not %s", key, appendValue(nil, val))
	}
	for _, k := range m.keys {
		if key == "patternProperties" {
			if err := checkPattern(k); err != nil {
				return err
			}
		}
		if err := checkSchema(m.vals[k]); err != nil {
			return err
		}
	}
	return nil
}

func checkPattern(s string) error {
	if _, err := regexp.Compile(s); err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	return nil
}

func checkType(val any) error {
	list, ok := val.([]any)
	if !ok {
		list = []any{val}
	}
	seen := map[any]bool{}
	for _, t := range list {
		switch t {
		case "array", "boolean", "integer", "null", "number", "object", "string":
		default:
			return fmt.Errorf("type %s is unknown: array, boolean, integer, null, number, object and string exist", appendValue(nil, t))
		}
		if seen[t] {
			return fmt.Errorf("type %s is named twice", t)
		}
		seen[t] = true
	}
	return nil
}

func isStrings(val any) bool {
	list, ok := val.([]any)
	seen := map[string]bool{}
	for _, v := range list {
		s, isString := v.(string)
		ok = ok && isString && !seen[s]
		seen[s] = true
	}
	return ok
}

// number reads a JSON number exactly. Numbers too long to be meant are refused: 1e999999 takes megabytes to hold.
func number(v any) (*big.Rat, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > 64 {
		return nil, false
	}
	if _, exp, ok := strings.Cut(strings.ToLower(n.String()), "e"); ok && len(exp) > 4 {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}
