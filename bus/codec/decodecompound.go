package codec

import (
	"reflect"
	"strconv"
)

func decodeSlice(n *node) func(*decoder, reflect.Value) *fault {
	return func(d *decoder, v reflect.Value) *fault {
		h := d.head()
		switch h.kind {
		case kindNil:
			v.SetZero()
			return nil
		case kindArray:
		default:
			return d.misfit(h, v.Type())
		}
		if f := d.take(int64(h.n)*int64(n.elem.typ.Size()) + 8); f != nil {
			return f
		}
		list := reflect.MakeSlice(n.typ, h.n, h.n)
		for i := range h.n {
			if f := n.elem.dec(d, list.Index(i)); f != nil {
				return f.in(position(i))
			}
		}
		v.Set(list)
		return nil
	}
}

// decodeArray leaves out what is too much and clears what is too little, like encoding/json.
func decodeArray(n *node) func(*decoder, reflect.Value) *fault {
	return func(d *decoder, v reflect.Value) *fault {
		h := d.head()
		switch {
		case h.kind == kindNil:
			return nil
		case h.kind == kindBin && h.n == v.Len() && n.elem.typ.Kind() == reflect.Uint8 && !n.elem.methods:
			for i, b := range d.content(h) { // JSON has no such form, but other programs send it
				v.Index(i).SetUint(uint64(b))
			}
			return nil
		case h.kind != kindArray:
			return d.misfit(h, v.Type())
		}
		for i := range h.n {
			if i >= v.Len() {
				d.skip()
			} else if f := n.elem.dec(d, v.Index(i)); f != nil {
				return f.in(position(i))
			}
		}
		for i := h.n; i < v.Len(); i++ {
			v.Index(i).SetZero()
		}
		return nil
	}
}

func decodeMap(n *node) func(*decoder, reflect.Value) *fault {
	key := n.typ.Key()
	entry := slotSize(key, n.elem.typ)
	return func(d *decoder, v reflect.Value) *fault {
		h := d.head()
		switch h.kind {
		case kindNil:
			v.SetZero()
			return nil
		case kindMap:
		default:
			return d.misfit(h, v.Type())
		}
		if f := d.take(mapSize(h.n, entry)); f != nil {
			return f
		}
		m := reflect.MakeMapWithSize(n.typ, h.n)
		name, value := reflect.New(key).Elem(), reflect.New(n.elem.typ).Elem()
		for range h.n {
			text, f := d.text(d.head())
			if f != nil {
				return f
			}
			value.SetZero()
			if f := n.elem.dec(d, value); f != nil {
				return f.in(text)
			}
			name.SetString(text)
			m.SetMapIndex(name, value)
		}
		v.Set(m)
		return nil
	}
}

func decodeStringMap(d *decoder, v reflect.Value) *fault {
	h := d.head()
	switch h.kind {
	case kindNil:
		v.SetZero()
		return nil
	case kindMap:
	default:
		return d.misfit(h, v.Type())
	}
	if f := d.take(mapSize(h.n, 32)); f != nil {
		return f
	}
	m := make(map[string]string, h.n)
	for range h.n {
		name, f := d.text(d.head())
		if f != nil {
			return f
		}
		var text string
		switch value := d.head(); value.kind {
		case kindStr, kindBin, kindExt:
			if text, f = d.text(value); f != nil {
				return f.in(name)
			}
		case kindNil:
		default:
			return d.misfit(value, reflect.TypeFor[string]()).in(name)
		}
		m[name] = text
	}
	*v.Addr().Interface().(*map[string]string) = m
	return nil
}

func decodeStruct(n *node) func(*decoder, reflect.Value) *fault {
	return func(d *decoder, v reflect.Value) *fault {
		h := d.head()
		switch h.kind {
		case kindNil:
			return nil
		case kindMap:
		default:
			return d.misfit(h, v.Type())
		}
		next := 0
		for range h.n {
			i := n.fields.find(d.content(d.head()), next)
			if i < 0 {
				d.skip()
				continue
			}
			next = i + 1
			field := &n.fields.list[i]
			value, f := d.settle(field, v)
			if f == nil {
				f = field.node.dec(d, value)
			}
			if f != nil {
				return f.in(field.name)
			}
		}
		return nil
	}
}

// settle finds the field in v, making the embedded structs on the way that are not there.
func (d *decoder) settle(to *field, v reflect.Value) (reflect.Value, *fault) {
	for i, index := range to.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if f := d.take(int64(v.Type().Elem().Size()) + 8); f != nil {
					return v, f
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(index)
	}
	return v, nil
}

func position(i int) string { return "[" + strconv.Itoa(i) + "]" }
