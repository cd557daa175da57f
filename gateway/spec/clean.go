package spec

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// maxLevels is how deep a schema may nest.
const maxLevels = 32

const defsPrefix = "#/$defs/"

// A cleaner makes a schema that is fit for a document from one that anybody may
// have written: it keeps the keywords of draft 2020-12 whose values are what they
// must be, and lets references lead only to definitions of the same schema.
type cleaner struct {
	// at is the reference of a definition in the document.
	at func(def string) string
	// defs are the names of the definitions.
	defs map[string]bool
}

// schema cleans v, a schema or a part of one.
func (c *cleaner) schema(v any, level int) any {
	switch v := v.(type) {
	case bool:
		if v {
			return map[string]any{}
		}
		return map[string]any{"not": map[string]any{}}
	case map[string]any:
		out := make(map[string]any, len(v))
		if level > maxLevels {
			return out
		}
		for key, value := range v {
			if clean, ok := c.keyword(key, value, level); ok {
				out[key] = clean
			}
		}
		return out
	}
	return map[string]any{}
}

func (c *cleaner) keyword(key string, value any, level int) (any, bool) {
	switch key {
	case "$ref":
		return c.reference(value)
	case "type":
		return typeNames(value)
	case "properties", "patternProperties", "dependentSchemas":
		return c.object(value, level)
	case "items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else":
		switch value.(type) {
		case bool:
			if key == "additionalProperties" {
				return value, true
			}
			return c.schema(value, level+1), true
		case map[string]any:
			return c.schema(value, level+1), true
		}
	case "allOf", "anyOf", "oneOf":
		return c.list(value, level)
	case "required":
		return texts(value)
	case "enum":
		list, ok := value.([]any)
		return value, ok && len(list) > 0
	case "const", "default":
		return value, true
	case "examples":
		_, ok := value.([]any)
		return value, ok
	case "title", "description", "format", "contentEncoding", "contentMediaType", "pattern":
		_, ok := value.(string)
		return value, ok
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		_, ok := number(value)
		return value, ok
	case "multipleOf":
		n, ok := number(value)
		return value, ok && n > 0
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		n, ok := number(value)
		return value, ok && n >= 0 && n == math.Trunc(n)
	case "uniqueItems", "deprecated", "readOnly", "writeOnly":
		_, ok := value.(bool)
		return value, ok
	}
	return nil, false
}

func (c *cleaner) reference(value any) (any, bool) {
	text, _ := value.(string)
	def, ok := strings.CutPrefix(text, defsPrefix)
	def = strings.NewReplacer("~1", "/", "~0", "~").Replace(def)
	if !ok || !c.defs[def] {
		return nil, false
	}
	return c.at(def), true
}

func (c *cleaner) object(value any, level int) (any, bool) {
	parts, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]any, len(parts))
	for name, part := range parts {
		out[name] = c.schema(part, level+1)
	}
	return out, true
}

func (c *cleaner) list(value any, level int) (any, bool) {
	parts, ok := value.([]any)
	if !ok || len(parts) == 0 {
		return nil, false
	}
	out := make([]any, len(parts))
	for i, part := range parts {
		out[i] = c.schema(part, level+1)
	}
	return out, true
}

func typeNames(value any) (any, bool) {
	known := []string{"string", "number", "integer", "boolean", "object", "array", "null"}
	switch value := value.(type) {
	case string:
		return value, slices.Contains(known, value)
	case []any:
		seen := map[string]bool{}
		for _, v := range value {
			name, ok := v.(string)
			if !ok || !slices.Contains(known, name) || seen[name] {
				return nil, false
			}
			seen[name] = true
		}
		return value, len(value) > 0
	}
	return nil, false
}

// texts keeps a list of different texts.
func texts(value any) (any, bool) {
	list, ok := value.([]any)
	if !ok {
		return nil, false
	}
	seen := map[string]bool{}
	for _, v := range list {
		text, ok := v.(string)
		if !ok || seen[text] {
			return nil, false
		}
		seen[text] = true
	}
	return value, true
}

func number(value any) (float64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}
