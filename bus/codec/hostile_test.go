package codec_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// wide is a type whose values take far more memory than their shortest encoding.
type wide struct {
	Block [128]int64
	Next  *wide
	Any   any
}

// targets are the types that hostile bodies are decoded into.
func targets() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[[]int64](), reflect.TypeFor[any](), reflect.TypeFor[[]any](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[map[string]any](), reflect.TypeFor[map[string]string](), reflect.TypeFor[string](), reflect.TypeFor[int8](),
		reflect.TypeFor[holders](), reflect.TypeFor[tree](), reflect.TypeFor[embedding](), reflect.TypeFor[withRaw](),
		reflect.TypeFor[[]wide](), reflect.TypeFor[[]*wide](), reflect.TypeFor[map[string]wide](), reflect.TypeFor[[][4096]byte](),
		reflect.TypeFor[withOwn](), reflect.TypeFor[Path](), reflect.TypeFor[time.Time](),
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// bound is what decoding a body may allocate. What a JSON text grows out of on the way counts as
// well in TotalAlloc, which only grows.
func bound(c codec.Codec, body int) int {
	limit := codec.MaxMemoryBase + codec.MaxMemoryFactor*body
	if c == codec.JSON {
		limit *= 3
	}
	return limit
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refused checks that decoding body into every target is an invalid_argument that costs next to
// nothing.
func refused(t *testing.T, c codec.Codec, body []byte, wantText string) {
	t.Helper()
	p := codec.NewPlan()
	into := targets()
	if len(body) > 1<<20 {
		into = into[:2] // the guard is the same for all, and takes its time under the race detector
	}
	for _, target := range into {
		v := reflect.New(target).Interface()
		_ = p.Unmarshal(c, nil, v)
		p.For(target)
		var err error
		size := allocated(func() { err = p.Unmarshal(c, body, v) })
		if !errors.Is(err, bus.InvalidArgument) {
			t.Fatalf("into %v: got %v, want invalid_argument", target, err)
		}
		if size > 256<<10 {
			t.Errorf("into %v: refusing %d bytes allocated %d", target, len(body), size)
		}
		if !strings.Contains(err.Error(), wantText) {
			t.Errorf("into %v: got %q, want it to say %q", target, err, wantText)
		}
		if err := codec.Guard(c, body); !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("guard: got %v, want invalid_argument", err)
		}
	}
}

func TestMsgpackThatIsWrongIsRefusedAtOnce(t *testing.T) {
	for _, row := range []struct{ name, body, text string }{
		{"array of 4G", "dd ff ff ff ff", "at byte 0: an array of 4294967295 is announced"},
		{"map of 4G", "df ff ff ff ff", "a map of 4294967295 is announced"},
		{"string of 4G", "db ff ff ff ff", "a string of 4294967295 bytes is announced"},
		{"binary of 4G", "c6 ff ff ff ff", "binary of 4294967295 bytes is announced"},
		{"extension of 4G", "c9 ff ff ff ff ff", "an extension of 4294967295 bytes is announced"},
		{"array of 4G behind a value", "92 01 dd ff ff ff ff", "at byte 2"},
		{"map with too few bytes", "82 a1 61 01", "a map of 2 is announced"},
		{"nothing behind a map key", "81 a1 61", "ends inside a value"},
		{"reserved byte", "c1", "no value starts with the byte 0xc1"},
		{"trailing value", "01 02", "at byte 1: 1 bytes follow"},
		{"trailing nil", "80 c0", "1 bytes follow"},
		{"integer key", "81 01 02", "a key is an integer"},
		{"binary key", "81 c4 01 61 02", "a key is binary"},
		{"nil key", "81 c0 02", "a key is nil"},
		{"array as key", "81 90 02", "a key is an array"},
		{"duplicate key", "82 a1 61 01 a1 61 02", `the key "a" is there twice`},
		{"duplicate key in two spellings", "82 a1 61 01 d9 01 61 02", `the key "a" is there twice`},
		{"duplicate key deep inside", "91 81 a1 78 82 a1 61 01 a1 61 02", "twice"},
		{"duplicate among many", "de 00 0a a130c0 a131c0 a132c0 a133c0 a134c0 a135c0 a136c0 a137c0 a138c0 a130c0", "twice"},
		{"not a number", "cb 7f f8 00 00 00 00 00 00", "must be finite"},
		{"infinity", "cb ff f0 00 00 00 00 00 00", "must be finite"},
		{"not a number in 32 bits", "ca 7f c0 00 00", "must be finite"},
		{"infinity in 32 bits", "ca ff 80 00 00", "must be finite"},
		{"invalid UTF-8", "a2 c3 28", "not valid UTF-8"},
		{"invalid UTF-8 in a key", "81 a1 ff 01", "not valid UTF-8"},
		{"surrogate in UTF-8", "a3 ed a0 80", "not valid UTF-8"},
		{"extension of another type", "d4 05 00", "extension type 5"},
		{"timestamp of a wrong length", "d5 ff 00 00", "a timestamp must"},
		{"timestamp with too many nanoseconds", "d7 ff ff ff ff ff 00 00 00 00", "a timestamp must"},
		{"timestamp far away", "c7 0c ff 00 00 00 00 7f ff ff ff ff ff ff ff", "a timestamp must"},
		{"timestamp in the year -1", "c7 0c ff 00 00 00 00 ff ff ff f1 86 8b 83 ff", "a timestamp must"},
	} {
		t.Run(row.name, func(t *testing.T) { refused(t, codec.Msgpack, unhex(t, row.body), row.text) })
	}
	t.Run("deep arrays", func(t *testing.T) {
		refused(t, codec.Msgpack, bytes.Repeat([]byte{0x91}, 900<<10), "at byte 64: it nests deeper than 64")
	})
	t.Run("deep maps", func(t *testing.T) {
		refused(t, codec.Msgpack, bytes.Repeat([]byte{0x81, 0xa0}, 450<<10), "nests deeper than 64")
	})
	t.Run("65 empty arrays in each other", func(t *testing.T) {
		refused(t, codec.Msgpack, append(bytes.Repeat([]byte{0x91}, 64), 0x90), "nests deeper")
	})
	t.Run("too many values", func(t *testing.T) {
		body := append([]byte{0xdd, 0, 0x10, 0, 0}, bytes.Repeat([]byte{1}, 1<<20)...)
		refused(t, codec.Msgpack, body, "over 1000000 values")
	})
	t.Run("a key half a million times", func(t *testing.T) {
		body := append([]byte{0xdf, 0, 7, 0, 0}, bytes.Repeat([]byte{0xa0, 0xc0}, 7<<16)...)
		refused(t, codec.Msgpack, body, "twice")
	})
}

func TestJSONThatIsWrongIsRefusedAtOnce(t *testing.T) {
	for _, row := range []struct{ name, body, text string }{
		{"nothing but blanks", " \n", "it ends where a value should be"},
		{"cut array", "[1,", "at byte 3: it ends where a value should be"},
		{"cut string", `"abc`, "ends inside a string"},
		{"trailing value", "1 2", "at byte 2: 1 bytes follow"},
		{"trailing comma", "[1,]", `']' where a value should be`},
		{"trailing comma in an object", `{"a":1,}`, `'}' where a key should be`},
		{"two colons", `{"a"::1}`, "where a value should be"},
		{"no colon", `{"a" 1}`, "where a colon should be"},
		{"no comma", `[1 2]`, "where a comma or ] should be"},
		{"wrong close", `[1}`, "where a comma or ] should be"},
		{"bare word", "nul", "where a value should be"},
		{"single quotes", "'a'", "where a value should be"},
		{"leading zero", "[01]", "where a comma or ] should be"},
		{"leading plus", "+1", "where a value should be"},
		{"lone minus", "-", "ends where a digit should be"},
		{"no fraction", "1.", "ends where a digit should be"},
		{"no exponent", "1e+", "ends where a digit should be"},
		{"control character", "\"a\x01\"", "control character 0x01"},
		{"unknown escape", `"\x"`, "an escape sequence that JSON does not have"},
		{"short escape", `"\u12"`, "four hexadecimal digits"},
		{"lone surrogate", `"\ud800"`, "half of a surrogate pair"},
		{"low surrogate first", `"\udc00\ud800"`, "half of a surrogate pair"},
		{"two high surrogates", `"\ud800\ud800"`, "half of a surrogate pair"},
		{"lone surrogate in a key", `{"\ud800":1}`, "half of a surrogate pair"},
		{"duplicate key", `{"a":1,"a":2}`, `at byte 7: the key "a" is there twice`},
		{"duplicate key in two spellings", `{"a":1,"\u0061":2}`, "twice"},
		{"duplicate key deep inside", `[{"x":{"a":1,"b":[{}],"a":2}}]`, "twice"},
		{"byte order mark", "\xef\xbb\xbf{}", "byte order mark"},
		{"UTF-16", "{\x00}\x00", "where a key should be"},
		{"invalid UTF-8", "\"a\xff\"", "at byte 2: it is not valid UTF-8"},
		{"comment", "/**/1", "where a value should be"},
		{"NUL", "\x00", "where a value should be"},
	} {
		t.Run(row.name, func(t *testing.T) { refused(t, codec.JSON, []byte(row.body), row.text) })
	}
	t.Run("deep arrays", func(t *testing.T) {
		refused(t, codec.JSON, bytes.Repeat([]byte{'['}, 900<<10), "at byte 64: it nests deeper than 64")
	})
	t.Run("deep objects", func(t *testing.T) {
		refused(t, codec.JSON, bytes.Repeat([]byte(`{"":`), 200<<10), "nests deeper than 64")
	})
	t.Run("too many values", func(t *testing.T) {
		refused(t, codec.JSON, []byte("["+strings.Repeat("1,", 1_000_000)+"1]"), "over 1000000 values")
	})
}

func TestDepthAndCountGoUpToTheLimit(t *testing.T) {
	for c, body := range map[codec.Codec][]byte{
		codec.Msgpack: append(bytes.Repeat([]byte{0x91}, 63), 0x90),
		codec.JSON:    []byte(strings.Repeat("[", 64) + strings.Repeat("]", 64)),
	} {
		var v any
		if err := c.Unmarshal(body, &v); err != nil {
			t.Errorf("%v: 64 arrays in each other: %v", c, err)
		}
	}
	for c, body := range map[codec.Codec][]byte{
		codec.Msgpack: append([]byte{0xdd, 0, 0x0f, 0x42, 0x3f}, bytes.Repeat([]byte{1}, 999_999)...),
		codec.JSON:    []byte("[" + strings.Repeat("1,", 999_998) + "1]"),
	} {
		var v []int8
		if err := c.Unmarshal(body, &v); err != nil || len(v) != 999_999 {
			t.Errorf("%v: a million values: got %d and %v", c, len(v), err)
		}
	}
}

// TestSmallBodiesOfLargeValuesAreBounded sends the fewest bytes that ask for the most memory.
func TestSmallBodiesOfLargeValuesAreBounded(t *testing.T) {
	const n = 20_000
	array := []byte{0xdd, 0, 0, 0x4e, 0x20} // of n
	rep := func(item string) []byte { return append(bytes.Clone(array), bytes.Repeat(unhex(t, item), n)...) }
	keyed := func(value string) []byte {
		body := []byte{0xdf, 0, 0, 0x4e, 0x20}
		for i := range n {
			body = append(body, 0xa4)
			body = fmt.Appendf(body, "%04x", i)[:len(body)+4]
			body = append(body, unhex(t, value)...)
		}
		return body
	}
	distinct := func(value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%x":%s`, i, value)
		}
		return "{" + b.String()[1:] + "}"
	}
	list := func(item string) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	p := codec.NewPlan()
	for _, row := range []struct {
		name string
		c    codec.Codec
		body []byte
	}{
		{"nils", codec.Msgpack, rep("c0")},
		{"zeros", codec.Msgpack, rep("00")},
		{"integers", codec.Msgpack, rep("cd ff ff")},
		{"empty arrays", codec.Msgpack, rep("90")},
		{"empty maps", codec.Msgpack, rep("80")},
		{"small maps", codec.Msgpack, rep("81 a1 61 c0")},
		{"empty strings", codec.Msgpack, rep("a0")},
		{"empty binaries", codec.Msgpack, rep("c4 00")},
		{"wide map", codec.Msgpack, keyed("c0")},
		{"wide map of maps", codec.Msgpack, keyed("80")},
		{"nulls", codec.JSON, []byte(list("null"))},
		{"zeros", codec.JSON, []byte(list("0"))},
		{"empty arrays", codec.JSON, []byte(list("[]"))},
		{"empty objects", codec.JSON, []byte(list("{}"))},
		{"small objects", codec.JSON, []byte(list(`{"a":1}`))},
		{"empty strings", codec.JSON, []byte(list(`""`))},
		{"wide object", codec.JSON, []byte(distinct("0"))},
		{"wide object of objects", codec.JSON, []byte(distinct("{}"))},
	} {
		for _, target := range []reflect.Type{
			reflect.TypeFor[any](), reflect.TypeFor[[]any](), reflect.TypeFor[map[string]any](), reflect.TypeFor[map[string]string](),
			reflect.TypeFor[[]wide](), reflect.TypeFor[[]*wide](), reflect.TypeFor[map[string]wide](), reflect.TypeFor[map[string]*tree](),
			reflect.TypeFor[[][4096]byte](), reflect.TypeFor[[]Path](), reflect.TypeFor[[]byte](), reflect.TypeFor[[]string](),
		} {
			v := reflect.New(target).Interface()
			p.For(target)
			var err error
			size := allocated(func() { err = p.Unmarshal(row.c, row.body, v) })
			if limit := bound(row.c, len(row.body)); size > limit {
				t.Errorf("%v %s into %v: %d bytes allocated %d, over %d (%v)", row.c, row.name, target, len(row.body), size, limit, err)
			}
			if err != nil && !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%v %s into %v: %v", row.c, row.name, target, err)
			}
		}
	}
}

func TestAmplificationIsRefusedWithTheReason(t *testing.T) {
	for c, body := range map[codec.Codec]string{
		codec.Msgpack: "\xdd\x00\x01\x00\x00" + strings.Repeat("\x80", 1<<16),
		codec.JSON:    "[" + strings.Repeat("{},", 1<<16) + "{}]",
	} {
		var v []wide
		err := c.Unmarshal([]byte(body), &v)
		if !errors.Is(err, bus.InvalidArgument) || !strings.Contains(fmt.Sprint(err), "too much memory") {
			t.Errorf("%v: 65536 values of 1 KiB from %d bytes: got %v", c, len(body), err)
		}
	}
}

// TestOrdinarySparseValuesPass holds the bound against what people send: many rows of a wide struct
// with most fields left out.
func TestOrdinarySparseValuesPass(t *testing.T) {
	type row struct {
		ID                     string `json:"id"`
		A, B, C, D, E, F, G, H string `json:",omitempty"`
		Labels, Notes          map[string]string
		Tags                   []string   `json:"tags,omitempty"`
		Made                   *time.Time `json:"made,omitempty"`
	}
	rows := make([]row, 20_000)
	for i := range rows {
		rows[i].ID = fmt.Sprint("row-", i)
	}
	points := make([]map[string]any, 20_000)
	for i := range points {
		points[i] = map[string]any{"x": i, "y": 1.5}
	}
	p := codec.NewPlan()
	for _, v := range []any{rows, points} {
		for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
			body, err := p.Marshal(c, v)
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.New(reflect.TypeOf(v))
			if err := p.Unmarshal(c, body, got.Interface()); err != nil {
				t.Errorf("%v of %T: %v", c, v, err)
			}
			var loose any
			if err := p.Unmarshal(c, body, &loose); err != nil {
				t.Errorf("%v of %T into any: %v", c, v, err)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	v := holders{
		Bytes: []byte("bytes"), Strs: []string{"a", strings.Repeat("long", 20)}, Map: map[string]string{"k": "v", "é": "ü"},
		Any: map[string]any{"n": nil, "f": 1.25, "i": 1 << 40, "l": []any{true, "x"}}, Rows: [2]holder{{T: at, TP: &at}},
	}
	p := codec.NewPlan()
	for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
		body, err := p.Marshal(c, v)
		if err != nil {
			t.Fatal(err)
		}
		for cut := 1; cut < len(body); cut++ {
			var typed holders
			var loose any
			for _, into := range []any{&typed, &loose} {
				if err := p.Unmarshal(c, body[:cut], into); !errors.Is(err, bus.InvalidArgument) {
					t.Fatalf("%v cut at byte %d of %d into %T: got %v, want invalid_argument", c, cut, len(body), into, err)
				}
			}
		}
		for _, more := range []string{"x", "\x00", "1", "\xc0"} {
			if err := p.Unmarshal(c, append(bytes.Clone(body), more...), new(holders)); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%v with %q behind it: got %v, want invalid_argument", c, more, err)
			}
		}
	}
}
