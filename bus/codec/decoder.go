package codec

import "reflect"

// DecoderOf is p.Unmarshal for one type, which it looks up once: for who decodes many bodies into the
// same type.
func DecoderOf[T any](p *Plan) func(c Codec, body []byte, v *T) error {
	n := p.node(reflect.TypeFor[T]())
	if !n.generated {
		return func(c Codec, body []byte, v *T) error { return p.Unmarshal(c, body, v) }
	}
	return func(c Codec, body []byte, v *T) error {
		if c != Msgpack || len(body) == 0 || body[0] == 0xc0 {
			return p.Unmarshal(c, body, v)
		}
		seen, f := guardMsgpack(body)
		if f != nil {
			return f.err(c)
		}
		if n.cost.most(len(body), seen) > memoryFor(len(body)) {
			return p.Unmarshal(c, body, v)
		}
		if rest, err := any(v).(msgUnmarshaler).UnmarshalMsg(body); err != nil || len(rest) != 0 {
			*v = *new(T)
			if f := p.unmarshal(c, body, reflect.ValueOf(v).Elem(), true); f != nil {
				return f.err(c)
			}
		}
		return nil
	}
}
