package discovery_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/discovery"
)

func TestAPartIsWhatTheValueOfItIs(t *testing.T) {
	const schema = `{"type":"object","title":"Place","properties":{
		"name":{"type":"string"}, "pic":{"type":"string","contentEncoding":"base64"}, "id":{"type":"integer","format":"int8"},
		"at":{"$ref":"#/$defs/Point"}, "stops":{"type":"array","items":{"$ref":"#/$defs/Point"}},
		"any":true, "by":{"type":"object","additionalProperties":{"$ref":"#/$defs/Point"}}},
		"$defs":{"Point":{"type":"object","properties":{"lat":{"type":"number"}}}}}`
	value, part := discovery.ValueOf(json.RawMessage(schema)), discovery.PartOf(json.RawMessage(schema))
	if part.Type() != value.Type {
		t.Errorf("it is %q, not %q", part.Type(), value.Type)
	}
	for _, f := range value.Values {
		if got := part.Field(f.Name).Type(); got != f.Type {
			t.Errorf("%s is %q, not %q", f.Name, got, f.Type)
		}
	}
	for path, want := range map[string]string{
		"AT.Lat": "float64", "stops.[].lat": "float64", "by.x.lat": "float64", "by.y": "Point",
		"none": "", "name.x": "", "none.x.y": "", "name.[]": "", "any.x": "",
	} {
		at := part
		for step := range strings.SplitSeq(path, ".") {
			if step == "[]" {
				at = at.Element()
			} else {
				at = at.Field(step)
			}
		}
		if at.Type() != want {
			t.Errorf("%s is %q, not %q", path, at.Type(), want)
		}
	}
}

func TestWhatIsNoSchemaIsAPartThatSaysNothing(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "a list": "[1]", "a broken one": `{"type":`, "a large one": `{"title":"` + strings.Repeat("x", 128<<10) + `"}`,
		"a circle": `{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/A"}}}`, "itself": `{"$ref":"#"}`,
	} {
		p := discovery.PartOf(json.RawMessage(text))
		if kind := p.Field("a").Element().Type(); kind != "" {
			t.Errorf("%s: a field of it is %q", name, kind)
		}
	}
}
