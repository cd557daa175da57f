package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

func TestErrorsSayWhere(t *testing.T) {
	type item struct {
		Age int8 `json:"age"`
	}
	type order struct {
		Items []item          `json:"items"`
		Named map[string]item `json:"named"`
	}
	packed := func(text string) []byte {
		body, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, row := range []struct {
		c    codec.Codec
		body []byte
		want string
	}{
		{codec.Msgpack, packed(`{"items":[{"age":1},{"age":300}]}`), "the msgpack body is wrong at byte 19 (items[1].age): 300 does not fit into int8"},
		{codec.Msgpack, packed(`{"named":{"x":{"age":"old"}}}`), "the msgpack body is wrong at byte 15 (named.x.age): a string does not go into int8"},
		{codec.Msgpack, packed(`[1]`), "the msgpack body is wrong at byte 0: an array does not go into codec_test.order"},
		{codec.JSON, []byte(`{"items":[{"age":300}]}`), "the json body is wrong at byte 20 (items.age): number 300 does not go into int8"},
		{codec.JSON, []byte(`{"items":[}`), "the json body is wrong at byte 10: '}' where a value should be"},
	} {
		err := row.c.Unmarshal(row.body, new(order))
		var e *bus.Error
		if !errors.As(err, &e) || e.Code != bus.InvalidArgument || e.Message != row.want {
			t.Errorf("%v %s:\ngot  %v\nwant %s", row.c, row.body, err, row.want)
		}
	}
}

func TestWhatCannotBeSentIsInternalAndNamesTheType(t *testing.T) {
	type ring struct{ Next *ring }
	loop := &ring{}
	loop.Next = loop
	var knot any
	knot = []any{&knot}
	var chase any
	chase = &chase
	deep := any(1)
	for range 65 {
		deep = []any{deep}
	}
	for _, row := range []struct {
		v    any
		want string
	}{
		{func() {}, "func()"},
		{make(chan int), "chan int"},
		{complex(1, 2), "complex128"},
		{struct{ C chan int }{}, "struct { C chan int }"},
		{math.NaN(), "float64"},
		{scalars{F32: float32(math.Inf(1))}, "codec_test.scalars"},
		{loop, "*codec_test.ring"},
		{knot, "[]interface {}"},
		{chase, "*interface {}"},
		{map[string]float64{"x": math.NaN()}, "map[string]float64"},
		{[1]float64{math.NaN()}, "[1]float64"},
		{map[string]map[string]float32{"x": {"y": float32(math.NaN())}}, "map[string]map[string]float32"},
		{[]any{jsonly{}, json.RawMessage("{\"a\":1,\"a\":1}"), func() {}}, "[]interface {}"},
		{failing{}, "codec_test.failing"},
		{deep, "[]interface {}"},
		{time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), "time.Time"},
		{json.Number("x"), "json.Number"},
		{json.RawMessage("{"), "json.RawMessage"},
		{map[complex64]int{1: 1}, "map[complex64]int"},
		{[]any{map[string]any{"f": math.Inf(-1)}}, "[]interface {}"},
	} {
		for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
			body, err := c.Marshal(row.v)
			if !errors.Is(err, bus.Internal) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v of %T: got %q and %v, want internal naming %s", c, row.v, body, err, row.want)
			}
		}
	}
}

// failing has methods that do not work.
type failing struct{}

func (failing) MarshalJSON() ([]byte, error)          { return nil, errors.New("no JSON today") }
func (failing) UnmarshalJSON([]byte) error            { return errors.New("no JSON today") }
func (failing) EncodeMsgpack(*msgpack.Encoder) error  { return errors.New("no msgpack today") }
func (*failing) DecodeMsgpack(*msgpack.Decoder) error { return errors.New("no msgpack today") }

func TestErrorsOfATypesOwnMethodsReachTheCaller(t *testing.T) {
	for c, want := range map[codec.Codec]string{codec.JSON: "no JSON today", codec.Msgpack: "no msgpack today"} {
		if _, err := c.Marshal(failing{}); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: got %v, want it to say %q", c, err, want)
		}
		if err := c.Unmarshal([]byte("1"), new(failing)); !errors.Is(err, bus.InvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want it to say %q", c, err, want)
		}
	}
	if _, err := codec.Msgpack.Marshal(struct{ B *blank }{new(blank)}); !errors.Is(err, bus.Internal) {
		t.Errorf("a method that writes nothing: got %v, want internal", err)
	}
}

// blank writes nothing, which is no MessagePack.
type blank struct{}

func (*blank) EncodeMsgpack(*msgpack.Encoder) error { return nil }
func (*blank) DecodeMsgpack(*msgpack.Decoder) error { return nil }

func TestEncodeErrorsSayWhichField(t *testing.T) {
	for _, row := range []struct {
		v    any
		want string
	}{
		{struct{ L []map[string]float64 }{[]map[string]float64{{"x": math.NaN()}}}, "(L[0].x)"},
		{map[string]any{"a\nb": []any{1, math.Inf(1)}}, `("a\nb[1]")`},
		{holders{Rows: [2]holder{{}, {T: time.Unix(1<<40, 0)}}}, "(Rows[1].T)"},
	} {
		if _, err := codec.Msgpack.Marshal(row.v); !strings.Contains(fmt.Sprint(err), row.want) {
			t.Errorf("%v: got %v, want it to say %s", row.v, err, row.want)
		}
	}
}

func TestWhatDoesNotFitIsRefusedInBothCodecs(t *testing.T) {
	for _, row := range []struct {
		text string
		into any
	}{
		{`"!"`, new([]byte)},
		{`[1,300]`, new([]byte)},
		{`[1,-1]`, new(digits)},
		{`true`, new([]byte)},
		{`{}`, new([]byte)},
		{`"yesterday"`, new(time.Time)},
		{`1`, new(time.Time)},
		{`"2024-13-01T00:00:00Z"`, new(time.Time)},
		{`{}`, new([]int)},
		{`[]`, new(map[string]int)},
		{`[]`, new(map[string]string)},
		{`[]`, new(map[string]any)},
		{`[]`, new(scalars)},
		{`{"a":1}`, new(map[string]string)},
		{`{"a":[]}`, new(map[string]int)},
		{`1`, new([2]int)},
		{`["x"]`, new([2]int)},
		{`"x"`, new(bool)},
		{`[]`, new(string)},
		{`true`, new(float64)},
		{`true`, new(uint)},
		{`1`, new(error)},
		{`{"n":"x"}`, new(jsonly)},
		{`"1"`, new(own)},
		{`["x"]`, new([]own)},
	} {
		packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		for c, body := range map[codec.Codec][]byte{codec.JSON: []byte(row.text), codec.Msgpack: packed} {
			if err := c.Unmarshal(body, row.into); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%v %s into %T: got %v, want invalid_argument", c, row.text, row.into, err)
			}
		}
	}
}

func TestBadTargetsAreInternal(t *testing.T) {
	var nowhere *int
	for _, v := range []any{nil, 5, "x", nowhere, map[string]any{}} {
		if err := codec.JSON.Unmarshal([]byte("1"), v); !errors.Is(err, bus.Internal) {
			t.Errorf("into %T: got %v, want internal", v, err)
		}
	}
}

func TestTranscodeRefusesWhatHasNoGenericForm(t *testing.T) {
	for _, pair := range [][2]codec.Codec{{codec.JSON, codec.Raw}, {codec.Protobuf, codec.JSON}, {0, codec.JSON}} {
		if _, err := codec.Transcode(pair[0], pair[1], []byte("1")); !errors.Is(err, bus.Unimplemented) {
			t.Errorf("%v to %v: got %v, want unimplemented", pair[0], pair[1], err)
		}
	}
	if _, err := codec.Transcode(codec.JSON, codec.JSON, []byte("[")); !errors.Is(err, bus.InvalidArgument) {
		t.Errorf("bad JSON as JSON: got %v, want invalid_argument", err)
	}
}
