package schema_test

import (
	"encoding"
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"time"
	"unsafe"

	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mbus-dev/mbus/rpc/schema/testdata/auth"
)

// shape is one row of the tables: a type and values of it that encoding/json writes.
type shape struct {
	name   string
	typ    reflect.Type
	values []any
}

func of[T any](name string, values ...T) shape {
	s := shape{name: name, typ: reflect.TypeFor[T](), values: []any{*new(T)}}
	for _, v := range values {
		s.values = append(s.values, v)
	}
	return s
}

func ptr[T any](v T) *T { return &v }

func shapes() []shape {
	localA, localB := local()
	same := reflect.StructOf([]reflect.StructField{{Name: "A", Type: localA}, {Name: "B", Type: localB}})
	now := time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600))
	node := Node{Value: 1, Next: &Node{Children: []Node{{}, {}}}, ByName: map[string]*Node{"x": nil, "y": {}}}
	self := SelfEmbed{V: 1, SelfEmbed: &SelfEmbed{V: 2}}
	str := "s"
	return []shape{
		of("scalars", Scalars{Int: -1, Int8: -128, Int64: -1 << 63, Uint8: 255, Uint64: 1<<64 - 1, Float64: 1e300, Any: []int{1}}),
		of("nils", Nils{
			Slice: []string{"a"}, Map: map[string]int{"a": 1}, Ptr: ptr(1), PtrPtr: ptr(&str), Struct: &Scalars{},
			Bytes: []byte("hi"), Inner: [][]*Small{nil, {nil, {}}}, Maps: map[string][]bool{"x": nil, "y": {true}},
			Text: netip.MustParseAddr("::1"), Items: &[]*int{nil, ptr(3)},
		}),
		of("arrays", Arrays{Blob: Blob("x"), Octets: []Octet{1, 2}, Odd: []OddByte{1}, Ptrs: [2]*Small{{}, nil}}),
		of("keys", Keys{
			Str: map[Color]int{"": 1}, Int: map[int8]int{-3: 1}, Uint: map[uint64]string{1 << 63: ""},
			Addr: map[netip.Addr]bool{netip.MustParseAddr("10.0.0.1"): true}, Any: map[string]any{"a": nil},
			Deep:  map[string]map[int]*Small{"": nil, "x": {0: nil, -1: {}}},
			Iface: map[encoding.TextMarshaler]int{Level(1): 1},
		}),
		of("std", Std{
			Time: now, TimeP: &now, Dur: time.Second, Raw: json.RawMessage(`{"a":[1]}`), Num: "1.5e3", Big: big.NewInt(5),
			Float: big.NewFloat(1.5), IP: net.IPv4(1, 2, 3, 4), Addr: netip.MustParseAddr("::1"),
		}),
		of("quoted", Quoted{Int: -5, Ptr: ptr(uint8(7)), Bool: true, Float: 1e-9, Str: "a\n\"b\u2028", Num: "12", Slice: []int{1}, PP: ptr(ptr(3))},
			Quoted{Float: -1.5e22}),
		of("node", node),
		of("tree", Tree{nil, Tree{Tree{}}}),
		of("dict", Dict{"a": nil, "b": Dict{"c": nil}}),
		of("loop", Loop(new(Loop))),
		of("ring", Ring(&[]Ring{nil, {}})),
		of("loops", Loops{Tree: Tree{nil}, Dict: Dict{"a": nil}, Ring: &[]Ring{nil}, TP: &Tree{nil}, Ping: Ping{&Pong{[]Ping{{}}}}, Anon: struct{ Node *Node }{&node}}),
		of("embedded", Embedded{Other: &Other{Name: "n"}, Color: "red", Shadow: "id"}),
		of[Twice]("twice"),
		of("self-embed", self),
		of("stamped", Stamped{Time: now}),
		of("methods", Methods{PtrTexts: map[string]PtrText{"a": 1}, PtrTextP: new(PtrText), LevelP: new(Level), PtrJSONs: map[string]PtrJSON{"a": {}}, List: []Level{1}}),
		of("generic", Generic{Users: Page[auth.User]{Items: []auth.User{{}}}}),
		of("same-name", Same{Again: &auth.User{}}),
		{name: "same-function", typ: same, values: []any{reflect.Zero(same).Interface()}},
		of[Größe]("unicode"),
		of("tagged", Tagged{Name: "joe", Kind: ptr("red"), Tags: []string{"a"}, Mail: "a@b.c", Multi: 1, Smalls: []Small{{}}, SmallP: []*Small{nil, {}}, Named: Words{"x"}, Dict: Dict{"a": nil}, Two: "x", Also: "y"},
			Tagged{Name: "joe", Multi: "x", Mail: "a@b", Tags: []string{"a", "b"}, One: "x", Ratio: 1.5, Secret: "s"}).tail(),
		of("omits", Omits{At: now, Arr: [2]int{1, 2}, S: &Small{}}),
		of("custom", Custom{Zip: "12", ZipP: ptr(Zip("")), Zips: []Zip{"1"}, Addr: Address{Zip: "3"}}),
		of("anonymous", struct {
			A []struct{ B *struct{ C int } }
		}{A: []struct{ B *struct{ C int } }{{nil}, {&struct{ C int }{1}}}}),
		of("empty", struct{}{}),
		of("slice", []Small{{}}),
		of("map", map[string]*Small{"a": nil}),
		of("bytes", []byte("x")),
		of("text", "hello"),
		of[any]("any", 1, "x", nil),
		of("time", now),
		of("raw", json.RawMessage("{}")),
	}
}

// tail drops the zero value where it does not fit: a constraint of a tag, a nil message.
func (s shape) tail() shape {
	s.values = s.values[1:]
	return s
}

// protoShapes are written by protojson.
func protoShapes() []shape {
	value, _ := structpb.NewValue(map[string]any{"a": []any{1, nil}})
	one, _ := anypb.New(timestamppb.Now())
	file := &descriptorpb.FileDescriptorProto{
		Name: ptr("a.proto"), Dependency: []string{"b"}, PublicDependency: []int32{1},
		MessageType: []*descriptorpb.DescriptorProto{{Name: ptr("M"), NestedType: []*descriptorpb.DescriptorProto{{}}, Field: []*descriptorpb.FieldDescriptorProto{{
			Type: descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum(), Options: &descriptorpb.FieldOptions{UninterpretedOption: []*descriptorpb.UninterpretedOption{{
				PositiveIntValue: ptr(uint64(1 << 60)), NegativeIntValue: ptr(int64(-1)), DoubleValue: ptr(1.5), StringValue: []byte("x"),
				Name: []*descriptorpb.UninterpretedOption_NamePart{{NamePart: ptr("n"), IsExtension: ptr(true)}},
			}}},
		}}}},
	}
	return []shape{
		of("proto-file", file).tail(),
		of("proto-timestamp", timestamppb.Now()).tail(),
		of("proto-duration", durationpb.New(-time.Millisecond)).tail(),
		of("proto-value", value).tail(),
		of("proto-any", one).tail(),
		of("proto-api", &apipb.Api{Name: "a", Methods: []*apipb.Method{{RequestStreaming: true}}}).tail(),
	}
}

// unwritable are types that encoding/json cannot write, with what the error must say.
func unwritable() map[string]reflect.Type {
	return map[string]reflect.Type{
		"Inner.Done: chan int cannot":                reflect.TypeFor[struct{ Inner struct{ Done chan int } }](),
		"Fns[]: func() cannot":                       reflect.TypeFor[struct{ Fns []func() }](),
		"complex128 cannot":                          reflect.TypeFor[struct{ Z *complex128 }](),
		"unsafe.Pointer cannot":                      reflect.TypeFor[struct{ P unsafe.Pointer }](),
		"Flags: a map with keys of type bool cannot": reflect.TypeFor[struct{ Flags map[bool]int }](),
		"keys of type interface {}":                  reflect.TypeFor[map[any]int](),
		"N: jsonschema tag: pattern: error parsing": reflect.TypeFor[struct {
			N string `jsonschema:"pattern=["`
		}](),
		"N: jsonschema tag: type \"text\" is unknown": reflect.TypeFor[struct {
			N any `jsonschema:"type=text"`
		}](),
		"multipleOf must be a number": reflect.TypeFor[struct {
			N int `jsonschema:"multipleOf=0"`
		}](),
		"$ref cannot be set from a tag": reflect.TypeFor[struct {
			N any `jsonschema:"oneof_ref=#/x"`
		}](),
		"deprecated must be": reflect.TypeFor[struct {
			N string `jsonschema_extras:"deprecated=maybe"`
		}](),
		"it does not fit the type": reflect.TypeFor[struct {
			N string `jsonschema:"type=array,format=x"`
		}](),
		"L: schema_test.Linked.JSONSchema uses $ref":     reflect.TypeFor[struct{ L Linked }](),
		"P[]: schema_test.Panicky.JSONSchema panicked":   reflect.TypeFor[struct{ P []Panicky }](),
		"schema_test.Wrong.JSONSchema: type \"text\" is": reflect.TypeFor[Wrong](),
	}
}
