package codec

import (
	"bytes"
	"math"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// maxLinks is how many pointers and interfaces in a row may lead to a value before they count as
// leading in a circle.
const maxLinks = 1000

// An encoder writes one value as MessagePack so that it means what encoding/json would have written.
// The msgpack library writes the bytes, into memory, which cannot fail; what to write is decided here.
type encoder struct {
	plan  *Plan
	buf   bytes.Buffer
	enc   *msgpack.Encoder // writes to buf
	names []string         // the keys of the maps being written
	depth int
	links int
}

func newEncoder(p *Plan) *encoder {
	e := &encoder{plan: p}
	e.enc = msgpack.NewEncoder(&e.buf)
	return e
}

// encode gives the MessagePack form of v, of which n is the node; valid until the next encode.
func (e *encoder) encode(n *node, v reflect.Value) ([]byte, *fault) {
	e.buf.Reset()
	e.enc.Reset(&e.buf)
	e.enc.SetCustomStructTag("json") // for what the methods of a type hand back to the library
	e.names, e.depth, e.links = e.names[:0], 0, 0
	f := n.enc(e, v)
	return e.buf.Bytes(), f
}

func scalarFuncs(k reflect.Kind) (func(*encoder, reflect.Value) *fault, func(*decoder, reflect.Value) *fault) {
	switch k {
	case reflect.Bool:
		return encodeBool, decodeBool
	case reflect.String:
		return encodeString, decodeString
	case reflect.Float32, reflect.Float64:
		return encodeFloat, decodeFloat
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return encodeInt, decodeInt
	}
	return encodeUint, decodeUint
}

func encodeBool(e *encoder, v reflect.Value) *fault {
	_ = e.enc.EncodeBool(v.Bool())
	return nil
}

func encodeInt(e *encoder, v reflect.Value) *fault {
	_ = e.enc.EncodeInt(v.Int())
	return nil
}

func encodeUint(e *encoder, v reflect.Value) *fault {
	_ = e.enc.EncodeUint(v.Uint())
	return nil
}

func encodeString(e *encoder, v reflect.Value) *fault {
	_ = e.enc.EncodeString(validText(v.String()))
	return nil
}

func encodeFloat(e *encoder, v reflect.Value) *fault {
	return e.float(v.Float(), v.Type().Bits())
}

// float writes an integer where JSON would.
func (e *encoder) float(f float64, bits int) *fault {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return faultf(-1, "%v is not a number JSON can write", f)
	}
	if n, ok := asInteger(f, bits); ok {
		writeNumber(e.enc, n)
	} else if bits == 32 {
		_ = e.enc.EncodeFloat32(float32(f))
	} else {
		_ = e.enc.EncodeFloat64(f)
	}
	return nil
}

func encodeBytes(e *encoder, v reflect.Value) *fault {
	if v.IsNil() {
		return e.null()
	}
	b := v.Bytes()
	_ = e.enc.EncodeBytesLen(len(b))
	e.buf.Write(b)
	return nil
}

func encodeTime(e *encoder, v reflect.Value) *fault {
	var t time.Time
	if v.CanAddr() {
		t = *v.Addr().Interface().(*time.Time)
	} else {
		t = v.Interface().(time.Time)
	}
	if sec := t.Unix(); sec < firstSecond || sec > lastSecond {
		return faultf(-1, "a time outside of the years 0 to 9999 cannot be written")
	}
	_ = e.enc.EncodeTime(t)
	return nil
}

func (e *encoder) null() *fault {
	_ = e.enc.EncodeNil()
	return nil
}

// enter begins an array or a map, leave ends it.
func (e *encoder) enter() *fault {
	if e.depth == MaxDepth {
		f := overDepth(-1)
		f.text += ", or in a circle"
		return f
	}
	e.depth++
	return nil
}

func (e *encoder) leave() { e.depth-- }

func encodePointer(n *node) func(*encoder, reflect.Value) *fault {
	return func(e *encoder, v reflect.Value) *fault {
		if v.IsNil() {
			return e.null()
		}
		return e.follow(n.elem, v.Elem())
	}
}

// follow writes what a pointer or an interface leads to.
func (e *encoder) follow(n *node, v reflect.Value) *fault {
	if e.links++; e.links > maxLinks {
		return faultf(-1, "it leads in a circle")
	}
	f := n.enc(e, v)
	e.links--
	return f
}

// encodeMethods lets the type write itself.
func encodeMethods(e *encoder, v reflect.Value) *fault {
	if canBeNil(v.Kind()) && v.IsNil() {
		return e.null()
	}
	start := e.buf.Len()
	var err error
	switch own := address(v).(type) {
	case msgpack.CustomEncoder:
		err = own.EncodeMsgpack(e.enc)
	case msgpack.Marshaler:
		var body []byte
		if body, err = own.MarshalMsgpack(); err == nil {
			e.buf.Write(body)
		}
	}
	if err != nil {
		return faultf(-1, "%v", err)
	}
	if _, f := guardMsgpack(e.buf.Bytes()[start:]); f != nil { // every receiver would refuse it
		return faultf(-1, "what its own method wrote is wrong at byte %d: %s", f.at, f.text)
	}
	return nil
}

func canBeNil(k reflect.Kind) bool {
	return k == reflect.Map || k == reflect.Slice || k == reflect.Pointer
}

// encodeViaJSON writes what encoding/json makes of v: right for whatever has rules of its own.
func encodeViaJSON(e *encoder, v reflect.Value) *fault {
	value := v.Interface
	if v.CanAddr() {
		value = v.Addr().Interface // whose methods encoding/json uses
	}
	text, f := newJSONWriter().write(value())
	if f != nil {
		return f
	}
	lengths, deepest, f := containerLengths(text)
	if f != nil {
		f.at = -1
		return f
	}
	if e.depth+deepest > MaxDepth {
		return overDepth(-1)
	}
	if f := writeMsgpack(e.enc, text, lengths); f != nil {
		f.at = -1
		return f
	}
	return nil
}
