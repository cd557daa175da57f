package codec_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/bus/codec"
)

// outcome is what a caller's value became in the handler: the value, or that it was refused.
type outcome struct {
	Value   any
	Refused bool
}

func decoded(p *codec.Plan, c codec.Codec, body []byte, into reflect.Type) (outcome, error) {
	v := reflect.New(into)
	if err := p.Unmarshal(c, body, v.Interface()); err != nil {
		return outcome{Refused: true}, err
	}
	return outcome{Value: v.Interface()}, nil
}

var exportAll = cmp.Exporter(func(reflect.Type) bool { return true })

func same(a, b outcome) bool { return reflect.DeepEqual(a, b) }

// agree checks that body, the same in JSON and in MessagePack, means the same in a handler that takes
// a value of type into.
func agree(t *rapid.T, p *codec.Plan, text, packed []byte, into reflect.Type) {
	viaJSON, err1 := decoded(p, codec.JSON, text, into)
	viaMsgpack, err2 := decoded(p, codec.Msgpack, packed, into)
	if !same(viaJSON, viaMsgpack) {
		t.Fatalf("%v means different things\njson %s\nmsgpack %x\njson gives %#v (%v)\nmsgpack gives %#v (%v)\n%s", into,
			text, packed, viaJSON, err1, viaMsgpack, err2, cmp.Diff(viaJSON, viaMsgpack, exportAll))
	}
}

// bodies encodes v both ways; false if both refuse it.
func bodies(t *rapid.T, p *codec.Plan, v any) (text, packed []byte, ok bool) {
	text, err1 := p.Marshal(codec.JSON, v)
	packed, err2 := p.Marshal(codec.Msgpack, v)
	if (err1 == nil) != (err2 == nil) {
		t.Fatalf("%T: json says %v, msgpack says %v", v, err1, err2)
	}
	if err1 == nil {
		for c, body := range map[codec.Codec][]byte{codec.JSON: text, codec.Msgpack: packed} {
			if err := codec.Guard(c, body); err != nil {
				if c == codec.JSON && codec.Guard(codec.Msgpack, packed) != nil {
					return nil, nil, false // keys that become the same when they are made UTF-8
				}
				t.Fatalf("we refuse our own %s: %v\n%s", c, err, body)
			}
		}
	}
	return text, packed, err1 == nil
}

func TestAValueMeansTheSameToJSONAndMsgpackCallers(t *testing.T) {
	p := codec.NewPlan()
	for _, kind := range kinds() {
		t.Run(kind.typ.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := draw(t, kind.typ, false)
				text, packed, ok := bodies(t, p, v)
				if !ok {
					return
				}
				agree(t, p, text, packed, kind.typ)
				agree(t, p, text, packed, reflect.TypeFor[any]())
			})
		})
	}
}

type calendar struct {
	At    time.Time
	Maybe *time.Time
	Days  []time.Time
	Named map[string]time.Time
	Rows  [2]struct{ T *time.Time }
	Base
}

func TestAZoneDoesNotChangeWhatATimeMeans(t *testing.T) {
	p := codec.NewPlan()
	rapid.Check(t, func(t *rapid.T) {
		v := draw(t, reflect.TypeFor[calendar](), true)
		if text, packed, ok := bodies(t, p, v); ok {
			agree(t, p, text, packed, reflect.TypeFor[calendar]())
		}
	})
}

// readsItself tells that a type may not read what was written for another type, or keeps how JSON
// spells a value.
func readsItself(t reflect.Type) bool {
	return slices.Contains([]reflect.Type{
		reflect.TypeFor[own](), reflect.TypeFor[packed](), reflect.TypeFor[withOwn](),
		reflect.TypeFor[json.RawMessage](), reflect.TypeFor[withRaw](),
	}, t)
}

func TestCallerAndHandlerMayHaveDifferentTypes(t *testing.T) {
	p := codec.NewPlan()
	rapid.Check(t, func(t *rapid.T) {
		all := kinds()
		from := rapid.SampledFrom(all).Draw(t, "from").typ
		into := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(all), func(k kindOf) bool {
			return readsItself(k.typ)
		})).Draw(t, "into").typ
		if text, packed, ok := bodies(t, p, draw(t, from, false)); ok {
			agree(t, p, text, packed, into)
		}
	})
}

func TestTranscodingKeepsTheMeaning(t *testing.T) {
	p := codec.NewPlan()
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(kinds()).Draw(t, "type").typ
		text, packed, ok := bodies(t, p, draw(t, typ, false))
		if !ok {
			return
		}
		toMsgpack, err := codec.Transcode(codec.JSON, codec.Msgpack, text)
		if err != nil {
			t.Fatal(err)
		}
		toJSON, err := codec.Transcode(codec.Msgpack, codec.JSON, packed)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, p, text, toMsgpack, typ)
		agree(t, p, toJSON, packed, typ)
		agree(t, p, toJSON, toMsgpack, reflect.TypeFor[any]())
	})
}

// drawType makes a struct type that no one has thought of.
func drawType(t *rapid.T, depth int) reflect.Type {
	scalar := []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint64](),
		reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[name](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[[]byte](), reflect.TypeFor[any](), reflect.TypeFor[upper](), reflect.TypeFor[Base](),
	}
	if depth == 3 {
		return rapid.SampledFrom(scalar).Draw(t, "scalar")
	}
	switch rapid.IntRange(0, 9).Draw(t, "shape") {
	case 0:
		return reflect.PointerTo(drawType(t, depth+1))
	case 1:
		return reflect.SliceOf(drawType(t, depth+1))
	case 2:
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "len"), drawType(t, depth+1))
	case 3:
		return reflect.MapOf(reflect.TypeFor[string](), drawType(t, depth+1))
	case 4, 5, 6:
		return drawStruct(t, depth+1)
	}
	return rapid.SampledFrom(scalar).Draw(t, "scalar")
}

func drawStruct(t *rapid.T, depth int) reflect.Type {
	var fields []reflect.StructField
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		tag := rapid.SampledFrom([]string{
			"", "", "", `json:"x"`, `json:"X"`, `json:"y,omitempty"`, `json:",omitempty"`, `json:"-"`, `json:"-,"`,
			`json:"i,string"`, `json:",omitzero"`, `json:"é"`, `json:"É"`, `json:"bad\"name"`, `msgpack:"other"`, `json:"K"`, `json:"\u212a"`,
		}).Draw(t, "tag")
		fields = append(fields, reflect.StructField{
			Name: "F" + strconv.Itoa(i), Type: drawType(t, depth), Tag: reflect.StructTag(tag),
		})
	}
	return reflect.StructOf(fields)
}

func TestTypesNobodyThoughtOfMeanTheSameToo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := codec.NewPlan()
		typ, into := drawStruct(t, 0), drawStruct(t, 0)
		v := draw(t, typ, false)
		if text, packed, ok := bodies(t, p, v); ok {
			agree(t, p, text, packed, typ)
			agree(t, p, text, packed, reflect.TypeFor[any]())
			agree(t, p, text, packed, into)
		}
	})
}

func TestThePlanOfEveryKind(t *testing.T) {
	p := codec.NewPlan()
	for _, kind := range kinds() {
		if got := p.For(kind.typ); got != kind.want {
			t.Errorf("%v is sent as %v, want %v", kind.typ, got, kind.want)
		}
		if got := codec.For(reflect.PointerTo(kind.typ)); got != kind.want {
			t.Errorf("a pointer to %v is sent as %v, want %v", kind.typ, got, kind.want)
		}
	}
}
