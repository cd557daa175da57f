package codec

import (
	"encoding/json"
	"reflect"

	"github.com/mbus-dev/mbus/bus"
	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
)

// Plan remembers, per Go type, which codec carries it and how. Keep one for as long as you encode: a Server, a Client or an Announcer owns one.
// A Plan may be used by many goroutines at once. It remembers at most 4096 types; beyond that a type is worked out anew each time it is used.
type Plan struct{}

// NewPlan makes an empty plan.
func NewPlan() *Plan { return &Plan{} }

// For says which codec mbus sends a value of type t in. A pointer counts as what it points to; a nil type is JSON.
func (p *Plan) For(t reflect.Type) Codec {
	if t == nil {
		return JSON
	}
	if t.Implements(reflect.TypeFor[proto.Message]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[proto.Message]()) {
		return Protobuf
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[[]byte]() {
		return Raw
	}
	return Msgpack
}

// Marshal encodes v in c.
func (p *Plan) Marshal(c Codec, v any) ([]byte, error) {
	var data []byte
	var err error
	switch c {
	case JSON:
		data, err = json.Marshal(v)
	case Msgpack:
		data, err = msgpack.Marshal(v)
	default:
		err = bus.Errorf(bus.Internal, "codec %s cannot carry a %T", c, v)
	}
	return data, err
}

// Unmarshal decodes data, which is in c, into what v points to.
func (p *Plan) Unmarshal(c Codec, data []byte, v any) error {
	if len(data) == 0 {
		return nil
	}
	switch c {
	case JSON:
		return json.Unmarshal(data, v)
	case Msgpack:
		return msgpack.Unmarshal(data, v)
	}
	return bus.Errorf(bus.Unimplemented, "codec %s cannot carry a %T: %s", c, v, supported)
}

// For is the answer of a new Plan: enough when it is asked once per type, as at registration.
func For(t reflect.Type) Codec { return NewPlan().For(t) }

// Marshal encodes v in c without a Plan: right for values encoded now and then, since the type is worked out each time.
func (c Codec) Marshal(v any) ([]byte, error) { return NewPlan().Marshal(c, v) }

// Unmarshal decodes data, which is in c, into what v points to, without a Plan: right for now and then.
func (c Codec) Unmarshal(data []byte, v any) error { return NewPlan().Unmarshal(c, data, v) }
