package codec

import (
	"reflect"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoMessage gives the message that v is or points to, making it if it is a nil pointer that can
// be set.
func protoMessage(v reflect.Value) (proto.Message, bool) {
	for {
		if v.Kind() == reflect.Struct && v.CanAddr() {
			m, ok := v.Addr().Interface().(proto.Message)
			return m, ok
		}
		if v.Kind() != reflect.Pointer {
			return nil, false
		}
		if v.IsNil() {
			if !v.CanSet() || !v.Type().Implements(reflect.TypeFor[proto.Message]()) {
				return nil, false
			}
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
}

// protoOf is the protobuf message that v is, or a pointer to a copy of it.
func protoOf(v any) (proto.Message, bool) {
	if m, ok := v.(proto.Message); ok {
		return m, true
	}
	rv := reflect.ValueOf(v)
	if rv.IsValid() && isProto(rv.Type()) {
		held := reflect.New(rv.Type())
		held.Elem().Set(rv)
		m, ok := held.Interface().(proto.Message)
		return m, ok
	}
	return nil, false
}

func appendProto(dst []byte, m proto.Message) ([]byte, *fault) {
	body, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m)
	if err != nil {
		return nil, faultf(-1, "%s", protoText(err))
	}
	return body, nil
}

func unmarshalProto(body []byte, m proto.Message) *fault {
	w := protoWalk{body: body, memory: memoryFor(len(body))}
	if f := w.measure(0, len(body), m.ProtoReflect().Descriptor(), 0); f != nil {
		return f
	}
	if err := (proto.UnmarshalOptions{RecursionLimit: 2 * MaxDepth}).Unmarshal(body, m); err != nil {
		return faultf(-1, "%s", protoText(err))
	}
	return nil
}

// protoText takes from an error of the protobuf library the prefix, behind which it changes the
// blank at random.
func protoText(err error) string {
	return strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
}

// protoWalk checks a protobuf body against its type before it is decoded: two bytes can stand for a
// whole message, which takes hundreds.
type protoWalk struct {
	body   []byte
	memory int64
}

// sizeOf is about what a message of a type takes while it is empty.
func sizeOf(md protoreflect.MessageDescriptor) int64 { return 64 + 24*int64(md.Fields().Len()) }

// measure goes through the message in body[start:end].
func (w *protoWalk) measure(start, end int, md protoreflect.MessageDescriptor, depth int) *fault {
	if depth > MaxDepth {
		return overDepth(start)
	}
	for at := start; at < end; {
		num, kind, n := protowire.ConsumeTag(w.body[at:end])
		if n < 0 {
			return faultf(at, "%s", protoText(protowire.ParseError(n)))
		}
		size := protowire.ConsumeFieldValue(num, kind, w.body[at+n:end])
		if size < 0 {
			return faultf(at, "%s", protoText(protowire.ParseError(size)))
		}
		value := at + n
		at = value + size
		if f := w.field(value, at, md.Fields().ByNumber(num), kind, depth); f != nil {
			return f
		}
	}
	return nil
}

// field books one field, whose value is body[start:end].
func (w *protoWalk) field(start, end int, fd protoreflect.FieldDescriptor, kind protowire.Type, depth int) *fault {
	size := int64(end - start)
	inner := fd != nil && fd.Message() != nil &&
		(kind == protowire.BytesType || kind == protowire.StartGroupType)
	text := fd != nil && (fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind)
	switch {
	case inner && fd.IsMap():
		w.memory -= 5*32 + 2*sizeOf(fd.Message())
	case inner:
		w.memory -= 16 + sizeOf(fd.Message())
	case fd != nil && !text && fd.IsList() && kind == protowire.BytesType: // packed, at least a byte each
		w.memory -= 2 * 8 * size
	default:
		w.memory -= 2*24 + size
	}
	if w.memory < 0 {
		return overMemory(start)
	}
	if !inner {
		return nil
	}
	if kind == protowire.StartGroupType {
		content, _ := protowire.ConsumeGroup(fd.Number(), w.body[start:end])
		return w.measure(start, start+len(content), fd.Message(), depth+1)
	}
	_, head := protowire.ConsumeVarint(w.body[start:end])
	return w.measure(start+head, end, fd.Message(), depth+1)
}
