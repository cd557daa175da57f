package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"time"
)

// What github.com/tinylib/msgp generates for a type. It is several times faster than reflection.
type (
	msgMarshaler   interface{ MarshalMsg([]byte) ([]byte, error) }
	msgUnmarshaler interface{ UnmarshalMsg([]byte) ([]byte, error) }
)

func generated(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface &&
		has[msgMarshaler](t) && has[msgUnmarshaler](t)
}

// address gives a pointer to v, or to a copy of it.
func address(v reflect.Value) any {
	if !v.CanAddr() {
		held := reflect.New(v.Type()).Elem()
		held.Set(v)
		v = held
	}
	return v.Addr().Interface()
}

// generatedBody is what the generated method appends to the empty slice room for v, or nil if that may
// not be sent: generated code writes text that is not UTF-8 and floats that are no numbers.
func generatedBody(room []byte, v reflect.Value) []byte {
	body, err := address(v).(msgMarshaler).MarshalMsg(room)
	if err != nil {
		return nil
	}
	if _, f := guardMsgpack(body); f != nil {
		return nil
	}
	return body
}

func encodeGenerated(e *encoder, v reflect.Value) *fault {
	if body := generatedBody(nil, v); body != nil {
		e.buf.Write(body)
		return nil
	}
	return encodeViaJSON(e, v)
}

// failure is about what the error of a generated method takes.
const failure = 256

// decodeGenerated tries the generated method first. Where it fails, or could take too much memory, the
// way without it decides and has the better message.
func decodeGenerated(n *node) func(*decoder, reflect.Value) *fault {
	plain := n.dec
	if !n.structural() {
		plain = decodeViaJSON(n)
	}
	return func(d *decoder, v reflect.Value) *fault {
		start := d.off
		if d.data[start] == 0xc0 { // generated code knows nil for pointers only
			return plain(d, v)
		}
		body, seen := d.data, d.seen
		if start == 0 { // the whole body
			d.off = len(body)
		} else {
			body = d.raw()
			seen = census{values: len(body), items: len(body), entries: len(body)} // at most
		}
		if most := n.cost.most(len(body), seen); most <= d.memory {
			rest, err := v.Addr().Interface().(msgUnmarshaler).UnmarshalMsg(body)
			if err == nil && len(rest) == 0 {
				d.memory -= most
				return nil
			}
			v.SetZero()
			if f := d.take(failure); f != nil {
				return f
			}
		}
		d.off = start
		return plain(d, v)
	}
}

// sameMeaning tries the generated methods of n's type on a few values: they must write what
// encoding/json writes, and read back what it reads. Generated code that names fields otherwise, turns
// nil slices into empty ones or has times of its own is not used.
func sameMeaning(n *node) (same bool) {
	defer func() {
		if recover() != nil { // a method that cannot take the zero value, say, is not used either
			same = false
		}
	}()
	for variant := range sampleVariants {
		v := reflect.New(n.typ).Elem()
		fillSample(v, variant, 0)
		if !sameSample(n, v) {
			return false
		}
	}
	return true
}

func sameSample(n *node, v reflect.Value) bool {
	text, f := newJSONWriter().write(v.Addr().Interface())
	body := generatedBody(nil, v)
	if f != nil || body == nil {
		return false
	}
	asJSON, f := jsonToMsgpack(text)
	if f != nil {
		return false
	}
	one, f1 := (&decoder{data: body, memory: math.MaxInt64}).any()
	two, f2 := (&decoder{data: asJSON, memory: math.MaxInt64}).any()
	if f1 != nil || f2 != nil || !reflect.DeepEqual(one, two) {
		return false
	}
	fromMsg, fromJSON := reflect.New(n.typ), reflect.New(n.typ)
	rest, err := fromMsg.Interface().(msgUnmarshaler).UnmarshalMsg(body)
	if err != nil || len(rest) != 0 {
		return false
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(fromJSON.Interface()); err != nil {
		return false
	}
	return reflect.DeepEqual(fromMsg.Interface(), fromJSON.Interface())
}

// sampleVariants is how many samples there are: the zero value, the least and the greatest numbers,
// and empty things that are not nil.
const sampleVariants = 4

// fillSample sets v to one of its samples.
func fillSample(v reflect.Value, variant, depth int) {
	if variant == 0 || depth > 4 || !v.CanSet() {
		return
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2024, 2, 29, 1, 2, 3, variant*1000, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		least := int64(-1) << (v.Type().Bits() - 1)
		v.SetInt([]int64{0, least, -(least + 1), 1}[variant])
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint([]uint64{0, 1, math.MaxUint64 >> (64 - v.Type().Bits()), 200}[variant])
	case reflect.Float32, reflect.Float64:
		v.SetFloat([]float64{0, 1.5, -3, 0.25}[variant])
	case reflect.String:
		v.SetString([]string{"", "é \"x\"", "<a\n>", " "}[variant])
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillSample(v.Elem(), variant, depth+1)
	case reflect.Slice:
		size := []int{0, 1, 2, 0}[variant]
		v.Set(reflect.MakeSlice(v.Type(), size, size))
		for i := range size {
			fillSample(v.Index(i), variant, depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fillSample(v.Index(i), variant, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		if variant < 3 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillSample(key, variant, depth+1)
			fillSample(value, variant, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Interface:
		if v.NumMethod() == 0 {
			v.Set(reflect.ValueOf([]any{nil, "text", uint64(200), 2.0}[variant]))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillSample(v.Field(i), variant, depth+1)
		}
	}
}
