package discovery

import (
	"encoding/json"
	"strings"

	"github.com/mbus-dev/mbus/bus/codec"
)

// A Part is a message, or a part of one, as its JSON Schema describes it. It goes
// as deep as whoever asks, where a Value ends after three levels; a message may
// hold itself. The zero Part says nothing. A Part never changes and may be used
// from any goroutine.
type Part struct {
	of   *describer
	n    *node
	name string // of its type
}

// PartOf returns the message that a JSON Schema describes. A body that is no
// schema, or one larger than 128 KiB, is the zero Part.
func PartOf(schema json.RawMessage) Part {
	d := &describer{}
	if len(schema) > maxSchema || codec.Guard(codec.JSON, schema) != nil || json.Unmarshal(schema, &d.root) != nil {
		return Part{}
	}
	return d.part(&d.root)
}

func (d *describer) part(n *node) Part {
	n, name := d.resolve(n)
	return Part{of: d, n: n, name: name}
}

// Type returns the name of the type, as Value has it; "" for the zero Part.
func (p Part) Type() string {
	if p.n == nil {
		return ""
	}
	return p.of.typeName(p.n, p.name, 0)
}

// Field returns a field of an object, or a value of a map. Names match as
// encoding/json has it. What the schema says nothing of is the zero Part.
func (p Part) Field(name string) Part {
	if p.n == nil {
		return Part{}
	}
	var alike *node
	for i := range p.n.Properties {
		switch f := &p.n.Properties[i]; {
		case f.name == name:
			return p.of.part(&f.node)
		case alike == nil && strings.EqualFold(f.name, name):
			alike = &f.node
		}
	}
	if alike == nil && p.n.Additional != nil {
		alike = p.n.Additional.schema
	}
	if alike == nil {
		return Part{}
	}
	return p.of.part(alike)
}

// Element returns what a list is of; the zero Part for what is none, or a list of
// anything.
func (p Part) Element() Part {
	if p.n == nil || p.n.Items == nil {
		return Part{}
	}
	return p.of.part(p.n.Items)
}
