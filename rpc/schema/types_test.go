package schema_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/mbus-dev/mbus/rpc/schema/testdata/auth"
	"github.com/mbus-dev/mbus/rpc/schema/testdata/billing"
)

type (
	Scalars struct {
		Bool    bool    `json:"bool"`
		Int     int     `json:"int"`
		Int8    int8    `json:"int8"`
		Int16   int16   `json:"int16"`
		Int32   int32   `json:"int32"`
		Int64   int64   `json:"int64"`
		Uint    uint    `json:"uint"`
		Uint8   uint8   `json:"uint8"`
		Uint16  uint16  `json:"uint16"`
		Uint32  uint32  `json:"uint32"`
		Uint64  uint64  `json:"uint64"`
		Uintptr uintptr `json:"uintptr"`
		Float32 float32 `json:"float32"`
		Float64 float64 `json:"float64"`
		String  string  `json:"string"`
		Any     any     `json:"any"`
		hidden  int
		Dropped chan int `json:"-"`
		Dash    int      `json:"-,"`
		NoTag   string
		BadTag  int `json:"a\"b"`
	}
	Nils struct {
		Slice  []string          `json:"slice"`
		Map    map[string]int    `json:"map"`
		Ptr    *int              `json:"ptr"`
		PtrPtr **string          `json:"ptrptr"`
		Struct *Scalars          `json:"struct"`
		Bytes  []byte            `json:"bytes"`
		Inner  [][]*Small        `json:"inner"`
		Maps   map[string][]bool `json:"maps"`
		Iface  fmt.Stringer      `json:"iface"`
		Text   encoding.TextMarshaler
		Items  *[]*int `json:"items,omitempty"`
	}
	Small  struct{ A, B int }
	Blob   []byte
	Octet  uint8
	Color  string
	Arrays struct {
		Four   [4]int
		Zero   [0]string
		Sum    [3]byte
		Blob   Blob
		Octets []Octet
		Odd    []OddByte
		Ptrs   [2]*Small
	}
	OddByte uint8
	Keys    struct {
		Str   map[Color]int
		Int   map[int8]int
		Uint  map[uint64]string
		Addr  map[netip.Addr]bool
		Any   map[string]any
		Deep  map[string]map[int]*Small
		Iface map[encoding.TextMarshaler]int
	}
	Std struct {
		Time  time.Time
		TimeP *time.Time
		Dur   time.Duration
		Raw   json.RawMessage
		Num   json.Number
		Big   *big.Int
		BigV  big.Int
		Float *big.Float
		IP    net.IP
		Addr  netip.Addr
	}
	Quoted struct {
		Int   int           `json:"int,string"`
		Ptr   *uint8        `json:"ptr,string"`
		Bool  bool          `json:"bool,string"`
		Float float64       `json:"float,string"`
		Str   string        `json:"str,string"`
		Num   json.Number   `json:"num,string"`
		Dur   time.Duration `json:"dur,string"`
		Slice []int         `json:"slice,string"`
		PP    **int         `json:"pp,string"`
	}
	Node struct {
		Value    int              `json:"value"`
		Next     *Node            `json:"next"`
		Children []Node           `json:"children"`
		ByName   map[string]*Node `json:"by_name"`
	}
	Tree  []Tree
	Dict  map[string]Dict
	Loop  *Loop
	Ring  *[]Ring
	Ping  struct{ Pong *Pong }
	Pong  struct{ Ping []Ping }
	Loops struct {
		Tree Tree
		Dict Dict
		Loop Loop
		Ring Ring
		TP   *Tree
		Ping Ping
		Anon struct{ Node *Node }
	}
	Base struct {
		ID   string `json:"id"`
		Name string // hidden: Other has it at the same depth
	}
	Plain struct{ P int }
	Other struct {
		Name  string
		Extra int `json:"extra"`
	}
	lower    struct{ Seen bool }
	Embedded struct {
		Base
		*Other
		lower
		Named   `json:"named"`
		Color          // not a struct: a field by its type's name
		Shadow  string `json:"id"`
		unknown int
	}
	Named struct{ X int }
	Twice struct {
		Left
		Right
	}
	Left  struct{ Plain }
	Right struct {
		Plain
		Own int
	}
	SelfEmbed struct {
		*SelfEmbed
		V int
	}
	Stamped struct {
		time.Time
		Note string
	}
	// Level writes itself as text from its value.
	Level int
	// PtrText does so only from a pointer, ReadText only reads, Lower is a string that does.
	PtrText  int
	ReadText int
	Lower    string
	JSONer   struct{ A int }
	PtrJSON  struct{ A int }
	ReadJSON time.Duration
	MapText  map[string]int
	Methods  struct {
		Quoted   Level `json:",string"` // its text once: methods do not know the option
		Level    Level
		LevelP   *Level
		PtrText  PtrText
		PtrTextP *PtrText
		PtrTexts map[string]PtrText
		ReadText ReadText
		Lower    Lower
		JSONer   JSONer
		PtrJSON  PtrJSON
		PtrJSONs map[string]PtrJSON
		ReadJSON ReadJSON
		MapText  MapText
		List     []Level
	}
	Page[T any] struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty"`
	}
	Pair[A, B any] struct {
		A A
		B B
	}
	Generic struct {
		Users  Page[auth.User]
		Bills  Page[billing.User]
		Ints   Page[int]
		Nested *Page[Page[*auth.User]]
		Pair   Pair[map[string]auth.User, []billing.User]
	}
	Same struct {
		Auth    auth.User
		Billing billing.User
		Again   *auth.User
		List    []auth.User
	}
	Größe  struct{ Länge int }
	Tagged struct {
		Name   string            `json:"name" jsonschema:"required,minLength=1,maxLength=20,pattern=^[a-z]+$,description=lower case\\, short"`
		Kind   *string           `json:"kind,omitempty" jsonschema:"enum=red,enum=green" jsonschema_description:"what it is"`
		Age    int               `json:"age" jsonschema:"minimum=0,maximum=150,default=18,example=42"`
		Ratio  float64           `json:"ratio" jsonschema:"exclusiveMinimum=-1,multipleOf=0.5"`
		On     bool              `json:"on" jsonschema:"default=true,title=Switch"`
		Tags   []string          `json:"tags" jsonschema:"minItems=1,uniqueItems=true,enum=a,enum=b"`
		Nested Small             `json:"nested" jsonschema:"description=a struct"`
		Ptr    *Small            `json:"ptr" jsonschema:"required,description=a struct or null"`
		Secret string            `json:"secret" jsonschema:"-"`
		Ext    string            `json:"ext" jsonschema_extras:"x-order=1,deprecated=true"`
		Mail   any               `json:"mail" jsonschema:"type=string,format=email"`
		Null   string            `json:"null" jsonschema:"nullable,maxLength=3"`
		Count  int64             `json:"count,string" jsonschema:"example=7"`
		Multi  any               `json:"multi" jsonschema:"oneof_type=string;integer"`
		Smalls []Small           `json:"smalls,omitempty" jsonschema:"maxItems=3,description=some"`
		SmallP []*Small          `json:"smallp,omitempty" jsonschema:"maxItems=2"`
		Named  Words             `json:"named,omitempty" jsonschema:"maxItems=2,enum=x,enum=y,description=a named list"`
		Map    map[string]*Small `json:"map,omitempty" jsonschema:"title=Map"`
		Dict   Dict              `json:"dict,omitempty" jsonschema:"description=recursive"`
		Retype []*Small          `json:"retype,omitempty" jsonschema:"type=string"`
		One    string            `json:"one,omitempty" jsonschema:"oneof_required=first"`
		Two    string            `json:"two,omitempty" jsonschema:"oneof_required=second"`
		Also   string            `json:"also,omitempty" jsonschema:"oneof_required=second"`
	}
	Words []string
	Omits struct {
		Fn  func()       `json:"fn,omitzero"`
		Ch  chan int     `json:"ch,omitzero"`
		At  time.Time    `json:"at,omitzero"`
		Arr [2]int       `json:"arr,omitempty"`
		S   *Small       `json:"s,omitempty"`
		C   complex128   `json:"c,omitzero"`
		U   json.Number  `json:"u,omitempty"`
		F   func(string) `json:"-"`
	}
	Custom struct {
		Zip  Zip
		ZipP *Zip
		Zips []Zip
		Addr Address
		Any  Free
	}
	Zip     string
	Address struct {
		Zip  // promotes JSONSchema: not meant for Address
		City string
	}
	Free struct{}
)

func (Level) MarshalText() ([]byte, error)    { return []byte("info"), nil }
func (l *Level) UnmarshalText([]byte) error   { return nil }
func (*PtrText) MarshalText() ([]byte, error) { return []byte("p"), nil }
func (*PtrText) UnmarshalText([]byte) error   { return nil }
func (*ReadText) UnmarshalText([]byte) error  { return nil }
func (*Lower) MarshalText() ([]byte, error)   { return []byte("l"), nil }
func (JSONer) MarshalJSON() ([]byte, error)   { return []byte(`[1,"x"]`), nil }
func (*PtrJSON) MarshalJSON() ([]byte, error) { return []byte(`7`), nil }
func (*ReadJSON) UnmarshalJSON([]byte) error  { return nil }
func (MapText) UnmarshalText([]byte) error    { return nil }
func (MapText) MarshalText() ([]byte, error)  { return []byte("m"), nil }
func (*OddByte) MarshalJSON() ([]byte, error) { return []byte(`"odd"`), nil }
func (Zip) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^[0-9]*$"}
}
func (*Free) JSONSchema() *jsonschema.Schema   { return nil }
func (Linked) JSONSchema() *jsonschema.Schema  { return &jsonschema.Schema{Ref: "#/$defs/X"} }
func (Panicky) JSONSchema() *jsonschema.Schema { panic("no") }
func (Wrong) JSONSchema() *jsonschema.Schema   { return &jsonschema.Schema{Type: "text"} }

type (
	Linked  struct{}
	Panicky struct{}
	Wrong   struct{}
)

// local declares types of the same name in two functions.
func local() (reflect.Type, reflect.Type) {
	type T struct{ A int }
	type outer struct{ T T }
	first := reflect.TypeFor[outer]()
	second := func() reflect.Type {
		type T struct{ B string }
		return reflect.TypeFor[T]()
	}()
	return first.Field(0).Type, second
}

// The fields that encoding/json passes over are there to be passed over.
var _ = [...]any{Embedded{}.unknown, Embedded{}.Seen, Scalars{}.hidden}
