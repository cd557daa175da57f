package codec_test

import (
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/bus/codec"
)

// filler draws values of any type.
type filler struct {
	t     *rapid.T
	zones bool // times in other zones than UTC
}

func (f filler) fill(v reflect.Value, depth int) {
	if !v.CanSet() {
		return
	}
	switch special := v.Addr().Interface().(type) {
	case *time.Time:
		*special = f.time()
		return
	case *url.URL:
		special.Host, special.Path = f.text(), f.text()
		return
	case *big.Int:
		special.SetInt64(rapid.Int64().Draw(f.t, "big"))
		return
	case *netip.Addr:
		*special = netip.AddrFrom4([4]byte{byte(f.n(255)), 2, 3, 4})
		return
	case *jsonly:
		special.n = f.n(1000)
		return
	case *own:
		special.at = f.n(1000)
		return
	case *packed:
		special.text = f.text()
		return
	case *error, *interface{ String() string }:
		return // interfaces with methods can be written but not read
	}
	switch v.Type().String() {
	case "json.RawMessage":
		v.SetBytes([]byte(`{"a":[1,2.5,"x"]}`))
		return
	case "json.Number":
		v.SetString([]string{"1", "1.5", "-0"}[f.n(2)]) // not 1e2: only JSON keeps how a number is spelled
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(f.t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(f.integer() >> (64 - v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(uint64(f.integer()) >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(f.float(32))
	case reflect.Float64:
		v.SetFloat(f.float(64))
	case reflect.String:
		v.SetString(f.text())
	case reflect.Pointer:
		if depth < 5 && f.n(2) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if size := f.size(depth); size >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), size, size))
			for i := range size {
				f.fill(v.Index(i), depth+1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		if size := f.size(depth); size >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range size {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				f.fill(key, depth+1)
				f.fill(value, depth+1)
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), depth+1)
		}
	case reflect.Interface:
		if value := f.any(depth); value != nil {
			v.Set(reflect.ValueOf(value))
		}
	}
}

func (f filler) n(most int) int { return rapid.IntRange(0, most).Draw(f.t, "n") }

// size is that of a slice or map; -1 for nil.
func (f filler) size(depth int) int {
	if depth >= 5 {
		return f.n(1) - 1
	}
	return f.n(4) - 1
}

func (f filler) integer() int64 {
	return rapid.OneOf(
		rapid.SampledFrom([]int64{0, 1, -1, 127, 128, -32, -33, -128, -129, 255, 256, 1 << 53, math.MaxInt64, math.MinInt64}),
		rapid.Int64(),
		rapid.Map(rapid.IntRange(0, 62), func(shift int) int64 { return 1 << shift }),
	).Draw(f.t, "int")
}

func (f filler) float(bits int) float64 {
	v := rapid.OneOf(
		rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), 1, -1, 1.5, 0.1, 1e-7, 1e20, 1e21, 1e22, 1 << 24, 1<<24 + 2, 1 << 53, 1<<53 + 2, 1 << 62, -1 << 63,
			1 << 63, 1<<64 - 2048, 1 << 64, 1e19, -1e19, math.MaxFloat32, math.SmallestNonzeroFloat64, 9007199254740993, 3e10,
		}),
		rapid.Float64(),
		rapid.Map(rapid.Int64(), func(i int64) float64 { return float64(i) }),
	).Draw(f.t, "float")
	if bits == 32 {
		v = float64(float32(v))
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return 0.5
	}
	return v
}

func (f filler) text() string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "é\u2028\x00<&>\"\\", "\U0001f600", "2024-02-29T01:02:03Z", "aGk=", "-12", "bad \xff\xfe utf8"}),
		rapid.String(),
	).Draw(f.t, "text")
}

func (f filler) time() time.Time {
	t := time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(f.t, "sec"), rapid.Int64Range(0, 999999999).Draw(f.t, "nsec")).UTC()
	switch f.n(4) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(t.Unix(), 0).UTC()
	case 2:
		return time.Date(2024, 5, 6, 7, 8, 9, f.n(9), time.UTC)
	}
	if f.zones && t.Year() > 0 && t.Year() < 9999 {
		return t.In(time.FixedZone("", 60*(f.n(24*60)-12*60)))
	}
	return t
}

// any draws what an interface may hold: also types of every other kind.
func (f filler) any(depth int) any {
	if depth >= 5 {
		return f.text()
	}
	switch f.n(13) {
	case 0:
		return nil
	case 1:
		return f.text()
	case 2:
		return f.integer()
	case 3:
		return f.float(64)
	case 4:
		return float32(f.float(32))
	case 5:
		return uint64(f.integer())
	case 6:
		return rapid.Bool().Draw(f.t, "bool")
	case 7, 8:
		list := make([]any, f.n(3))
		for i := range list {
			list[i] = f.any(depth + 1)
		}
		return list
	case 9, 10:
		m := map[string]any{}
		for range f.n(3) {
			m[f.text()] = f.any(depth + 1)
		}
		return m
	}
	all := kinds()
	typ := all[f.n(len(all)-1)].typ
	if typ.String() == "struct { C chan int }" {
		return nil
	}
	v := reflect.New(typ).Elem()
	f.fill(v, depth+2)
	if f.n(1) == 0 {
		return v.Addr().Interface()
	}
	return v.Interface()
}

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

func draw(t *rapid.T, typ reflect.Type, zones bool) any {
	v := reflect.New(typ)
	filler{t: t, zones: zones}.fill(v.Elem(), 0)
	return v.Interface()
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
