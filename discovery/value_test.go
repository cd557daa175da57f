package discovery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/discovery"
)

// show prints a Value on one line: name type {parts}.
func show(v discovery.Value) string {
	s := strings.TrimSpace(v.Name + " " + v.Type)
	var parts []string
	for _, p := range v.Values {
		parts = append(parts, show(p))
	}
	if len(parts) > 0 {
		s += " {" + strings.Join(parts, ", ") + "}"
	}
	return s
}

func TestValueOf(t *testing.T) {
	for name, c := range map[string]struct{ schema, want string }{
		"the greeter": {helloSchema, "HelloRequest HelloRequest {name string}"},
		"order of the struct": {
			`{"title":"M","type":"object","properties":{"z":{"type":"string"},"a":{"type":"boolean"},"m":{"type":"number"}}}`,
			"M M {z string, a bool, m float64}",
		},
		"numbers": {
			`{"title":"M","type":"object","properties":{"a":{"type":"integer","format":"int32"},"b":{"type":"integer","format":"uint64","minimum":0},
				"c":{"type":"integer"},"d":{"type":"number","format":"float"},"e":{"type":["string","integer"],"format":"int64"},"f":{"type":"integer","format":"nonsense"}}}`,
			"M M {a int32, b uint64, c int64, d float32, e int64, f int64}",
		},
		"references, lists and maps": {
			`{"title":"Order","type":"object","properties":{"items":{"type":["array","null"],"items":{"$ref":"#/$defs/Item"}},"by":{"anyOf":[{"$ref":"#/$defs/User"},{"type":"null"}]},
				"tags":{"type":"array","items":{"type":"string"}},"labels":{"type":"object","additionalProperties":{"type":"string"}},"raw":{"type":"string","contentEncoding":"base64"},"x":{},"y":true},
			"$defs":{"Item":{"type":"object","properties":{"price":{"type":"number"}}},"User":{"title":"User","type":"object","properties":{"name":{"type":"string"}}}}}`,
			"Order Order {items []Item {Item Item}, by User {name string}, tags []string, labels map[string]string, raw []uint8, x any, y any}",
		},
		"three levels and no more": {
			`{"title":"A","type":"object","properties":{"b":{"title":"B","type":"object","properties":{"c":{"title":"C","type":"object","properties":{"d":{"type":"string"}}}}}}}`,
			"A A {b B {c C}}",
		},
		"a type in itself": {
			`{"title":"Tree","type":"object","properties":{"left":{"$ref":"#"},"all":{"$ref":"#/$defs/List"}},"$defs":{"List":{"type":"array","items":{"$ref":"#/$defs/List"}}}}`,
			"Tree Tree {left Tree {left Tree, all [][][][]any}, all [][][][]any}",
		},
		"a circle":        {`{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/A"}}}`, "A A"},
		"no such def":     {`{"$ref":"#/$defs/B"}`, "any any"},
		"without a title": {`{"type":"object"}`, "object object"},
		"no schema":       {`[1]`, ""},
		"empty":           {``, ""},
		"too deep":        {strings.Repeat(`{"items":`, 500) + "{}" + strings.Repeat("}", 500), ""},
		"too large":       {`{"title":"` + strings.Repeat("x", 129<<10) + `"}`, ""},
	} {
		if got := show(discovery.ValueOf(json.RawMessage(c.schema))); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestValueOfStaysSmall(t *testing.T) {
	var inner, outer []string
	for i := range 1000 {
		inner = append(inner, fmt.Sprintf(`"f%d":{"type":"string"}`, i))
		outer = append(outer, fmt.Sprintf(`"g%d":{"$ref":"#/$defs/D"}`, i))
	}
	schema := fmt.Sprintf(`{"type":"object","properties":{%s},"$defs":{"D":{"type":"object","properties":{%s}}}}`, strings.Join(outer, ","), strings.Join(inner, ","))
	n := 0
	var count func(discovery.Value)
	count = func(v discovery.Value) {
		n++
		for _, p := range v.Values {
			count(p)
		}
	}
	count(discovery.ValueOf(json.RawMessage(schema)))
	if n < 5000 || n > 10_001 {
		t.Errorf("%d parts, want what 10,000 allow of a million", n)
	}
}
