package codec_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// traced is what a generator would write for struct{ N int }, and counts its calls.
type traced struct {
	N int `json:"n"`
}

type calls struct{ marshal, unmarshal int }

// counts is reset by each test that looks at it; such tests do not run beside each other.
var counts calls

func (z *traced) MarshalMsg(b []byte) ([]byte, error) {
	counts.marshal++
	return append(b, 0x81, 0xa1, 'n', byte(z.N&0x7f)), nil
}

func (z *traced) UnmarshalMsg(b []byte) ([]byte, error) {
	counts.unmarshal++
	if len(b) < 4 || b[3] > 0x7f {
		return b, errors.New("not what I write")
	}
	z.N = int(b[3])
	return b[4:], nil
}

// faithful is traced with the range that traced really carries.
type faithful struct {
	B bool `json:"b"`
}

func (z *faithful) MarshalMsg(b []byte) ([]byte, error) {
	counts.marshal++
	if z.B {
		return append(b, 0x81, 0xa1, 'b', 0xc3), nil
	}
	return append(b, 0x81, 0xa1, 'b', 0xc2), nil
}

func (z *faithful) UnmarshalMsg(b []byte) ([]byte, error) {
	counts.unmarshal++
	if len(b) < 4 || string(b[:3]) != "\x81\xa1b" {
		return b, errors.New("not what I write")
	}
	z.B = b[3] == 0xc3
	return b[4:], nil
}

// panicking has methods that cannot take the zero value.
type panicking struct {
	P *int `json:"p"`
}

func (z *panicking) MarshalMsg(b []byte) ([]byte, error)   { return append(b, byte(*z.P)), nil }
func (z *panicking) UnmarshalMsg(b []byte) ([]byte, error) { panic("never") }

func TestGeneratedMethodsAreUsedWhereTheyAreFaithful(t *testing.T) {
	p := codec.NewPlan()
	if got := p.For(reflect.TypeFor[faithful]()); got != codec.Msgpack {
		t.Fatalf("sent as %v", got)
	}
	for _, nested := range []bool{false, true} {
		counts = calls{}
		in, out := any(&faithful{B: true}), any(new(faithful))
		if nested {
			in, out = &[]faithful{{B: true}}, &[]faithful{}
		}
		_ = p.For(reflect.TypeOf(in))
		body, err := p.Marshal(codec.Msgpack, in)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Unmarshal(codec.Msgpack, body, out); err != nil || !cmp.Equal(in, out) {
			t.Errorf("got %v and %v, want %v", out, err, in)
		}
		if counts != (calls{1, 1}) {
			t.Errorf("nested %v: the methods were called %+v times", nested, counts)
		}
	}
}

func TestGeneratedMethodsThatLieAreNotUsed(t *testing.T) {
	p := codec.NewPlan()
	counts = calls{}
	p.For(reflect.TypeFor[traced]()) // loses all but seven bits, which the samples show
	counts = calls{}
	body, err := p.Marshal(codec.Msgpack, traced{N: 300})
	if err != nil {
		t.Fatal(err)
	}
	var got traced
	if err := p.Unmarshal(codec.Msgpack, body, &got); err != nil || got.N != 300 {
		t.Errorf("got %v and %v", got, err)
	}
	if counts != (calls{}) {
		t.Errorf("the methods were called %+v times", counts)
	}
	if body, err := p.Marshal(codec.Msgpack, panicking{}); err != nil || string(body) != "\x81\xa1p\xc0" {
		t.Errorf("methods that panic: got %x and %v", body, err)
	}
}

func TestGeneratedTypesMeanTheSame(t *testing.T) {
	p := codec.NewPlan()
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Point](), reflect.TypeFor[Path](), reflect.TypeFor[Renamed](), reflect.TypeFor[Emptied](),
		reflect.TypeFor[Loose](), reflect.TypeFor[[]Path](), reflect.TypeFor[map[string]*Point](), reflect.TypeFor[faithful](),
	} {
		t.Run(typ.String(), func(t *testing.T) {
			if got := p.For(typ); got != codec.Msgpack {
				t.Errorf("sent as %v", got)
			}
			rapid.Check(t, func(t *rapid.T) {
				if text, packed, ok := bodies(t, p, draw(t, typ, false)); ok {
					agree(t, p, text, packed, typ)
					agree(t, p, text, packed, reflect.TypeFor[any]())
				}
			})
		})
	}
}

// TestGeneratedTypesReadOtherSpellings sends what the generated method does not take.
func TestGeneratedTypesReadOtherSpellings(t *testing.T) {
	for _, row := range []struct {
		text string
		want Point
		bad  string
	}{
		{text: `{"x":null,"y":2,"label":null,"more":[1]}`, want: Point{Y: 2}},
		{text: `{"x":"1"}`, bad: "(x): a string does not go into int"},
		{text: `{"x":18446744073709551615}`, bad: "(x): 18446744073709551615 does not fit into int"},
		{text: `[1]`, bad: "an array does not go into codec_test.Point"},
	} {
		packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		var got Point
		err = codec.Msgpack.Unmarshal(packed, &got)
		switch {
		case row.bad == "" && (err != nil || got != row.want):
			t.Errorf("%s: got %+v and %v, want %+v", row.text, got, err, row.want)
		case row.bad != "" && (!errors.Is(err, bus.InvalidArgument) || !strings.Contains(err.Error(), row.bad)):
			t.Errorf("%s: got %v, want invalid_argument saying %q", row.text, err, row.bad)
		}
	}
}

func TestGeneratedMethodsDoNotSendWhatIsRefused(t *testing.T) {
	body, err := codec.Msgpack.Marshal(Point{Label: "bad \xff"})
	if err != nil {
		t.Fatal(err)
	}
	var got Point
	if err := codec.Msgpack.Unmarshal(body, &got); err != nil || got.Label != "bad \ufffd" {
		t.Errorf("got %q and %v", got.Label, err)
	}
}

func TestMethodsOfTheMsgpackLibraryAreUsed(t *testing.T) {
	in := withOwn{O: own{at: 5}, P: &packed{text: "p"}, Os: []own{{at: -1}}, Ps: map[string]packed{"k": {text: "v"}}}
	p := codec.NewPlan()
	body, err := p.Marshal(codec.Msgpack, in)
	if err != nil {
		t.Fatal(err)
	}
	var got withOwn
	if err := p.Unmarshal(codec.Msgpack, body, &got); err != nil || !reflect.DeepEqual(in, got) {
		t.Errorf("got %+v and %v", got, err)
	}
	if err := p.Unmarshal(codec.Msgpack, []byte("\x81\xa1O\xa1x"), &got); !errors.Is(err, bus.InvalidArgument) {
		t.Errorf("a string into own: got %v, want invalid_argument", err)
	}
}
