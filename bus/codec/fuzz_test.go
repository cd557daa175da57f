package codec_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// roomy is a struct with a place for everything, and small names that a fuzzer finds.
type roomy struct {
	A any               `json:"a"`
	B []wide            `json:"b"`
	C map[string]*roomy `json:"c"`
	D holder            `json:"d"`
	E []byte            `json:"e"`
	F float32           `json:"f"`
	G [3]int8           `json:"g"`
	H withJSON          `json:"h"`
	I []uint64          `json:"i"`
	J *Path             `json:"j"`
	*Extra
}

type packedRoomy struct {
	A any                     `json:"a"`
	B []wide                  `json:"b"`
	C map[string]*packedRoomy `json:"c"`
	D holder                  `json:"d"`
	E []byte                  `json:"e"`
	F float32                 `json:"f"`
	G [3]int8                 `json:"g"`
	I []uint64                `json:"i"`
	J *Path                   `json:"j"`
	*Extra
}

func seedValues() []any {
	return []any{
		nil, true, 0, -1, 300, 1 << 40, 1.5, float32(0.1), "text", []byte("bytes"),
		[]any{1, "a", nil},
		map[string]any{"a": 1, "b": []any{}},
		scalars{S: "é"},
		holders{Bytes: []byte{1}},
		tree{Kids: []tree{{}}},
		roomy{C: map[string]*roomy{"x": {F: 1}}, Extra: &Extra{More: []string{"m"}}, J: &Path{Points: []Point{{}}}},
	}
}

// survives decodes an accepted body into several types: no panic, no other error than
// invalid_argument, no more memory than promised.
func survives(t *testing.T, c codec.Codec, body []byte) {
	p := codec.NewPlan()
	for _, into := range []any{new(any), new(roomy), new(packedRoomy), new([]wide), new(map[string]string)} {
		p.For(reflect.TypeOf(into))
		_ = p.Unmarshal(c, []byte{0xc0}, into)
		var err error
		size := allocated(func() { err = p.Unmarshal(c, body, into) })
		if limit := bound(c, len(body)); size > limit {
			t.Errorf("%v into %T: %d bytes allocated %d, over %d", c, into, len(body), size, limit)
		}
		if err != nil && !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("%v into %T: %v", c, into, err)
		}
	}
}

func FuzzMsgpackGuard(f *testing.F) {
	for _, v := range seedValues() {
		body, err := codec.Msgpack.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := codec.Guard(codec.Msgpack, body); err != nil {
			var v any
			if !errors.Is(err, bus.InvalidArgument) || !errors.Is(codec.Msgpack.Unmarshal(body, &v), bus.InvalidArgument) {
				t.Errorf("the guard says %v and decoding does not", err)
			}
			return
		}
		survives(t, codec.Msgpack, body)
		var v any
		if len(body) > 0 {
			if err := msgpack.Unmarshal(body, &v); err != nil {
				t.Errorf("the guard accepts what the library refuses: %v", err)
			}
		}
	})
}

func FuzzJSONGuard(f *testing.F) {
	for _, v := range seedValues() {
		body, err := codec.JSON.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := codec.Guard(codec.JSON, body)
		switch valid := json.Valid(body); {
		case err == nil && len(body) > 0 && !valid:
			t.Error("the guard accepts what encoding/json refuses")
		case err != nil && valid && !stricter(err):
			t.Errorf("encoding/json accepts it: %v", err)
		case err != nil && !errors.Is(err, bus.InvalidArgument):
			t.Error(err)
		case err == nil:
			survives(t, codec.JSON, body)
		}
	})
}

// stricter tells that a body is refused for what encoding/json lets pass.
func stricter(err error) bool {
	for _, reason := range []string{"there twice", "surrogate", "UTF-8", "deeper", "values"} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

func FuzzTranscode(f *testing.F) {
	for _, v := range seedValues() {
		for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
			body, err := c.Marshal(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(c), body)
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, body []byte) {
		from, to := codec.JSON, codec.Msgpack
		if number%2 == 0 {
			from, to = to, from
		}
		out, err := codec.Transcode(from, to, body)
		if err != nil {
			if !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%v to %v: %v", from, to, err)
			}
			return
		}
		if len(out) > 40+6*len(body) {
			t.Errorf("%v to %v: %d bytes became %d", from, to, len(body), len(out))
		}
		var before, after any
		err1, err2 := from.Unmarshal(body, &before), to.Unmarshal(out, &after)
		if err1 != nil && strings.Contains(err1.Error(), "memory") || err2 != nil && strings.Contains(err2.Error(), "memory") {
			return
		}
		if err1 != nil || err2 != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%v %q means %#v (%v)\n%v %q means %#v (%v)", from, body, before, err1, to, out, after, err2)
		}
		back, err := codec.Transcode(to, from, out)
		if err != nil {
			t.Fatalf("and back: %v", err)
		}
		again, err := codec.Transcode(from, to, back)
		if err != nil || string(again) != string(out) {
			t.Errorf("%q, then %q, then %q (%v)", out, back, again, err)
		}
	})
}
