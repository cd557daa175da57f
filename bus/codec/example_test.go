package codec_test

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/mbus-dev/mbus/bus/codec"
)

func ExamplePlan() {
	type Greeting struct {
		Name string `json:"name"`
		Age  int8   `json:"age"`
	}
	plan := codec.NewPlan()
	body, err := plan.Marshal(codec.Msgpack, Greeting{Name: "John", Age: 42})
	fmt.Printf("%x %v\n", body, err)

	var got Greeting
	fmt.Println(plan.Unmarshal(codec.Msgpack, body, &got), got)
	fmt.Println(plan.Unmarshal(codec.JSON, []byte(`{"name":"John","age":420}`), &got))
	// Output:
	// 82a46e616d65a44a6f686ea36167652a <nil>
	// <nil> {John 42}
	// invalid_argument: the json body is wrong at byte 24 (age): number 420 does not go into int8
}

func ExamplePlan_For() {
	type Plain struct{ Name string }
	type Spelled struct{ Price json.Number }
	plan := codec.NewPlan()
	fmt.Println(plan.For(reflect.TypeFor[Plain]()))
	fmt.Println(plan.For(reflect.TypeFor[*Spelled]()))
	fmt.Println(plan.For(reflect.TypeFor[[]byte]()))
	// Output:
	// msgpack
	// json
	// raw
}

func ExampleParse() {
	c, err := codec.Parse("application/json; charset=utf-8")
	fmt.Println(c, err)
	_, err = codec.Parse("text/xml")
	fmt.Println(err)
	// Output:
	// json <nil>
	// unimplemented: content type "text/xml" is not supported: application/json, application/msgpack, application/protobuf and application/octet-stream are supported
}

func ExampleGuard() {
	fmt.Println(codec.Guard(codec.Msgpack, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}))
	fmt.Println(codec.Guard(codec.JSON, []byte(`{"admin":false,"admin":true}`)))
	// Output:
	// invalid_argument: the msgpack body is wrong at byte 0: an array of 4294967295 is announced and 0 bytes are left
	// invalid_argument: the json body is wrong at byte 15: the key "admin" is there twice
}

func ExampleTranscode() {
	packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(`{"id":9007199254740993,"price":1.50}`))
	fmt.Printf("%x %v\n", packed, err)
	text, err := codec.Transcode(codec.Msgpack, codec.JSON, packed)
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// 82a26964cf0020000000000001a57072696365cb3ff8000000000000 <nil>
	// {"id":9007199254740993,"price":1.5} <nil>
}
