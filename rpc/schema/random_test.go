package schema_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/rpc/schema"
	"github.com/mbus-dev/mbus/rpc/schema/testdata/billing"
)

// TestRandomTypesFitTheirSchemas makes types out of everything encoding/json writes, and values of them.
func TestRandomTypesFitTheirSchemas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		typ := message(randomType(rt, 3))
		s, err := schema.Of(typ)
		if err != nil {
			rt.Fatalf("Of(%s): %v", typ, err)
		}
		closed := compile(t, closeObjects(t, s.Body))
		for range 5 {
			v := reflect.New(typ)
			randomValue(rt, v.Elem(), 4)
			for _, v := range []any{v.Interface(), v.Elem().Interface()} {
				data, err := json.Marshal(v)
				if err != nil {
					rt.Fatalf("%s: %v", typ, err)
				}
				if err := validate(t, closed, data); err != nil {
					rt.Fatalf("%s\n%s\ndoes not fit: %v\n%s", typ, data, err, s.Body)
				}
			}
		}
	})
}

// TestRandomSkeletonsAreRequests checks that what Skeleton suggests is valid, and is what the type reads.
func TestRandomSkeletonsAreRequests(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		typ := message(randomType(rt, 3))
		body := mustOf(t, typ).Body
		skeleton, err := schema.Skeleton(body)
		if err != nil {
			rt.Fatal(err)
		}
		if err := validate(t, compile(t, body), skeleton); err != nil {
			rt.Fatalf("%s\n%s\ndoes not fit: %v\n%s", typ, skeleton, err, body)
		}
		if err := json.Unmarshal(skeleton, reflect.New(typ).Interface()); err != nil {
			rt.Fatalf("%s does not read %s: %v", typ, skeleton, err)
		}
		if _, err := schema.Fields(body); err != nil {
			rt.Fatal(err)
		}
	})
}

// message is what a type is as a message: without pointers around it.
func message(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	return t
}

// closeObjects forbids keys that are not in the schema: an open object would hide a property that is missing from it.
func closeObjects(t testing.TB, body []byte) []byte {
	t.Helper()
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
			if props, ok := v["properties"].(map[string]any); ok && v["type"] != nil {
				if _, isSchema := props["type"].(string); !isSchema {
					v["additionalProperties"] = false
				}
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryKeyWrittenIsInTheSchema(t *testing.T) {
	for _, s := range shapes() {
		if s.name == "tagged" { // has a field that is hidden on purpose
			continue
		}
		body := mustOf(t, s.typ).Body
		sch := compile(t, closeObjects(t, body))
		rapid.Check(t, func(rt *rapid.T) {
			v := reflect.New(s.typ)
			randomValue(rt, v.Elem(), 5)
			data, err := json.Marshal(v.Interface())
			if err != nil {
				rt.Fatal(err)
			}
			if err := validate(t, sch, data); err != nil {
				rt.Fatalf("%s: %s\ndoes not fit: %v\n%s", s.name, data, err, body)
			}
		})
	}
}

func randomType(t *rapid.T, depth int) reflect.Type {
	leaves := []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
		reflect.TypeFor[string](), reflect.TypeFor[any](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[json.RawMessage](), reflect.TypeFor[json.Number](), reflect.TypeFor[Node](), reflect.TypeFor[Tree](),
		reflect.TypeFor[Dict](), reflect.TypeFor[Loop](), reflect.TypeFor[Ring](), reflect.TypeFor[Embedded](), reflect.TypeFor[Level](),
		reflect.TypeFor[PtrText](), reflect.TypeFor[JSONer](), reflect.TypeFor[PtrJSON](), reflect.TypeFor[Blob](), reflect.TypeFor[OddByte](),
		reflect.TypeFor[Color](), reflect.TypeFor[Page[Small]](), reflect.TypeFor[billing.User](), reflect.TypeFor[netip.Addr](),
		reflect.TypeFor[Quoted](), reflect.TypeFor[MapText](), reflect.TypeFor[SelfEmbed](),
	}
	if depth == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	switch rapid.SampledFrom([]string{"leaf", "pointer", "slice", "array", "map", "struct", "struct"}).Draw(t, "kind") {
	case "pointer":
		return reflect.PointerTo(randomType(t, depth-1))
	case "slice":
		return reflect.SliceOf(randomType(t, depth-1))
	case "array":
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "len"), randomType(t, depth-1))
	case "map":
		key := rapid.SampledFrom([]reflect.Type{
			reflect.TypeFor[string](), reflect.TypeFor[Color](), reflect.TypeFor[int](), reflect.TypeFor[uint8](),
			reflect.TypeFor[netip.Addr](), reflect.TypeFor[Level](),
		}).Draw(t, "key")
		return reflect.MapOf(key, randomType(t, depth-1))
	case "struct":
		fields := make([]reflect.StructField, rapid.IntRange(0, 5).Draw(t, "fields"))
		for i := range fields {
			name := rapid.SampledFrom([]string{"", "a", "b", "-", "a b", "\\\\"}).Draw(t, "name")
			opts := rapid.SampledFrom([]string{"", ",", ",omitempty", ",omitzero", ",string", ",string,omitempty"}).Draw(t, "opts")
			typ := randomType(t, depth-1)
			if message(typ).NumMethod() > 0 || reflect.PointerTo(message(typ)).NumMethod() > 0 {
				opts = strings.Replace(opts, ",string", "", 1) // encoding/json does not read back what it writes then
			}
			fields[i] = reflect.StructField{
				Name: fmt.Sprintf("F%d", i), Type: typ,
				Tag: reflect.StructTag(fmt.Sprintf(`json:"%s%s"`, name, opts)),
			}
		}
		return reflect.StructOf(fields)
	}
	return rapid.SampledFrom(leaves).Draw(t, "leaf")
}

// randomValue fills v; at depth 0 it leaves what can be nil nil.
func randomValue(t *rapid.T, v reflect.Value, depth int) {
	if rapid.IntRange(0, 7).Draw(t, "zero") == 0 {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "zone"))
		*p = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "sec"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).In(zone)
		return
	case *json.RawMessage:
		*p = json.RawMessage(rapid.SampledFrom([]string{"1", `{"a":[null]}`, `"x"`}).Draw(t, "raw"))
		return
	case *json.Number:
		*p = json.Number(rapid.SampledFrom([]string{"1", "-1.5", "2e10", "0"}).Draw(t, "num"))
		return
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "ip")})
		return
	case *net.IP:
		*p = net.IPv4(10, 0, 0, rapid.Byte().Draw(t, "ip"))
		return
	case *big.Int:
		p.SetInt64(rapid.Int64().Draw(t, "big"))
		return
	case *big.Float:
		p.SetInt64(rapid.Int64().Draw(t, "float"))
		return
	case *Zip:
		*p = "12345"
		return
	case *encoding.TextMarshaler:
		*p = Level(1)
		return
	}
	randomKind(t, v, depth)
}

func randomKind(t *rapid.T, v reflect.Value, depth int) {
	size := 0
	if depth > 0 {
		size = rapid.IntRange(0, 2).Draw(t, "size")
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(rapid.Uint64().Draw(t, "uint"))
	case reflect.Float32:
		v.SetFloat(float64(rapid.Float32().Draw(t, "float")))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "float"))
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Interface:
		if v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(rapid.SampledFrom([]any{1, "x", []int{1}, map[string]any{"a": nil}}).Draw(t, "any")))
		}
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			randomValue(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), size, size))
		for i := range size {
			randomValue(t, v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			randomValue(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range size {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			randomValue(t, key, 0)
			randomValue(t, elem, depth-1)
			if key.Kind() != reflect.Interface || !key.IsNil() {
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && !strings.HasPrefix(v.Type().Field(i).Tag.Get("json"), "-") && depth > 0 {
				randomValue(t, f, depth-1)
			}
		}
	}
}
