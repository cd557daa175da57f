package codec_test

import (
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"time"

	"pgregory.net/rapid"
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

func draw(t *rapid.T, typ reflect.Type, zones bool) any {
	v := reflect.New(typ)
	filler{t: t, zones: zones}.fill(v.Elem(), 0)
	return v.Interface()
}
