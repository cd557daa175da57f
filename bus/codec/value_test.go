package codec_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

func TestParseReadsContentTypes(t *testing.T) {
	for _, row := range []struct {
		in   string
		want codec.Codec
		code bus.Code
		text string
	}{
		{in: "", want: codec.JSON},
		{in: "application/json", want: codec.JSON},
		{in: "Application/JSON; charset=UTF-8", want: codec.JSON},
		{in: `application/json;charset="utf-8"`, want: codec.JSON},
		{in: "application/msgpack", want: codec.Msgpack},
		{in: "application/x-msgpack", want: codec.Msgpack},
		{in: "application/vnd.msgpack", want: codec.Msgpack},
		{in: "application/protobuf", want: codec.Protobuf},
		{in: "application/x-protobuf; proto=a.b.C", want: codec.Protobuf},
		{in: "application/octet-stream", want: codec.Raw},
		{in: "application/json; charset=latin1", code: bus.Unimplemented, text: "send utf-8"},
		{in: "text/plain", code: bus.Unimplemented, text: "application/json, application/msgpack, application/protobuf and application/octet-stream"},
		{in: "application/json, application/msgpack", code: bus.InvalidArgument, text: "exactly one"},
		{in: "application/json; charset", code: bus.InvalidArgument, text: "cannot be read"},
		{in: strings.Repeat("x", 10_000), code: bus.Unimplemented, text: "…"},
	} {
		got, err := codec.Parse(row.in)
		if row.code == 0 {
			if got != row.want || err != nil {
				t.Errorf("Parse(%q) = %v, %v, want %v", row.in, got, err, row.want)
			}
			continue
		}
		if !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) || len(err.Error()) > 400 {
			t.Errorf("Parse(%.40q): got %v, want %v saying %q", row.in, err, row.code, row.text)
		}
	}
}

func TestEachCodecNamesItself(t *testing.T) {
	for c, want := range map[codec.Codec]string{
		codec.JSON: "json", codec.Msgpack: "msgpack", codec.Protobuf: "protobuf", codec.Raw: "raw",
	} {
		if c.String() != want || !c.Valid() {
			t.Errorf("codec %d is called %s", c, c)
		}
		for _, name := range []string{want, c.ContentType()} {
			if got, err := codec.Parse(name); got != c || err != nil {
				t.Errorf("Parse(%q) = %v, %v, want %v", name, got, err, c)
			}
		}
	}
	if c := codec.Codec(9); c.Valid() || c.String() != "none" || c.ContentType() != "" {
		t.Errorf("codec 9 is taken for %v", c)
	}
}

// TestNumbersStayWhatTheyAre lists bodies and what they become; the same in both codecs.
func TestNumbersStayWhatTheyAre(t *testing.T) {
	for _, row := range []struct {
		json    string
		msgpack string
		into    any
		want    any // nil if refused
	}{
		{"127", "7f", new(int8), int8(127)},
		{"128", "cc 80", new(int8), nil},
		{"-128", "d0 80", new(int8), int8(-128)},
		{"-129", "d1 ff 7f", new(int8), nil},
		{"255", "cc ff", new(uint8), uint8(255)},
		{"256", "cd 01 00", new(uint8), nil},
		{"-1", "ff", new(uint8), nil},
		{"-1", "ff", new(uint64), nil},
		{"2147483648", "ce 80 00 00 00", new(int32), nil},
		{"9223372036854775808", "cf 80 00 00 00 00 00 00 00", new(int32), nil},
		{"9223372036854775807", "cf 7f ff ff ff ff ff ff ff", new(int64), int64(math.MaxInt64)},
		{"9223372036854775808", "cf 80 00 00 00 00 00 00 00", new(int64), nil},
		{"-9223372036854775808", "d3 80 00 00 00 00 00 00 00", new(int64), int64(math.MinInt64)},
		{"18446744073709551615", "cf ff ff ff ff ff ff ff ff", new(uint64), uint64(math.MaxUint64)},
		{"18446744073709551615", "cf ff ff ff ff ff ff ff ff", new(any), uint64(math.MaxUint64)},
		{"9007199254740993", "cf 00 20 00 00 00 00 00 01", new(any), int64(1<<53 + 1)},
		{"-9223372036854775808", "d3 80 00 00 00 00 00 00 00", new(any), int64(math.MinInt64)},
		{"5", "05", new(any), int64(5)},
		{"5", "d0 05", new(any), int64(5)},
		{"200", "cc c8", new(any), int64(200)},
		{"1.5", "cb 3f f8 00 00 00 00 00 00", new(any), 1.5},
		{"1.0", "cb 3f f0 00 00 00 00 00 00", new(any), int64(1)},
		{"1.0", "cb 3f f0 00 00 00 00 00 00", new(int), nil},
		{"1.5", "cb 3f f8 00 00 00 00 00 00", new(int), nil},
		{"1e3", "cb 40 8f 40 00 00 00 00 00", new(uint16), nil},
		{"0.1", "ca 3d cc cc cd", new(any), 0.1},
		{"0.1", "ca 3d cc cc cd", new(float64), 0.1},
		{"0.1", "ca 3d cc cc cd", new(float32), float32(0.1)},
		{"0.1", "cb 3f b9 99 99 99 99 99 9a", new(float32), float32(0.1)},
		{"1e300", "cb 7e 37 e4 3c 88 00 75 9c", new(float32), nil},
		{"-0", "cb 80 00 00 00 00 00 00 00", new(float64), math.Copysign(0, -1)},
		{"-0", "cb 80 00 00 00 00 00 00 00", new(int), 0},
		{"-0", "cb 80 00 00 00 00 00 00 00", new(uint), nil},
		{"-0", "cb 80 00 00 00 00 00 00 00", new(any), int64(0)},
		{"3", "03", new(float64), 3.0},
		{"18446744073709551615", "cf ff ff ff ff ff ff ff ff", new(float64), float64(math.MaxUint64)},
		{"9007199254740994.0", "cb 43 40 00 00 00 00 00 01", new(any), int64(1<<53 + 2)},
		{`"5"`, "a1 35", new(int), nil},
		{"5", "05", new(string), nil},
		{"true", "c3", new(int), nil},
		{"1", "01", new(bool), nil},
		{"null", "c0", new(int), 0},
		{"null", "c0", new(any), any(nil)},
	} {
		for c, body := range map[codec.Codec][]byte{codec.JSON: []byte(row.json), codec.Msgpack: unhex(t, row.msgpack)} {
			into := reflect.New(reflect.TypeOf(row.into).Elem())
			err := c.Unmarshal(body, into.Interface())
			got := into.Elem().Interface()
			switch {
			case row.want == nil && row.json != "null":
				if !errors.Is(err, bus.InvalidArgument) {
					t.Errorf("%v %s into %T: got %v and %v, want invalid_argument", c, row.json, row.into, got, err)
				}
			case err != nil || !reflect.DeepEqual(got, row.want) || isNegative(got) != isNegative(row.want):
				t.Errorf("%v %s into %T: got %T %v and %v, want %T %v", c, row.json, row.into, got, got, err, row.want, row.want)
			}
		}
	}
	for _, far := range []string{"1e400", "-1e400", strings.Repeat("9", 400), "[1e999]"} {
		var v any
		if err := codec.JSON.Unmarshal([]byte(far), &v); !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("%.20s into any: got %v and %v, want invalid_argument", far, v, err)
		}
		if body, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(far)); !errors.Is(err, bus.InvalidArgument) {
			t.Errorf("%.20s to msgpack: got %x and %v, want invalid_argument", far, body, err)
		}
	}
}

func isNegative(v any) bool {
	f, ok := v.(float64)
	return ok && math.Signbit(f)
}

func TestBytesAndTimesAreTextWhereThereIsOnlyText(t *testing.T) {
	at := time.Date(2024, 2, 29, 1, 2, 3, 400, time.UTC)
	p := codec.NewPlan()
	body, err := p.Marshal(codec.Msgpack, map[string]any{"b": []byte("hi"), "t": at})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"b": "aGk=", "t": "2024-02-29T01:02:03.0000004Z"}
	var loose any
	if err := p.Unmarshal(codec.Msgpack, body, &loose); err != nil || !cmp.Equal(loose, any(want)) {
		t.Errorf("into any: got %v and %v, want %v", loose, err, want)
	}
	var text map[string]string
	if err := p.Unmarshal(codec.Msgpack, body, &text); err != nil || text["b"] != "aGk=" {
		t.Errorf("into strings: got %v and %v", text, err)
	}
	var back struct {
		B []byte    `json:"b"`
		T time.Time `json:"t"`
	}
	again, err := p.Marshal(codec.Msgpack, want)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Unmarshal(codec.Msgpack, again, &back); err != nil || string(back.B) != "hi" || back.T != at {
		t.Errorf("text into bytes and time: got %v and %v", back, err)
	}
}

func TestTimesComeBackInUTC(t *testing.T) {
	at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("here", 2*60*60))
	p := codec.NewPlan()
	for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
		body, err := p.Marshal(c, at)
		if err != nil {
			t.Fatal(err)
		}
		var got time.Time
		if err := p.Unmarshal(c, body, &got); err != nil || got != at.UTC() {
			t.Errorf("%v: got %v and %v, want %v", c, got, err, at.UTC())
		}
	}
}

func TestFieldNamesAreFoundAsEncodingJSONFindsThem(t *testing.T) {
	for _, row := range []struct {
		text string
		want casing
	}{
		{`{"name":"a","NAME":1}`, casing{Name: "a", NAME: 1}},
		{`{"Name":"a"}`, casing{Name: "a"}},
		{`{"other":"a","unknown":[{"x":1}],"zz":null}`, casing{Other: "a"}},
		{`{"OTHER":"a"}`, casing{Other: "a"}},
		{`{"Other":"a","oTHER":"b"}`, casing{Other: "b"}},
	} {
		packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		for c, body := range map[codec.Codec][]byte{codec.JSON: []byte(row.text), codec.Msgpack: packed} {
			var got casing
			if err := c.Unmarshal(body, &got); err != nil || got != row.want {
				t.Errorf("%v %s: got %+v and %v, want %+v", c, row.text, got, err, row.want)
			}
		}
	}
}

func TestArraysTakeWhatFits(t *testing.T) {
	for c, body := range map[codec.Codec]string{codec.JSON: "[1,2,3]", codec.Msgpack: "\x93\x01\x02\x03"} {
		short, long := [2]int{7, 7}, [4]int{7, 7, 7, 7}
		if err := c.Unmarshal([]byte(body), &short); err != nil || short != [2]int{1, 2} {
			t.Errorf("%v into two: got %v and %v", c, short, err)
		}
		if err := c.Unmarshal([]byte(body), &long); err != nil || long != [4]int{1, 2, 3, 0} {
			t.Errorf("%v into four: got %v and %v", c, long, err)
		}
	}
	var four [4]byte
	if err := codec.Msgpack.Unmarshal([]byte("\xc4\x04abcd"), &four); err != nil || string(four[:]) != "abcd" {
		t.Errorf("binary of four bytes: got %q and %v", four, err)
	}
	if err := codec.Msgpack.Unmarshal([]byte("\xc4\x03abc"), &four); !errors.Is(err, bus.InvalidArgument) {
		t.Errorf("binary of three bytes into four: got %v", err)
	}
	var named [2]digit
	if err := codec.Msgpack.Unmarshal([]byte("\xc4\x02ab"), &named); err != nil || named != [2]digit{'a', 'b'} {
		t.Errorf("binary into named bytes: got %v and %v", named, err)
	}
}

func TestJSONEscapesAreRead(t *testing.T) {
	for text, want := range map[string]string{
		`"\uD83D\uDE00\u00e9\u00E9"`:     "\U0001f600éé",
		`"\"\\\/\b\f\n\r\t"`:             "\"\\/\b\f\n\r\t",
		"\"\u2028\x7f\"":                 "\u2028\x7f",
		`  "\u0000"` + "\r\n\t ":         "\x00",
		`"\ufffd` + "\ufffd\U0010ffff\"": "\ufffd\ufffd\U0010ffff",
	} {
		packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for c, body := range map[codec.Codec][]byte{codec.JSON: []byte(text), codec.Msgpack: packed} {
			var got string
			if err := c.Unmarshal(body, &got); err != nil || got != want {
				t.Errorf("%v of %s: got %q and %v, want %q", c, text, got, err, want)
			}
		}
	}
}

func TestAnEmptyBodyIsTheZeroValue(t *testing.T) {
	for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
		var v holders
		if err := c.Unmarshal(nil, &v); err != nil || !reflect.ValueOf(v).IsZero() {
			t.Errorf("%v: got %+v and %v", c, v, err)
		}
		if err := codec.Guard(c, []byte{}); err != nil {
			t.Errorf("guard of an empty %v: %v", c, err)
		}
		other := codec.JSON + codec.Msgpack - c
		if body, err := codec.Transcode(c, other, nil); err != nil || len(body) != 0 {
			t.Errorf("an empty %v as %v: got %x and %v", c, other, body, err)
		}
	}
}

func TestNilIsNull(t *testing.T) {
	var p *scalars
	for _, v := range []any{nil, p, &p} {
		for c, want := range map[codec.Codec]string{codec.JSON: "null", codec.Msgpack: "\xc0"} {
			if got, err := c.Marshal(v); err != nil || string(got) != want {
				t.Errorf("%v of %T: got %q and %v, want %q", c, v, got, err, want)
			}
		}
	}
}

func TestRawIsBytesAndNothingElse(t *testing.T) {
	in := []byte{1, 2, 3}
	body, err := codec.Raw.Marshal(in)
	if err != nil || !bytes.Equal(body, in) {
		t.Fatalf("got %v and %v", body, err)
	}
	if body, err := codec.Raw.Marshal(&in); err != nil || !bytes.Equal(body, in) {
		t.Errorf("a pointer: got %v and %v", body, err)
	}
	var out []byte
	if err := codec.Raw.Unmarshal(body, &out); err != nil || !bytes.Equal(out, in) {
		t.Errorf("got %v and %v", out, err)
	}
	if body[0] = 9; out[0] != 1 {
		t.Error("the decoded bytes are those of the body")
	}
	if codec.For(reflect.TypeFor[[]byte]()) != codec.Raw {
		t.Error("[]byte is not sent raw")
	}
	if _, err := codec.Raw.Marshal("text"); !errors.Is(err, bus.Unimplemented) {
		t.Errorf("a string: got %v, want unimplemented", err)
	}
	if err := codec.Raw.Unmarshal(body, new(string)); !errors.Is(err, bus.Unimplemented) {
		t.Errorf("into a string: got %v, want unimplemented", err)
	}
	if err := codec.Codec(0).Unmarshal(body, &out); !errors.Is(err, bus.Unimplemented) {
		t.Errorf("codec 0: got %v, want unimplemented", err)
	}
}

// TestTheMsgpackLibraryReadsWhatWeWrite is the view of any other MessagePack program.
func TestTheMsgpackLibraryReadsWhatWeWrite(t *testing.T) {
	body, err := codec.Msgpack.Marshal(holders{Bytes: []byte("b"), Strs: []string{"s"}, Map: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := msgpack.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"Bytes": []byte("b"), "Strs": []any{"s"}, "Map": map[string]any{"k": "v"}, "Names": nil, "Three": []any{int8(0), int8(0), int8(0)}, "Four": []any{int8(0), int8(0), int8(0), int8(0)},
	} {
		if !reflect.DeepEqual(got[key], want) {
			t.Errorf("%s: got %#v, want %#v", key, got[key], want)
		}
	}
}

func TestEqualValuesAreEqualBytes(t *testing.T) {
	p := codec.NewPlan()
	m := map[string]any{}
	for _, k := range strings.Split("the quick brown fox jumps over a lazy dog", " ") {
		m[k] = map[string]string{k: k, "x": "y", "z": "0"}
	}
	first, err := p.Marshal(codec.Msgpack, m)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := p.Marshal(codec.Msgpack, m); !bytes.Equal(again, first) {
			t.Fatal("the same map became other bytes")
		}
	}
}

func TestTranscodeKeepsIntegersExact(t *testing.T) {
	const text = `{"a":[9007199254740993,-9223372036854775808,18446744073709551615,1.5,1.0,-0],"b":null,"c":"\u0001é","d":{},"e":[]}`
	packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	back, err := codec.Transcode(codec.Msgpack, codec.JSON, packed)
	if err != nil || string(back) != text {
		t.Errorf("got  %s and %v\nwant %s", back, err, text)
	}
}

func TestDecodedValuesShareNothingWithTheBody(t *testing.T) {
	p := codec.NewPlan()
	in := map[string]any{"key": "text", "list": []any{"item"}}
	for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
		body, err := p.Marshal(c, in)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := p.Unmarshal(c, body, &out); err != nil {
			t.Fatal(err)
		}
		clear(body)
		if !cmp.Equal(in, out) {
			t.Errorf("%v: clearing the body changed the value to %v", c, out)
		}
	}
}
