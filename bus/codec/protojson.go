package codec

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// marshalProtoJSON writes the JSON form that protobuf defines, without the blanks that its library
// adds at random.
func marshalProtoJSON(m proto.Message) ([]byte, *fault) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, faultf(-1, "%s", protoText(err))
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, text); err != nil {
		return nil, faultf(-1, "%v", err)
	}
	return buf.Bytes(), nil
}

// unmarshalProtoJSON reads the JSON form, or its MessagePack equivalent.
func unmarshalProtoJSON(c Codec, body []byte, m proto.Message, memory int64) *fault {
	if c == Msgpack {
		if _, f := guardMsgpack(body); f != nil {
			return f
		}
		body = msgpackToJSON(body)
	}
	if _, f := guardJSON(body); f != nil {
		return f
	}
	if f := measureProtoJSON(body, m.ProtoReflect().Descriptor(), memory); f != nil {
		return f
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
		return faultf(-1, "%s", protoText(err))
	}
	return nil
}

// protoSlot is what a JSON value goes into.
type protoSlot struct {
	md    protoreflect.MessageDescriptor // nil for what is no message
	isMap bool                           // of such messages
	free  bool                           // any form of value, as google.protobuf.Value takes it
}

// protoFrame is one open object or array of a JSON text.
type protoFrame struct {
	slot   protoSlot                      // of the next value
	fields protoreflect.MessageDescriptor // whose fields the keys are, if it is a message
}

// measureProtoJSON books what a JSON text takes as a message, as measureJSON does for other types.
func measureProtoJSON(text []byte, md protoreflect.MessageDescriptor, memory int64) *fault {
	var (
		s    jsonScan
		open [MaxDepth + 1]protoFrame
	)
	_ = s.begin(text, true)
	open[0].slot.md = md
	for {
		t, f := s.next()
		if f != nil || t.kind == tokEnd {
			return f
		}
		switch t.kind {
		case tokClose:
		case tokKey:
			if in := &open[s.depth]; in.fields != nil {
				in.slot = slotOf(in.fields, string(unquote(text[t.start:t.end])))
			}
			memory -= 5*32 + int64(t.end-t.start)
		case tokObject, tokArray:
			var size int64
			open[s.depth], size = open[s.depth-1].slot.open(t.kind)
			memory -= 64 + size
		default:
			memory -= 2*24 + int64(t.end-t.start)
			if open[s.depth].slot.free {
				memory -= freeValue
			}
		}
		if memory < 0 {
			return overMemory(t.start)
		}
	}
}

// freeValue is what a google.protobuf.Value takes with what it wraps.
const freeValue = 256

// open is the frame of an object or array that goes into p, and what it takes.
func (p protoSlot) open(kind byte) (protoFrame, int64) {
	switch {
	case p.free:
		return protoFrame{slot: p}, freeValue
	case p.md == nil:
		return protoFrame{}, 0
	case p.isMap:
		return protoFrame{slot: protoSlot{md: p.md}}, 0
	case takesAnything(p.md.FullName()):
		return protoFrame{slot: protoSlot{free: true}}, freeValue
	case kind == tokArray:
		return protoFrame{slot: p}, 0
	}
	return protoFrame{fields: p.md}, sizeOf(p.md) + 16
}

// takesAnything tells whether a message has JSON of any form rather than fields.
func takesAnything(name protoreflect.FullName) bool {
	switch name {
	case "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue":
		return true
	}
	return false
}

// slotOf is the slot of a field, found by either of the names protobuf's JSON allows.
func slotOf(md protoreflect.MessageDescriptor, name string) protoSlot {
	fd := md.Fields().ByJSONName(name)
	if fd == nil {
		fd = md.Fields().ByTextName(name)
	}
	switch {
	case fd == nil:
		return protoSlot{}
	case fd.IsMap():
		return protoSlot{md: fd.MapValue().Message(), isMap: true}
	}
	return protoSlot{md: fd.Message()}
}
