package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"
)

// jsonWriter writes JSON without the escapes that encoding/json adds for HTML.
type jsonWriter struct {
	buf bytes.Buffer
	enc *json.Encoder
}

func newJSONWriter() *jsonWriter {
	w := new(jsonWriter)
	w.enc = json.NewEncoder(&w.buf)
	w.enc.SetEscapeHTML(false)
	return w
}

// write gives the JSON form of v, valid until the next write.
func (w *jsonWriter) write(v any) ([]byte, *fault) {
	w.buf.Reset()
	if err := w.enc.Encode(v); err != nil {
		return nil, faultf(-1, "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	text := w.buf.Bytes()
	text = text[:len(text)-1] // the encoder ends the line
	if opened := bytes.Count(text, []byte("[")) + bytes.Count(text, []byte("{")); opened > MaxDepth && deep(text) {
		return nil, overDepth(-1)
	}
	return text, nil
}

// deep tells whether a JSON text goes deeper than MaxDepth.
func deep(text []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// unmarshalJSON guards text and decodes it into v with encoding/json.
func (n *node) unmarshalJSON(text []byte, v reflect.Value, memory int64) *fault {
	seen, f := guardJSON(text)
	if f != nil {
		return f
	}
	if n.cost.most(len(text), seen) > memory {
		if f := n.measureJSON(text, memory); f != nil {
			return f
		}
	}
	var err error
	if n.loose {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		err = dec.Decode(v.Addr().Interface())
	} else {
		err = json.Unmarshal(text, v.Addr().Interface())
	}
	if err != nil {
		return jsonFault(err)
	}
	if n.mend {
		return n.mendJSON(v)
	}
	return nil
}

// jsonFault puts what encoding/json says into our words.
func jsonFault(err error) *fault {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		f := faultf(int(e.Offset), "%s does not go into %s", e.Value, e.Type)
		f.path = e.Field
		return f
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return faultf(int(e.Offset), "%s", e.Error())
	}
	return faultf(-1, "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// mendJSON brings what encoding/json decoded into v into the form that MessagePack gives: numbers in
// places without a type become int64, uint64 or float64, and times UTC.
func (n *node) mendJSON(v reflect.Value) *fault {
	if !n.mend {
		return nil
	}
	switch n.shape {
	case shapeTime:
		t := v.Addr().Interface().(*time.Time)
		*t = t.UTC()
	case shapeAny:
		value, f := mendAny(v.Interface())
		if f != nil {
			return f
		}
		if value != nil {
			v.Set(reflect.ValueOf(value))
		}
	case shapePointer:
		if !v.IsNil() {
			return n.elem.mendJSON(v.Elem())
		}
	case shapeSlice, shapeArray:
		for i := range v.Len() {
			if f := n.elem.mendJSON(v.Index(i)); f != nil {
				return f.in(position(i))
			}
		}
	case shapeMap:
		held := reflect.New(n.elem.typ).Elem() // what is in a map has no address
		for entries := v.MapRange(); entries.Next(); {
			held.Set(entries.Value())
			if f := n.elem.mendJSON(held); f != nil {
				return f
			}
			v.SetMapIndex(entries.Key(), held)
		}
	case shapeStruct:
		for i := range n.fields.list {
			field := &n.fields.list[i]
			if !field.node.mend {
				continue
			}
			if value, there := field.reach(v); there {
				if f := field.node.mendJSON(value); f != nil {
					return f.in(field.name)
				}
			}
		}
	}
	return nil
}

// mendAny gives the value for what encoding/json decoded into an interface.
func mendAny(value any) (any, *fault) {
	switch value := value.(type) {
	case json.Number:
		n, ok := parseNumber(string(value))
		if !ok {
			return nil, faultf(-1, "the number %s is out of range", clip(string(value)))
		}
		return n.untyped(), nil
	case []any:
		for i, item := range value {
			var f *fault
			if value[i], f = mendAny(item); f != nil {
				return nil, f.in(position(i))
			}
		}
	case map[string]any:
		for k, item := range value {
			mended, f := mendAny(item)
			if f != nil {
				return nil, f.in(k)
			}
			value[k] = mended
		}
	}
	return value, nil
}
