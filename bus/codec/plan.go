package codec

import (
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus"
)

// maxTypes bounds what a Plan remembers.
const maxTypes = 4096

// A Plan remembers, per Go type, which codec carries it and how. Whoever encodes often keeps one: a
// server, a client, a connection. The zero Plan is ready to use, by many goroutines at once, and must
// not be copied.
//
// It remembers 4096 types, those that other types are made of included; beyond that a type is worked
// out anew each time it is used. A program has as many types as its source, unless it makes them by
// reflection.
type Plan struct {
	nodes sync.Map // of reflect.Type to *node
	count atomic.Int64
	// What encoding and decoding need on the way is used again. A buffer over maxKept is not kept.
	encoders, decoders, writers sync.Pool
}

// maxKept bounds the size of a buffer that is kept for the next value.
const maxKept = 64 << 10

// NewPlan makes an empty plan.
func NewPlan() *Plan { return new(Plan) }

type planKey struct{}

// PlanOf returns the plan that everything on a connection shares, so that a
// type is worked out once however many servers and clients carry it.
func PlanOf(conn *bus.Conn) *Plan {
	return conn.Shared(planKey{}, func() any { return NewPlan() }).(*Plan)
}

// For says which codec mbus sends a value of type t in: Protobuf for a generated protobuf message,
// Raw for []byte, Msgpack for what MessagePack carries faithfully, JSON for the rest (the package
// comment lists it). A pointer counts as what it points to; a nil type, which a nil interface has,
// is JSON.
func (p *Plan) For(t reflect.Type) Codec {
	if t == nil {
		return JSON
	}
	for hops := 0; t.Kind() == reflect.Pointer && hops < maxLinks; hops++ {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[[]byte]():
		return Raw
	case p.carried(t) != nil:
		return Msgpack
	case isProto(t):
		return Protobuf
	case p.node(t).json == "":
		return Msgpack
	}
	return JSON
}

// carried gives the node of t if it is known and MessagePack carries the type, which then is no
// protobuf message.
func (p *Plan) carried(t reflect.Type) *node {
	if n, ok := p.nodes.Load(t); ok && n.(*node).json == "" {
		return n.(*node)
	}
	return nil
}

// node gives the node of t, working it out if need be.
func (p *Plan) node(t reflect.Type) *node {
	if n, ok := p.nodes.Load(t); ok {
		return n.(*node)
	}
	c := compiler{plan: p, fresh: map[reflect.Type]*node{}}
	n := c.node(t)
	c.finish()
	if p.count.Add(int64(len(c.fresh))) > maxTypes {
		p.count.Add(-int64(len(c.fresh)))
		return n
	}
	for t, n := range c.fresh {
		if _, raced := p.nodes.LoadOrStore(t, n); raced {
			p.count.Add(-1)
		}
	}
	return n
}

// Marshal encodes v in c. The error is internal and names the type if v cannot be encoded, and
// unimplemented if values of its type do not exist in c: Protobuf carries protobuf messages only, Raw
// carries []byte only. JSON and Msgpack carry everything that encoding/json does.
func (p *Plan) Marshal(c Codec, v any) ([]byte, error) {
	if c == Raw {
		if bytes, ok := rawOf(v); ok {
			return bytes, nil
		}
	}
	return p.Append(nil, c, v)
}

// Append is Marshal into what dst has room for: it appends the encoding to dst and returns the
// extended slice, for who copies it anyway and keeps a buffer. dst is as good as before if there is an
// error.
func (p *Plan) Append(dst []byte, c Codec, v any) ([]byte, error) {
	var body []byte
	var f *fault
	switch c {
	case JSON:
		body, f = p.appendJSON(dst, v)
	case Msgpack:
		body, f = p.appendMsgpack(dst, v)
	case Protobuf:
		m, ok := protoOf(v)
		if !ok {
			return nil, wrongCodec(c, v)
		}
		body, f = appendProto(dst, m)
	case Raw:
		bytes, ok := rawOf(v)
		if !ok {
			return nil, wrongCodec(c, v)
		}
		return append(dst, bytes...), nil
	default:
		return nil, wrongCodec(c, v)
	}
	if f != nil {
		where := ""
		if f.path != "" {
			where = " (" + f.where() + ")"
		}
		return nil, bus.Errorf(bus.Internal, "a %T cannot be sent as %s%s: %s", v, c, where, f.text)
	}
	return body, nil
}

// rawOf gives the bytes that v is, or points to.
func rawOf(v any) ([]byte, bool) {
	switch v := v.(type) {
	case []byte:
		return v, true
	case *[]byte:
		if v != nil {
			return *v, true
		}
		return nil, true
	}
	return nil, false
}

// Unmarshal decodes body, which came from outside in c, into the zero value that v points to. The
// body is checked as Guard does first, and what decoding it allocates is bounded by MaxMemoryBase and
// MaxMemoryFactor. An empty JSON or MessagePack body leaves v as it is. The decoded value shares no
// memory with body.
//
// The error is an invalid_argument saying where the body is wrong, unimplemented if c does not carry
// the type of v, and internal if v is not a pointer.
func (p *Plan) Unmarshal(c Codec, body []byte, v any) error {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return bus.Errorf(bus.Internal, "a body is decoded into a pointer, not into a %T", v)
	}
	rv = rv.Elem()
	var f *fault
	switch c {
	case JSON, Msgpack:
		if len(body) > 0 {
			f = p.unmarshal(c, body, rv, false)
		}
	case Protobuf:
		m, ok := protoMessage(rv)
		if !ok {
			return wrongCodec(c, v)
		}
		f = unmarshalProto(body, m)
	case Raw:
		to, ok := v.(*[]byte)
		if !ok {
			return wrongCodec(c, v)
		}
		*to = append(make([]byte, 0, len(body)), body...)
	default:
		return wrongCodec(c, v)
	}
	if f != nil {
		return f.err(c)
	}
	return nil
}

// unmarshal decodes a body that is not empty; tried says that the generated method has failed.
func (p *Plan) unmarshal(c Codec, body []byte, v reflect.Value, tried bool) *fault {
	memory := memoryFor(len(body))
	n := p.carried(v.Type())
	if n == nil {
		if m, ok := protoMessage(v); ok {
			return unmarshalProtoJSON(c, body, m, memory)
		}
		n = p.node(v.Type())
	}
	if c == JSON {
		return n.unmarshalJSON(body, v, memory)
	}
	seen, f := guardMsgpack(body)
	if f != nil {
		return f
	}
	if !tried && n.generated && body[0] != 0xc0 && n.cost.most(len(body), seen) <= memory {
		if unmarshalGenerated(body, v) {
			return nil
		}
		tried = true
	}
	if tried {
		memory -= failure
	}
	d, ok := p.decoders.Get().(*decoder)
	if !ok {
		d = new(decoder)
	}
	*d = decoder{data: body, seen: seen, memory: memory, tried: tried}
	f = n.dec(d, v)
	*d = decoder{}
	p.decoders.Put(d)
	return f
}

// appendJSON encodes v as JSON: as protobuf defines it for a message, by encoding/json otherwise.
func (p *Plan) appendJSON(dst []byte, v any) ([]byte, *fault) {
	if m, ok := protoOf(v); ok {
		text, f := marshalProtoJSON(m)
		return append(dst, text...), f
	}
	w, ok := p.writers.Get().(*jsonWriter)
	if !ok {
		w = newJSONWriter()
	}
	text, f := w.write(v)
	if f != nil { // the writer may be in any state
		return nil, f
	}
	dst = append(dst, text...)
	if w.buf.Cap() <= maxKept {
		p.writers.Put(w)
	}
	return dst, nil
}

// appendMsgpack encodes v as MessagePack.
func (p *Plan) appendMsgpack(dst []byte, v any) ([]byte, *fault) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		switch n := p.carried(rv.Type().Elem()); {
		case n == nil:
		case !n.generated:
			return p.encode(dst, n, rv.Elem())
		default:
			if body := appendGenerated(dst, v); body != nil {
				return body, nil
			}
		}
	}
	if m, ok := protoOf(v); ok {
		text, f := marshalProtoJSON(m)
		if f != nil {
			return nil, f
		}
		body, f := jsonToMsgpack(text)
		return append(dst, body...), f
	}
	for hops := 0; rv.Kind() == reflect.Pointer && !rv.IsNil() && hops < maxLinks; hops++ {
		rv = rv.Elem()
	}
	if !rv.IsValid() || rv.Kind() == reflect.Pointer && rv.IsNil() {
		return append(dst, 0xc0), nil
	}
	n := p.node(rv.Type())
	if n.generated {
		if body := generatedBody(dst, rv); body != nil {
			return body, nil
		}
	}
	return p.encode(dst, n, rv)
}

func (p *Plan) encode(dst []byte, n *node, rv reflect.Value) ([]byte, *fault) {
	e, ok := p.encoders.Get().(*encoder)
	if !ok {
		e = newEncoder(p)
	}
	body, f := e.encode(n, rv)
	if f != nil {
		return nil, f
	}
	dst = append(dst, body...)
	if e.buf.Cap() <= maxKept {
		clear(e.names[:cap(e.names)])
		p.encoders.Put(e)
	}
	return dst, nil
}

func wrongCodec(c Codec, v any) *bus.Error {
	others := "application/json or application/msgpack"
	switch c {
	case Protobuf:
		return bus.Errorf(bus.Unimplemented, "application/protobuf carries protobuf messages and %T is none: use %s", v, others)
	case Raw:
		return bus.Errorf(bus.Unimplemented, "application/octet-stream carries bytes and %T is not: use %s", v, others)
	}
	return bus.Errorf(bus.Unimplemented, "codec %d is unknown: %s", uint8(c), supported)
}

// For is what a new Plan says: enough where it is asked once per type, as when a handler is
// registered.
func For(t reflect.Type) Codec { return NewPlan().For(t) }

// Marshal is that of a new Plan. It works the type of v out each time: right for now and then, wrong
// where speed matters.
func (c Codec) Marshal(v any) ([]byte, error) { return NewPlan().Marshal(c, v) }

// Unmarshal is that of a new Plan, and like Marshal for now and then.
func (c Codec) Unmarshal(body []byte, v any) error { return NewPlan().Unmarshal(c, body, v) }
