package codec_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

func descriptor() *descriptorpb.FileDescriptorProto {
	return protodesc.ToFileDescriptorProto(descriptorpb.File_google_protobuf_descriptor_proto)
}

func TestProtobufMessagesTravelInEveryCodec(t *testing.T) {
	p := codec.NewPlan()
	if got := p.For(reflect.TypeFor[*descriptorpb.FileDescriptorProto]()); got != codec.Protobuf {
		t.Errorf("a message is sent as %v", got)
	}
	at := timestamppb.New(time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC))
	value, err := structpb.NewValue(map[string]any{"a": []any{1.5, "x", nil, true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []proto.Message{descriptor(), at, value, wrapperspb.UInt64(math.MaxUint64), &descriptorpb.FileOptions{}} {
		for _, c := range []codec.Codec{codec.JSON, codec.Msgpack, codec.Protobuf} {
			body, err := p.Marshal(c, in)
			if err != nil {
				t.Fatalf("%v of %T: %v", c, in, err)
			}
			out := in.ProtoReflect().New().Interface()
			if err := p.Unmarshal(c, body, out); err != nil || !proto.Equal(in, out) {
				t.Errorf("%v of %T: got %v and %v", c, in, out, err)
			}
		}
	}
}

func TestJSONOfAMessageIsWhatProtobufDefines(t *testing.T) {
	body, err := codec.JSON.Marshal(&descriptorpb.FieldDescriptorProto{JsonName: proto.String("x"), Number: proto.Int32(1)})
	if want := `{"number":1,"jsonName":"x"}`; err != nil || string(body) != want {
		t.Errorf("got %s and %v, want %s", body, err, want)
	}
	var m descriptorpb.FieldDescriptorProto
	if err := codec.JSON.Unmarshal([]byte(`{"json_name":"x","unknown":[1]}`), &m); err != nil || m.GetJsonName() != "x" {
		t.Errorf("got %v and %v", &m, err)
	}
	var made *timestamppb.Timestamp
	if err := codec.JSON.Unmarshal([]byte(`"2024-02-29T01:02:03Z"`), &made); err != nil || made.GetSeconds() != 1709168523 {
		t.Errorf("into a nil message: got %v and %v", made, err)
	}
}

func TestAMessageByValueIsAMessage(t *testing.T) {
	value := reflect.ValueOf(wrapperspb.String("x")).Elem().Interface()
	for _, c := range []codec.Codec{codec.JSON, codec.Protobuf, codec.Msgpack} {
		body, err := c.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var got wrapperspb.StringValue
		if err := c.Unmarshal(body, &got); err != nil || got.GetValue() != "x" {
			t.Errorf("%v: got %v and %v", c, &got, err)
		}
	}
}

func TestProtobufCarriesMessagesOnly(t *testing.T) {
	if _, err := codec.Protobuf.Marshal(scalars{}); !errors.Is(err, bus.Unimplemented) {
		t.Errorf("got %v, want unimplemented", err)
	}
	if err := codec.Protobuf.Unmarshal(nil, new(scalars)); !errors.Is(err, bus.Unimplemented) {
		t.Errorf("got %v, want unimplemented", err)
	}
	if _, err := codec.Protobuf.Marshal(wrapperspb.String("bad \xff")); !errors.Is(err, bus.Internal) {
		t.Errorf("invalid UTF-8 in protobuf: got %v, want internal", err)
	}
	if _, err := codec.JSON.Marshal(wrapperspb.String("bad \xff")); !errors.Is(err, bus.Internal) {
		t.Errorf("invalid UTF-8: got %v, want internal", err)
	}
	type holds struct{ T *timestamppb.Timestamp }
	if got := codec.For(reflect.TypeFor[holds]()); got != codec.JSON {
		t.Errorf("a struct that holds a message is sent as %v", got)
	}
}

// dynamic makes a message type with every form of field.
func dynamic(t *testing.T) protoreflect.MessageType {
	const text = `{"name":"t.proto","package":"t","messageType":[{"name":"M",
		"nestedType":[{"name":"KidsEntry","options":{"mapEntry":true},"field":[
			{"name":"key","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"key"},
			{"name":"value","number":2,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":".t.M","jsonName":"value"}]},
			{"name":"G","field":[{"name":"x","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_INT32","jsonName":"x"}]}],
		"field":[
			{"name":"kids","number":1,"label":"LABEL_REPEATED","type":"TYPE_MESSAGE","typeName":".t.M.KidsEntry","jsonName":"kids"},
			{"name":"list","number":2,"label":"LABEL_REPEATED","type":"TYPE_MESSAGE","typeName":".t.M","jsonName":"list"},
			{"name":"numbers","number":3,"label":"LABEL_REPEATED","type":"TYPE_INT64","options":{"packed":true},"jsonName":"numbers"},
			{"name":"texts","number":4,"label":"LABEL_REPEATED","type":"TYPE_STRING","jsonName":"texts"},
			{"name":"g","number":5,"label":"LABEL_OPTIONAL","type":"TYPE_GROUP","typeName":".t.M.G","jsonName":"g"},
			{"name":"long_name","number":6,"label":"LABEL_OPTIONAL","type":"TYPE_BYTES","jsonName":"longName"}]}]}`
	var file descriptorpb.FileDescriptorProto
	if err := codec.JSON.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(&file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessageType(fd.Messages().Get(0))
}

func TestEveryFormOfProtobufFieldPasses(t *testing.T) {
	const text = `{"kids":{"a":{"list":[{},{"numbers":["1","-2"]}]}},"list":[{}],"texts":["x",""],"g":{"x":1},"longName":"aGk="}`
	m := dynamic(t)
	in := m.New().Interface()
	if err := codec.JSON.Unmarshal([]byte(text), in); err != nil {
		t.Fatal(err)
	}
	for _, c := range []codec.Codec{codec.JSON, codec.Msgpack, codec.Protobuf} {
		body, err := c.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		out := m.New().Interface()
		if err := c.Unmarshal(body, out); err != nil || !proto.Equal(in, out) {
			t.Errorf("%v: got %v and %v", c, out, err)
		}
	}
}

func TestProtobufMemoryIsBounded(t *testing.T) {
	const n = 50_000
	m := dynamic(t)
	list := func(field, item string) []byte {
		return []byte(`{"` + field + `":[` + strings.Repeat(item+",", n) + item + `]}`)
	}
	for _, row := range []struct {
		c    codec.Codec
		body []byte
	}{
		{codec.Protobuf, bytes.Repeat([]byte{1<<3 | 2, 0}, n)},
		{codec.Protobuf, bytes.Repeat([]byte{2<<3 | 2, 0}, n)},
		{codec.Protobuf, protowire.AppendBytes([]byte{3<<3 | 2}, make([]byte, n))},
		{codec.Protobuf, bytes.Repeat([]byte{3 << 3, 1}, n)},
		{codec.Protobuf, bytes.Repeat([]byte{4<<3 | 2, 0}, n)},
		{codec.Protobuf, bytes.Repeat([]byte{5<<3 | 3, 5<<3 | 4}, n)},
		{codec.Protobuf, bytes.Repeat([]byte{9<<3 | 3, 9<<3 | 4}, n)},
		{codec.JSON, list("list", "{}")},
		{codec.JSON, list("numbers", "1")},
		{codec.JSON, list("texts", `""`)},
		{codec.JSON, list("unknown", `{"a":[]}`)},
	} {
		v := m.New().Interface()
		var err error
		size := allocated(func() { err = codec.NewPlan().Unmarshal(row.c, row.body, v) })
		if limit := bound(codec.JSON, len(row.body)); size > limit {
			t.Errorf("%v %.20q: %d bytes allocated %d, over %d (%v)", row.c, row.body, len(row.body), size, limit, err)
		}
		if err != nil && !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("%v %.20q: %v", row.c, row.body, err)
		}
	}
}

func TestHostileProtobufIsRefused(t *testing.T) {
	deep := []byte{}
	for range 100 { // DescriptorProto.nested_type is field 3
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), deep)
	}
	groups := bytes.Repeat(protowire.AppendTag(nil, 100, protowire.StartGroupType), 100_000)
	empties := bytes.Repeat([]byte{3<<3 | 2, 0}, 300_000) // two bytes for each message
	for name, body := range map[string][]byte{
		"deep": deep, "groups that do not end": groups, "empty messages": empties,
		"cut": {3<<3 | 2, 5, 1}, "bad tag": {0}, "length of 4G": {3<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		var m descriptorpb.DescriptorProto
		_ = codec.Protobuf.Unmarshal([]byte{3<<3 | 2, 0}, &m)
		var err error
		size := allocated(func() { err = codec.Protobuf.Unmarshal(body, &m) })
		if !errors.Is(err, bus.InvalidArgument) || size > 256<<10 {
			t.Errorf("%s: got %v after %d bytes, want invalid_argument for next to nothing", name, err, size)
		}
	}
	text := `{"nestedType":[` + strings.Repeat("{},", 300_000) + "{}]}"
	var m descriptorpb.DescriptorProto
	if err := codec.JSON.Unmarshal([]byte(text), &m); !errors.Is(err, bus.InvalidArgument) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("empty messages in JSON: got %v, want invalid_argument", err)
	}
	free := "[" + strings.Repeat("0,", 300_000) + "0]"
	var v structpb.Value
	if err := codec.JSON.Unmarshal([]byte(free), &v); !errors.Is(err, bus.InvalidArgument) {
		t.Errorf("a list of values: got %v, want invalid_argument", err)
	}
}

func TestProtobufIsCutAnywhereWithoutHarm(t *testing.T) {
	body, err := codec.Protobuf.Marshal(descriptor())
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(body); cut += 1 + cut/100 {
		if err := codec.Protobuf.Unmarshal(body[:cut], new(descriptorpb.FileDescriptorProto)); err != nil && !errors.Is(err, bus.InvalidArgument) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for _, c := range []codec.Codec{codec.Protobuf, codec.JSON} {
		body, err := c.Marshal(descriptor())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Unmarshal(body, new(descriptorpb.FileDescriptorProto)); err != nil {
			t.Errorf("an ordinary message of %d bytes: %v", len(body), err)
		}
	}
}
