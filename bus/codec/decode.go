package codec

import (
	"encoding/base64"
	"math"
	"reflect"
	"time"
)

// A decoder reads one MessagePack body that has passed guardMsgpack into Go values, as encoding/json
// would read its JSON form. It relies on what the guard promises: lengths are inside of the body,
// keys are strings, nothing is deeper than MaxDepth.
//
// The msgpack library is not used for this: it wraps integers that do not fit, believes lengths, and
// starts goroutines that never end for some types.
type decoder struct {
	data   []byte
	off    int
	seen   census
	memory int64 // what may still be allocated
	tried  bool  // the generated method of the whole body has failed
}

// head reads the next head.
func (d *decoder) head() head {
	h := readHead(d.data[d.off:])
	d.off += h.size
	return h
}

// content reads what follows the head of a string, binary or extension.
func (d *decoder) content(h head) []byte {
	start := d.off
	d.off += h.n
	return d.data[start:d.off]
}

// take books n bytes of memory before they are allocated. The allocator rounds up by at most an
// eighth.
func (d *decoder) take(n int64) *fault {
	if d.memory -= n + n/8; d.memory < 0 {
		return overMemory(d.off)
	}
	return nil
}

// skip goes past the next value.
func (d *decoder) skip() {
	for left := 1; left > 0; left-- {
		h := d.head()
		switch h.kind {
		case kindArray:
			left += h.n
		case kindMap:
			left += 2 * h.n
		case kindStr, kindBin, kindExt:
			d.off += h.n
		}
	}
}

// raw goes past the next value and gives its bytes.
func (d *decoder) raw() []byte {
	start := d.off
	d.skip()
	return d.data[start:d.off]
}

func (d *decoder) misfit(h head, t reflect.Type) *fault {
	return faultf(d.off-h.size, "%s does not go into %s", h.kind, t)
}

func (d *decoder) overflow(h head, t reflect.Type) *fault {
	return faultf(d.off-h.size, "%s does not fit into %s", h.number().text(), t)
}

// number is the number of an int, uint or float head.
func (h head) number() number {
	if h.kind == kindFloat32 || h.kind == kindFloat64 {
		return number{kindFloat64, math.Float64bits(h.float())}
	}
	return number{h.kind, h.bits}
}

func decodeBool(d *decoder, v reflect.Value) *fault {
	switch h := d.head(); h.kind {
	case kindBool:
		v.SetBool(h.bits == 1)
	case kindNil:
	default:
		return d.misfit(h, v.Type())
	}
	return nil
}

func decodeInt(d *decoder, v reflect.Value) *fault {
	h := d.head()
	switch {
	case h.kind == kindNil:
		return nil
	case h.kind == kindFloat64 && h.bits == 1<<63, h.kind == kindFloat32 && h.bits == 1<<31:
		h.bits = 0 // -0, which JSON writes like an integer
	case h.kind != kindInt && h.kind != kindUint:
		return d.misfit(h, v.Type())
	case h.kind == kindUint && h.bits > math.MaxInt64 || v.OverflowInt(int64(h.bits)):
		return d.overflow(h, v.Type())
	}
	v.SetInt(int64(h.bits))
	return nil
}

func decodeUint(d *decoder, v reflect.Value) *fault {
	h := d.head()
	switch {
	case h.kind == kindNil:
		return nil
	case h.kind != kindInt && h.kind != kindUint:
		return d.misfit(h, v.Type())
	case h.kind == kindInt || v.OverflowUint(h.bits):
		return d.overflow(h, v.Type())
	}
	v.SetUint(h.bits)
	return nil
}

func decodeFloat(d *decoder, v reflect.Value) *fault {
	h := d.head()
	var f float64
	switch h.kind {
	case kindNil:
		return nil
	case kindInt:
		f = float64(int64(h.bits))
	case kindUint:
		f = float64(h.bits)
	case kindFloat32:
		if f = float64(math.Float32frombits(uint32(h.bits))); v.Kind() == reflect.Float64 {
			f = h.float()
		}
	case kindFloat64:
		f = h.float()
	default:
		return d.misfit(h, v.Type())
	}
	if v.Kind() == reflect.Float32 {
		if narrow := float32(f); math.IsInf(float64(narrow), 0) {
			return d.overflow(h, v.Type())
		}
	}
	v.SetFloat(f)
	return nil
}

func decodeString(d *decoder, v reflect.Value) *fault {
	h := d.head()
	switch h.kind {
	case kindNil:
		return nil
	case kindStr, kindBin, kindExt:
		s, f := d.text(h)
		if f == nil {
			v.SetString(s)
		}
		return f
	}
	return d.misfit(h, v.Type())
}

// text is a string, or what stands for binary and timestamps in one.
func (d *decoder) text(h head) (string, *fault) {
	if f := d.take(int64(h.n) + 8); f != nil {
		return "", f
	}
	content := d.content(h)
	if h.kind == kindStr {
		return string(content), nil
	}
	if f := d.take(int64(h.n) + 48); f != nil {
		return "", f
	}
	return textOf(h, content), nil
}

func decodeBytes(d *decoder, v reflect.Value) *fault {
	h := d.head()
	switch h.kind {
	case kindNil:
		v.SetZero()
		return nil
	case kindBin:
		if f := d.take(int64(h.n) + 8); f != nil {
			return f
		}
		b := make([]byte, h.n)
		copy(b, d.content(h))
		v.SetBytes(b)
		return nil
	case kindStr: // JSON has only base64 for bytes
		if f := d.take(int64(h.n) + 8); f != nil {
			return f
		}
		text := d.content(h)
		b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(b, text)
		if err != nil {
			return faultf(d.off-h.n, "a string where bytes should be is not base64: %v", err)
		}
		v.SetBytes(b[:n])
		return nil
	case kindArray:
		if f := d.take(int64(h.n) + 8); f != nil {
			return f
		}
		list := reflect.MakeSlice(v.Type(), h.n, h.n)
		for i := range h.n {
			if f := decodeUint(d, list.Index(i)); f != nil {
				return f.in(position(i))
			}
		}
		v.Set(list)
		return nil
	}
	return d.misfit(h, v.Type())
}

func decodeTime(d *decoder, v reflect.Value) *fault {
	h := d.head()
	switch h.kind {
	case kindNil:
		return nil
	case kindExt:
		t, _ := timestamp(d.content(h))
		*v.Addr().Interface().(*time.Time) = t
		return nil
	case kindStr:
		text := d.content(h)
		t := v.Addr().Interface().(*time.Time)
		if err := t.UnmarshalText(text); err != nil {
			return faultf(d.off-h.n, "%q is not a time as RFC 3339 writes it", clip(string(text)))
		}
		*t = t.UTC()
		return nil
	}
	return d.misfit(h, v.Type())
}

func decodePointer(n *node) func(*decoder, reflect.Value) *fault {
	return func(d *decoder, v reflect.Value) *fault {
		if d.data[d.off] == 0xc0 {
			d.off++
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			if f := d.take(int64(n.elem.typ.Size()) + 8); f != nil {
				return f
			}
			v.Set(reflect.New(n.elem.typ))
		}
		return n.elem.dec(d, v.Elem())
	}
}

// decodeFace decodes into an interface with methods: nothing but nil is known to have them.
func decodeFace(d *decoder, v reflect.Value) *fault {
	if h := d.head(); h.kind != kindNil {
		return d.misfit(h, v.Type())
	}
	v.SetZero()
	return nil
}
