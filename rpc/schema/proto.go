package schema

import (
	"encoding/json"
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoMessage is the descriptor of a message type made by protoc-gen-go, nil for other types: also for those that
// only embed a message, and for dynamic ones, whose type alone says nothing.
func protoMessage(t reflect.Type) (md protoreflect.MessageDescriptor) {
	if t.Kind() != reflect.Struct || !reflect.PointerTo(t).Implements(reflect.TypeFor[proto.Message]()) {
		return nil
	}
	defer func() {
		if recover() != nil {
			md = nil
		}
	}()
	m := reflect.New(t).Interface().(proto.Message).ProtoReflect()
	if reflect.TypeOf(m.Interface()) != reflect.PointerTo(t) {
		return nil
	}
	return m.Descriptor()
}

// proto describes a message as protojson writes it: lowerCamelCase names, 64-bit integers as strings, enumerations by
// name. What protojson also reads (numbers for 64-bit integers, numbers of enumerations) is allowed.
func (b *builder) proto(md protoreflect.MessageDescriptor) (*object, error) {
	if node := protoWellKnown(md); node != nil {
		return node, nil
	}
	node := newObject("type", "object")
	props, required := newObject(), []any{}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		prop, err := b.protoField(fd)
		if err != nil {
			return nil, err
		}
		props.set(fd.JSONName(), prop)
		if fd.Cardinality() == protoreflect.Required {
			required = append(required, fd.JSONName())
		}
	}
	if len(props.keys) > 0 {
		node.set("properties", props)
	}
	if len(required) > 0 {
		node.set("required", required)
	}
	return node, nil
}

func (b *builder) protoField(fd protoreflect.FieldDescriptor) (*object, error) {
	switch {
	case fd.IsMap():
		elem, err := b.protoValue(fd.MapValue())
		if err != nil {
			return nil, err
		}
		return newObject("type", "object", "additionalProperties", elem), nil
	case fd.IsList():
		items, err := b.protoValue(fd)
		if err != nil {
			return nil, err
		}
		return newObject("type", "array", "items", items), nil
	}
	return b.protoValue(fd)
}

func (b *builder) protoValue(fd protoreflect.FieldDescriptor) (*object, error) {
	if err := b.count(); err != nil {
		return nil, err
	}
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		md := fd.Message()
		if node := protoWellKnown(md); node != nil {
			return node, nil
		}
		d, err := b.define(md.FullName(), protoNames(md.FullName()), false,
			func() (*object, error) { return b.proto(md) })
		if err != nil {
			return nil, err
		}
		return newObject("$ref", d), nil
	case protoreflect.EnumKind:
		return protoEnum(fd.Enum()), nil
	}
	return protoScalar(fd.Kind()), nil
}

func protoScalar(k protoreflect.Kind) *object {
	switch k {
	case protoreflect.BoolKind:
		return newObject("type", "boolean")
	case protoreflect.BytesKind:
		return newObject("type", "string", "contentEncoding", "base64")
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return integer(reflect.Int32)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return integer(reflect.Uint32)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return newObject("type", []any{"string", "integer"}, "format", "int64", "pattern", "^-?[0-9]+$")
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return newObject("type", []any{"string", "integer"}, "format", "uint64", "pattern", "^[0-9]+$", "minimum", json.Number("0"))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return newObject("anyOf", []any{
			newObject("type", "number"),
			newObject("enum", []any{"NaN", "Infinity", "-Infinity"}),
		})
	}
	return newObject("type", "string")
}

func protoEnum(ed protoreflect.EnumDescriptor) *object {
	if ed.FullName() == "google.protobuf.NullValue" {
		return newObject("type", "null")
	}
	names := []any{}
	for i := range ed.Values().Len() {
		names = append(names, string(ed.Values().Get(i).Name()))
	}
	return newObject("anyOf", []any{newObject("type", "string", "enum", names), integer(reflect.Int32)})
}

// protoWellKnown describes the messages to which protojson gives a form of their own.
func protoWellKnown(md protoreflect.MessageDescriptor) *object {
	if md.FullName().Parent() != "google.protobuf" {
		return nil
	}
	switch md.Name() {
	case "Any":
		return newObject("type", "object", "properties", newObject("@type", newObject("type", "string")))
	case "Timestamp":
		return newObject("type", "string", "format", "date-time")
	case "Duration":
		return newObject("type", "string", "pattern", `^-?[0-9]+(\.[0-9]+)?s$`)
	case "FieldMask":
		return newObject("type", "string")
	case "Struct":
		return newObject("type", "object")
	case "ListValue":
		return newObject("type", "array", "items", newObject())
	case "Value":
		return newObject()
	case "BoolValue", "Int32Value", "Int64Value", "UInt32Value", "UInt64Value", "FloatValue", "DoubleValue",
		"StringValue", "BytesValue":
		return protoScalar(md.Fields().ByName("value").Kind())
	}
	return nil
}

// protoNames lists what a definition for a message may be called: its name, with the message or package around it, …
func protoNames(full protoreflect.FullName) []string {
	var names []string
	parts := strings.Split(string(full), ".")
	for n := len(parts) - 1; n >= 0; n-- {
		names = append(names, strings.Join(parts[n:], "."))
	}
	return names
}
