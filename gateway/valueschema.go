package gateway

import (
	"strings"

	"github.com/mbus-dev/mbus/discovery"
)

const maxValueLevels = 32

// ValueSchema is the JSON Schema of a message of a registered app, which has
// nothing but Micro's tree of names and types. What is deeper than 32 levels is
// any object.
func ValueSchema(v discovery.Value) map[string]any { return valueSchema(v, 0) }

func valueSchema(v discovery.Value, level int) map[string]any {
	if element, list := strings.CutPrefix(v.Type, "[]"); list {
		of := map[string]any{}
		if len(v.Values) > 0 {
			of = valueSchema(v.Values[0], level+1)
		} else if simple, ok := simpleType(element); ok {
			of["type"] = simple
		}
		return map[string]any{"type": "array", "items": of}
	}
	if simple, ok := simpleType(v.Type); ok {
		return map[string]any{"type": simple}
	}
	properties := make(map[string]any, len(v.Values))
	if level < maxValueLevels {
		for _, part := range v.Values {
			properties[part.Name] = valueSchema(part, level+1)
		}
	}
	return map[string]any{"type": "object", "properties": properties}
}

func simpleType(name string) (string, bool) {
	switch {
	case name == "string", name == "bytes":
		return "string", true
	case name == "bool":
		return "boolean", true
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "integer", true
	case strings.HasPrefix(name, "float"):
		return "number", true
	}
	return "", false
}
