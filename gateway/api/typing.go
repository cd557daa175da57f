package api

import (
	"strings"

	"github.com/mbus-dev/mbus/discovery"
)

// A typing says what a field takes: by the schema of its message, as deep as the
// field is, or by the Value of an app that was registered with one. The zero
// typing says nothing.
type typing struct {
	value *discovery.Value
	part  discovery.Part
}

// anything is the type of what may be any JSON.
const anything = "any"

// bytesType is how bytes are called, which are base64 in JSON.
const bytesType = "[]uint8"

// name is that of the type.
func (t typing) name() string {
	name := t.part.Type()
	if t.value != nil {
		name = t.value.Type
	}
	if name == "" {
		return anything
	}
	return name
}

// field is what a field of that name in t takes. Names match as encoding/json has
// it.
func (t typing) field(name string) typing {
	if t.value == nil {
		return typing{part: t.part.Field(name)}
	}
	if element, ok := strings.CutPrefix(t.value.Type, "map[string]"); ok {
		return typing{value: &discovery.Value{Type: element}}
	}
	var alike *discovery.Value
	for i := range t.value.Values {
		switch f := &t.value.Values[i]; {
		case f.Name == name:
			return typing{value: f}
		case alike == nil && strings.EqualFold(f.Name, name):
			alike = f
		}
	}
	return typing{value: alike}
}

// element is what t is a list of; false if it is none. Bytes are text.
func (t typing) element() (typing, bool) {
	switch name := t.name(); {
	case !strings.HasPrefix(name, "[]") || name == bytesType:
		return typing{}, false
	case t.value == nil:
		return typing{part: t.part.Element()}, true
	case len(t.value.Values) == 1:
		return typing{value: &t.value.Values[0]}, true
	default:
		return typing{value: &discovery.Value{Type: name[2:]}}, true
	}
}
