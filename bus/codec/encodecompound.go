package codec

import (
	"reflect"
	"slices"
	"strings"
)

func encodeInterface(e *encoder, v reflect.Value) *fault {
	if v.IsNil() {
		return e.null()
	}
	return e.any(v.Elem().Interface())
}

// any writes what an interface holds, which decides by itself what is sent. The types that generic
// code builds values from need no reflection.
func (e *encoder) any(value any) *fault {
	switch value := value.(type) {
	case nil:
		return e.null()
	case string:
		_ = e.enc.EncodeString(validText(value))
		return nil
	case bool:
		_ = e.enc.EncodeBool(value)
		return nil
	case int:
		_ = e.enc.EncodeInt(int64(value))
		return nil
	case int64:
		_ = e.enc.EncodeInt(value)
		return nil
	case float64:
		return e.float(value, 64)
	case []any:
		return e.anySlice(value)
	case map[string]any:
		return e.anyMap(value)
	}
	v := reflect.ValueOf(value)
	return e.follow(e.plan.node(v.Type()), v)
}

func (e *encoder) anySlice(list []any) *fault {
	if list == nil {
		return e.null()
	}
	if f := e.enter(); f != nil {
		return f
	}
	_ = e.enc.EncodeArrayLen(len(list))
	for i, item := range list {
		if f := e.any(item); f != nil {
			return f.in(position(i))
		}
	}
	e.leave()
	return nil
}

func (e *encoder) anyMap(m map[string]any) *fault {
	if m == nil {
		return e.null()
	}
	if f := e.enter(); f != nil {
		return f
	}
	_ = e.enc.EncodeMapLen(len(m))
	first := len(e.names)
	for k := range m {
		e.names = append(e.names, k)
	}
	slices.Sort(e.names[first:])
	for i := first; i < first+len(m); i++ {
		k := e.names[i]
		_ = e.enc.EncodeString(validText(k))
		if f := e.any(m[k]); f != nil {
			return f.in(k)
		}
	}
	e.names = e.names[:first]
	e.leave()
	return nil
}

func encodeSlice(n *node) func(*encoder, reflect.Value) *fault {
	whole := encodeArray(n)
	return func(e *encoder, v reflect.Value) *fault {
		if v.IsNil() {
			return e.null()
		}
		return whole(e, v)
	}
}

func encodeArray(n *node) func(*encoder, reflect.Value) *fault {
	return func(e *encoder, v reflect.Value) *fault {
		if f := e.enter(); f != nil {
			return f
		}
		_ = e.enc.EncodeArrayLen(v.Len())
		for i := range v.Len() {
			if f := n.elem.enc(e, v.Index(i)); f != nil {
				return f.in(position(i))
			}
		}
		e.leave()
		return nil
	}
}

func mapFuncs(n *node) (func(*encoder, reflect.Value) *fault, func(*decoder, reflect.Value) *fault) {
	switch n.typ {
	case reflect.TypeFor[map[string]string]():
		return encodeStringMap, decodeStringMap
	case reflect.TypeFor[map[string]any]():
		return encodeAnyMap, decodeAnyMap
	}
	return encodeMap(n), decodeMap(n)
}

func encodeAnyMap(e *encoder, v reflect.Value) *fault {
	return e.anyMap(v.Interface().(map[string]any))
}

// encodeMap writes the keys in order, so that equal maps are equal bytes.
func encodeMap(n *node) func(*encoder, reflect.Value) *fault {
	return func(e *encoder, v reflect.Value) *fault {
		if v.IsNil() {
			return e.null()
		}
		if f := e.enter(); f != nil {
			return f
		}
		_ = e.enc.EncodeMapLen(v.Len())
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			_ = e.enc.EncodeString(validText(k.String()))
			if f := n.elem.enc(e, v.MapIndex(k)); f != nil {
				return f.in(k.String())
			}
		}
		e.leave()
		return nil
	}
}

func encodeStringMap(e *encoder, v reflect.Value) *fault {
	m := v.Interface().(map[string]string)
	if m == nil {
		return e.null()
	}
	if f := e.enter(); f != nil {
		return f
	}
	_ = e.enc.EncodeMapLen(len(m))
	first := len(e.names)
	for k := range m {
		e.names = append(e.names, k)
	}
	slices.Sort(e.names[first:])
	for _, k := range e.names[first:] {
		_ = e.enc.EncodeString(validText(k))
		_ = e.enc.EncodeString(validText(m[k]))
	}
	e.names = e.names[:first]
	e.leave()
	return nil
}

func encodeStruct(n *node) func(*encoder, reflect.Value) *fault {
	return func(e *encoder, v reflect.Value) *fault {
		if f := e.enter(); f != nil {
			return f
		}
		count := len(n.fields.list)
		if !n.fields.fixed {
			count = 0
			for i := range n.fields.list {
				if _, there := n.fields.list[i].value(v); there {
					count++
				}
			}
		}
		_ = e.enc.EncodeMapLen(count)
		for i := range n.fields.list {
			field := &n.fields.list[i]
			value, there := field.value(v)
			if !there {
				continue
			}
			e.buf.Write(field.key)
			if f := field.node.enc(e, value); f != nil {
				return f.in(field.name)
			}
		}
		e.leave()
		return nil
	}
}
