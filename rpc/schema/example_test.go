package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/rpc/schema"
)

type HelloRequest struct {
	Name  string     `json:"name" jsonschema:"required,minLength=1"`
	Tags  []string   `json:"tags,omitempty" jsonschema_description:"anything you like"`
	Reply *time.Time `json:"reply,omitempty"`
}

type Order struct {
	ID    uint64            `json:"id"`
	Items []OrderItem       `json:"items"`
	Notes map[string]string `json:"notes"`
}

type OrderItem struct {
	Price float64     `json:"price"`
	Parts []OrderItem `json:"parts"`
}

func ExampleFor() {
	s, err := schema.For[HelloRequest]()
	if err != nil {
		fmt.Println(err)
		return
	}
	var body bytes.Buffer
	if err := json.Indent(&body, s.Body, "", " "); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Hash)
	fmt.Println(body.String())
	// Output:
	// 724r5sedqfryybfq6syo
	// {
	//  "$schema": "https://json-schema.org/draft/2020-12/schema",
	//  "title": "HelloRequest",
	//  "type": "object",
	//  "properties": {
	//   "name": {
	//    "type": "string",
	//    "minLength": 1
	//   },
	//   "tags": {
	//    "description": "anything you like",
	//    "type": [
	//     "array",
	//     "null"
	//    ],
	//    "items": {
	//     "type": "string"
	//    }
	//   },
	//   "reply": {
	//    "type": [
	//     "string",
	//     "null"
	//    ],
	//    "format": "date-time"
	//   }
	//  },
	//  "required": [
	//   "name"
	//  ]
	// }
}

func ExampleOf_unwritable() {
	type Bad struct {
		Done chan bool
	}
	_, err := schema.Of(reflect.TypeFor[Bad]())
	fmt.Println(err)
	// Output:
	// schema: Bad.Done: chan bool cannot be written as JSON: use another type, or leave the field out with the tag json:"-"
}

func ExampleSkeleton() {
	s, err := schema.For[Order]()
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := schema.Skeleton(s.Body)
	fmt.Println(string(request), err)
	// Output:
	// {"id":0,"items":[{"price":0,"parts":[]}],"notes":{}} <nil>
}

func ExampleFields() {
	s, err := schema.For[Order]()
	if err != nil {
		fmt.Println(err)
		return
	}
	fields, err := schema.Fields(s.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range fields {
		fmt.Println(strings.Repeat("  ", f.Depth)+f.Name, f.Type)
	}
	// Output:
	// id uint64
	// items []OrderItem
	//   price float64
	//   parts []OrderItem
	// notes map[string]string
}

func ExampleSet() {
	var set schema.Set
	hash, err := set.Add(reflect.TypeFor[OrderItem]())
	if err != nil {
		fmt.Println(err)
		return
	}
	body, ok := set.Body(hash)
	fmt.Println(ok, schema.Verify(hash, body), len(set.Hashes()))
	// Output: true <nil> 1
}

// A message is held against the schema of its type.
func ExampleChecker_Check() {
	type Order struct {
		Name  string    `json:"name" jsonschema:"required,minLength=1"`
		Price []float64 `json:"price" jsonschema:"maximum=10"`
	}
	s, err := schema.For[Order]()
	if err != nil {
		panic(err)
	}
	c, err := schema.Compile(s.Body)
	if err != nil {
		panic(err)
	}
	for _, p := range c.Check([]byte(`{"name":"","price":[1,12.5]}`)) {
		fmt.Println(p)
	}
	for _, p := range c.Check([]byte(`{"NAME":"x"}`)) {
		fmt.Println(p.Field, p.Rule)
	}
	// Output:
	// name: at least 1 character is wanted, got 0
	// price[1]: 12.5 is over the maximum 10
	// /NAME case
	// /name required
}
