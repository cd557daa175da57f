package codec

import (
	"bytes"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

func decodeAny(d *decoder, v reflect.Value) *fault {
	value, f := d.any()
	if f != nil {
		return f
	}
	if value == nil {
		v.SetZero()
	} else {
		v.Set(reflect.ValueOf(value))
	}
	return nil
}

func decodeAnyMap(d *decoder, v reflect.Value) *fault {
	switch h := d.head(); h.kind {
	case kindNil:
		v.SetZero()
	case kindMap:
		m, f := d.anyMap(h.n)
		if f != nil {
			return f
		}
		*v.Addr().Interface().(*map[string]any) = m
	default:
		return d.misfit(h, v.Type())
	}
	return nil
}

func (d *decoder) anyMap(n int) (map[string]any, *fault) {
	if f := d.take(mapSize(n, 32)); f != nil {
		return nil, f
	}
	m := make(map[string]any, n)
	for range n {
		name, f := d.text(d.head())
		if f != nil {
			return nil, f
		}
		if m[name], f = d.any(); f != nil {
			return nil, f.in(name)
		}
	}
	return m, nil
}

// any reads the next value without a type: nil, bool, int64, uint64, float64, string, []any and
// map[string]any. Its depth is bounded by the guard.
func (d *decoder) any() (any, *fault) {
	h := d.head()
	switch h.kind {
	case kindNil:
		return nil, nil
	case kindBool:
		return h.bits == 1, nil
	case kindStr, kindBin, kindExt:
		if f := d.take(16); f != nil {
			return nil, f
		}
		return noFault(d.text(h))
	case kindArray:
		if f := d.take(24 + 8 + 16*int64(h.n)); f != nil {
			return nil, f
		}
		list := make([]any, h.n)
		for i := range list {
			var f *fault
			if list[i], f = d.any(); f != nil {
				return nil, f.in(position(i))
			}
		}
		return list, nil
	case kindMap:
		m, f := d.anyMap(h.n)
		if f != nil {
			return nil, f
		}
		return m, nil
	}
	if f := d.take(8); f != nil {
		return nil, f
	}
	return h.number().untyped(), nil
}

func noFault(s string, f *fault) (any, *fault) {
	if f != nil {
		return nil, f
	}
	return s, nil
}

// decodeMethods lets the type read itself. What it allocates is its own affair.
func decodeMethods(d *decoder, v reflect.Value) *fault {
	start := d.off
	body := d.raw()
	if body[0] == 0xc0 {
		if canBeNil(v.Kind()) {
			v.SetZero()
		}
		return nil
	}
	var err error
	switch own := v.Addr().Interface().(type) {
	case msgpack.CustomDecoder:
		dec := msgpack.NewDecoder(bytes.NewReader(body))
		dec.SetCustomStructTag("json")
		err = own.DecodeMsgpack(dec)
	case msgpack.Unmarshaler:
		err = own.UnmarshalMsgpack(body)
	}
	if err != nil {
		return faultf(start, "%v", err)
	}
	return nil
}

// decodeViaJSON reads what encoding/json reads from the JSON form of the value.
func decodeViaJSON(n *node) func(*decoder, reflect.Value) *fault {
	return func(d *decoder, v reflect.Value) *fault {
		start := d.off
		text := msgpackToJSON(d.raw())
		f := n.unmarshalJSON(text, v, d.memory)
		if f != nil {
			f.at = start // the offset in text means nothing to the sender
		}
		return f
	}
}
