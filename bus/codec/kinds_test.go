package codec_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/mbus-dev/mbus/bus/codec"
)

// The types below are one of each kind the plan names. kinds lists them with the codec each must be
// sent in.

type (
	name   string
	flag   bool
	digit  uint8
	digits []digit
	pair   [2]int16
	names  []name
	bag    map[name]any
)

type scalars struct {
	B    bool    `json:"b"`
	I    int     `json:"i"`
	I8   int8    `json:"i8"`
	I16  int16   `json:"i16"`
	I32  int32   `json:"i32"`
	I64  int64   `json:"i64"`
	U    uint    `json:"u"`
	U8   uint8   `json:"u8"`
	U16  uint16  `json:"u16"`
	U32  uint32  `json:"u32"`
	U64  uint64  `json:"u64"`
	Up   uintptr `json:"up"`
	F32  float32 `json:"f32"`
	F64  float64 `json:"f64"`
	S    string  `json:"s"`
	N    name
	Flag flag
	D    digit
}

type empties struct {
	B  bool              `json:"b,omitempty"`
	I  int               `json:"i,omitempty"`
	F  float64           `json:"f,omitempty"`
	S  string            `json:"s,omitempty"`
	By []byte            `json:"by,omitempty"`
	L  []int             `json:"l,omitempty"`
	M  map[string]string `json:"m,omitempty"`
	P  *int              `json:"p,omitempty"`
	A  any               `json:"a,omitempty"`
	Z  [0]int            `json:"z,omitempty"`
	Y  [2]int            `json:"y,omitempty"`
}

type holders struct {
	Bytes  []byte
	Four   [4]byte
	Three  [3]digit
	Digits digits
	Pair   pair
	Strs   []string
	Names  names
	Ptr    *string
	PtrPtr **int
	List   [][]int
	Map    map[string]string
	Any    map[string]any
	Bag    bag
	Deep   map[name]map[string][]*scalars
	Nested []empties
	Rows   [2]holder
}

type holder struct {
	A     any
	Items []any
	T     time.Time
	TP    *time.Time
	Ts    []time.Time
	D     time.Duration
	skip  int
	Out   string `json:"-"`
	Odd   int    `json:"Ünï"`
}

type tree struct {
	Value int              `json:"v"`
	Left  *tree            `json:"l"`
	Right *tree            `json:"r,omitempty"`
	Kids  []tree           `json:"k"`
	Named map[string]*tree `json:"n"`
}

type Base struct {
	ID   int `json:"id"`
	Kind string
}

type inner struct{ Hidden int }

type Extra struct{ More []string }

type embedding struct {
	Base
	inner
	*Extra
	Own string
}

type faces struct {
	A any
	E error
	S interface{ String() string } `json:"s,omitempty"`
}

type casing struct {
	Name  string `json:"name"`
	NAME  int
	Other string
}

// own has methods of the msgpack library beside those of encoding/json, and both agree.
type own struct{ at int }

func (o own) MarshalJSON() ([]byte, error)           { return json.Marshal(o.at) }
func (o *own) UnmarshalJSON(b []byte) error          { return json.Unmarshal(b, &o.at) }
func (o own) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeInt(int64(o.at)) }
func (o *own) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	o.at, err = d.DecodeInt()
	return err
}

// packed uses the library's other pair of methods.
type packed struct{ text string }

func (p packed) MarshalText() ([]byte, error)     { return []byte(p.text), nil }
func (p *packed) UnmarshalText(b []byte) error    { p.text = string(b); return nil }
func (p packed) MarshalMsgpack() ([]byte, error)  { return msgpack.Marshal(string([]rune(p.text))) }
func (p *packed) UnmarshalMsgpack(b []byte) error { return msgpack.Unmarshal(b, &p.text) }

type withOwn struct {
	O  own
	P  *packed
	Os []own
	Ps map[string]packed
}

// Those from here on are JSON.

type upper string

func (u upper) MarshalText() ([]byte, error) { return []byte("<" + string(u) + ">"), nil }
func (u *upper) UnmarshalText(b []byte) error {
	if len(b) < 2 {
		return errors.New("too short for upper")
	}
	*u = upper(b[1 : len(b)-1])
	return nil
}

type jsonly struct{ n int }

func (j jsonly) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]int{"n": j.n}) }
func (j *jsonly) UnmarshalJSON(b []byte) error {
	var m map[string]int
	err := json.Unmarshal(b, &m)
	j.n = m["n"]
	return err
}

type (
	withText    struct{ U upper }
	withJSON    struct{ J []jsonly }
	withTextKey struct{ M map[upper]int }
	withIntKey  struct{ M map[int]string }
	withRaw     struct{ R json.RawMessage }
	withNumber  struct{ N json.Number }
	withString  struct {
		I int `json:"i,string"`
	}
	withZero struct {
		T time.Time `json:"t,omitzero"`
		N int       `json:",omitzero"`
	}
	withDash struct {
		D int `json:"-,"`
	}
	withTimeOmit struct {
		T time.Time `json:"t,omitempty"`
	}
	withOmit struct {
		B Base `json:"b,omitempty"`
	}
	withTagged struct {
		Base `json:"base"`
	}
	withHiddenP struct{ *inner }
	withURL     struct{ U *url.URL }
	withBig     struct {
		B *big.Int
		A netip.Addr
	}
	withPromoted struct {
		own
		Lost int
	}
	withSelf struct {
		*withSelf
		N int
	}
)

type withShadow struct {
	Base
	ID string `json:"id"`
}

type withTwins struct {
	Base
	Twin
}

type Twin struct {
	Kind string
	Own  int
}

type kindOf struct {
	typ  reflect.Type
	want codec.Codec
}

// kinds is every kind of type with the codec it must be sent in.
func kinds() []kindOf {
	return []kindOf{
		{reflect.TypeFor[bool](), codec.Msgpack},
		{reflect.TypeFor[int](), codec.Msgpack},
		{reflect.TypeFor[int8](), codec.Msgpack},
		{reflect.TypeFor[uint64](), codec.Msgpack},
		{reflect.TypeFor[float32](), codec.Msgpack},
		{reflect.TypeFor[float64](), codec.Msgpack},
		{reflect.TypeFor[string](), codec.Msgpack},
		{reflect.TypeFor[any](), codec.Msgpack},
		{reflect.TypeFor[time.Time](), codec.Msgpack},
		{reflect.TypeFor[time.Duration](), codec.Msgpack},
		{reflect.TypeFor[[4]byte](), codec.Msgpack},
		{reflect.TypeFor[[]any](), codec.Msgpack},
		{reflect.TypeFor[map[string]any](), codec.Msgpack},
		{reflect.TypeFor[map[string]string](), codec.Msgpack},
		{reflect.TypeFor[map[name]float32](), codec.Msgpack},
		{reflect.TypeFor[names](), codec.Msgpack},
		{reflect.TypeFor[digits](), codec.Msgpack},
		{reflect.TypeFor[scalars](), codec.Msgpack},
		{reflect.TypeFor[empties](), codec.Msgpack},
		{reflect.TypeFor[holders](), codec.Msgpack},
		{reflect.TypeFor[holder](), codec.Msgpack},
		{reflect.TypeFor[tree](), codec.Msgpack},
		{reflect.TypeFor[embedding](), codec.Msgpack},
		{reflect.TypeFor[faces](), codec.Msgpack},
		{reflect.TypeFor[casing](), codec.Msgpack},
		{reflect.TypeFor[struct{}](), codec.Msgpack},
		{reflect.TypeFor[own](), codec.Msgpack},
		{reflect.TypeFor[packed](), codec.Msgpack},
		{reflect.TypeFor[withOwn](), codec.Msgpack},

		{reflect.TypeFor[upper](), codec.JSON},
		{reflect.TypeFor[jsonly](), codec.JSON},
		{reflect.TypeFor[withText](), codec.JSON},
		{reflect.TypeFor[withJSON](), codec.JSON},
		{reflect.TypeFor[withTextKey](), codec.JSON},
		{reflect.TypeFor[withIntKey](), codec.JSON},
		{reflect.TypeFor[withRaw](), codec.JSON},
		{reflect.TypeFor[withNumber](), codec.JSON},
		{reflect.TypeFor[withString](), codec.JSON},
		{reflect.TypeFor[withZero](), codec.JSON},
		{reflect.TypeFor[withDash](), codec.JSON},
		{reflect.TypeFor[withTimeOmit](), codec.JSON},
		{reflect.TypeFor[withOmit](), codec.JSON},
		{reflect.TypeFor[withTagged](), codec.JSON},
		{reflect.TypeFor[withHiddenP](), codec.JSON},
		{reflect.TypeFor[withURL](), codec.Msgpack}, // it has MarshalBinary, which encoding/json ignores
		{reflect.TypeFor[withBig](), codec.JSON},
		{reflect.TypeFor[withPromoted](), codec.JSON},
		{reflect.TypeFor[withSelf](), codec.JSON},
		{reflect.TypeFor[withShadow](), codec.JSON},
		{reflect.TypeFor[withTwins](), codec.JSON},
		{reflect.TypeFor[json.Number](), codec.JSON},
		{reflect.TypeFor[json.RawMessage](), codec.JSON},
		{reflect.TypeFor[map[int]string](), codec.JSON},
		{reflect.TypeFor[[]map[string]*withString](), codec.JSON},
		{reflect.TypeFor[struct{ C chan int }](), codec.JSON},
	}
}
