package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/mbus-dev/mbus/rpc/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func compile(t testing.TB, body []byte) *validator.Schema {
	t.Helper()
	doc, err := validator.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("schema is no JSON: %v\n%s", err, body)
	}
	c := validator.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		t.Fatalf("schema is refused: %v\n%s", err, body)
	}
	sch, err := c.Compile("mem:///schema.json")
	if err != nil {
		t.Fatalf("schema does not compile: %v\n%s", err, body)
	}
	return sch
}

func validate(t testing.TB, sch *validator.Schema, value []byte) error {
	t.Helper()
	v, err := validator.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatalf("value is no JSON: %v\n%s", err, value)
	}
	return sch.Validate(v)
}

func mustOf(t testing.TB, typ reflect.Type) schema.Schema {
	t.Helper()
	s, err := schema.Of(typ)
	if err != nil {
		t.Fatalf("Of(%v): %v", typ, err)
	}
	return s
}

func TestBodiesMatchTheGoldenFile(t *testing.T) {
	var got bytes.Buffer
	for _, s := range append(shapes(), protoShapes()[1:]...) { // the first is the library's own, and grows with it
		sch := mustOf(t, s.typ)
		fmt.Fprintf(&got, "-- %s %s --\n", s.name, sch.Hash)
		if err := json.Indent(&got, sch.Body, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteString("\n")
	}
	path := filepath.Join("testdata", "bodies.golden")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("schemas changed; if meant, run go test ./rpc/schema -update (-want +got):\n%s", diff)
	}
}

func TestWhatEncodingJSONWritesFitsTheSchema(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			body := mustOf(t, s.typ).Body
			sch := compile(t, body)
			for _, v := range s.values {
				for _, v := range []any{v, addressed(v)} {
					data, err := json.Marshal(v)
					if err != nil {
						t.Fatal(err)
					}
					if err := validate(t, sch, data); err != nil {
						t.Errorf("%s\ndoes not fit: %v\n%s", data, err, body)
					}
				}
			}
		})
	}
}

// addressed is a pointer to a copy of v, through which encoding/json finds the methods with pointer receivers.
func addressed(v any) any {
	if v == nil {
		return nil
	}
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	return p.Interface()
}

func TestWhatProtoJSONWritesFitsTheSchema(t *testing.T) {
	for _, s := range protoShapes() {
		t.Run(s.name, func(t *testing.T) {
			body := mustOf(t, s.typ).Body
			sch := compile(t, body)
			for _, v := range s.values {
				for _, opts := range []protojson.MarshalOptions{{}, {UseEnumNumbers: true}} {
					data, err := opts.Marshal(v.(proto.Message))
					if err != nil {
						t.Fatal(err)
					}
					if err := validate(t, sch, data); err != nil {
						t.Errorf("%s\ndoes not fit: %v\n%s", data, err, body)
					}
				}
			}
		})
	}
}

func TestWhatTheTypeCannotHoldDoesNotFit(t *testing.T) {
	rows := []struct {
		typ   reflect.Type
		value string
	}{
		{reflect.TypeFor[Scalars](), `{"int":"1"}`},
		{reflect.TypeFor[Scalars](), `{"int":1.5}`},
		{reflect.TypeFor[Scalars](), `{"uint8":256}`},
		{reflect.TypeFor[Scalars](), `{"uint64":-1}`},
		{reflect.TypeFor[Scalars](), `{"int16":40000}`},
		{reflect.TypeFor[Scalars](), `{"string":null}`},
		{reflect.TypeFor[Scalars](), `[]`},
		{reflect.TypeFor[Scalars](), `null`},
		{reflect.TypeFor[Nils](), `{"inner":[[{"A":"x"}]]}`},
		{reflect.TypeFor[Nils](), `{"bytes":"%%%"}`},
		{reflect.TypeFor[Arrays](), `{"Four":[1,2,3]}`},
		{reflect.TypeFor[Keys](), `{"Int":{"x":1}}`},
		{reflect.TypeFor[Keys](), `{"Uint":{"-1":""}}`},
		{reflect.TypeFor[Std](), `{"Time":"yesterday"}`},
		{reflect.TypeFor[Std](), `{"Dur":"1s"}`},
		{reflect.TypeFor[Quoted](), `{"int":5}`},
		{reflect.TypeFor[Quoted](), `{"bool":"yes"}`},
		{reflect.TypeFor[Quoted](), `{"str":"bare"}`},
		{reflect.TypeFor[Node](), `{"next":{"next":{"value":"deep"}}}`},
		{reflect.TypeFor[Tree](), `[[[1]]]`},
		{reflect.TypeFor[Loop](), `{}`},
		{reflect.TypeFor[Methods](), `{"Level":1}`},
		{reflect.TypeFor[Tagged](), `{"ptr":null}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","kind":"blue"}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","age":200}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","two":"2","also":"3"}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","smalls":[{},{},{},{}]}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","smallp":[{"A":"x"}]}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","named":["z"]}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","named":["x","y","x"]}`},
		{reflect.TypeFor[Tagged](), `{"name":"joe","ptr":null,"one":"1","retype":[]}`},
		{reflect.TypeFor[struct {
			A any `json:"a" jsonschema:"required"`
		}](), `{}`},
		{reflect.TypeFor[Custom](), `{"Zip":"abc"}`},
	}
	for _, row := range rows {
		body := mustOf(t, row.typ).Body
		if validate(t, compile(t, body), []byte(row.value)) == nil {
			t.Errorf("%s fits the schema of %s:\n%s", row.value, row.typ, body)
		}
	}
}

func TestObjectsAreOpenAndNothingIsRequired(t *testing.T) {
	for _, s := range shapes() {
		if s.typ.Kind() != reflect.Struct || s.name == "stamped" || s.name == "time" || s.name == "tagged" {
			continue
		}
		sch := compile(t, mustOf(t, s.typ).Body)
		for _, value := range []string{`{}`, `{"key of a later version":[1]}`} {
			if err := validate(t, sch, []byte(value)); err != nil {
				t.Errorf("%s: %s does not fit: %v", s.name, value, err)
			}
		}
	}
}

func TestDefinitionNamesAreLegalComponentNamesAndUsed(t *testing.T) {
	legal := regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	for _, s := range append(shapes(), protoShapes()...) {
		var doc struct {
			Defs map[string]json.RawMessage `json:"$defs"`
		}
		body := mustOf(t, s.typ).Body
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatal(err)
		}
		for name := range doc.Defs {
			if !legal.MatchString(name) {
				t.Errorf("%s: definition %q", s.name, name)
			}
			if !strings.Contains(string(body), fmt.Sprintf(`{"$ref":"#/$defs/%s"`, name)) {
				t.Errorf("%s: nothing refers to definition %q", s.name, name)
			}
		}
	}
}

func TestEqualTypesHaveEqualBytesFromEveryGoroutine(t *testing.T) {
	var wg sync.WaitGroup
	all := shapes()
	want := make([]schema.Schema, len(all))
	for i, s := range all {
		want[i] = mustOf(t, s.typ)
	}
	for range 8 {
		wg.Go(func() {
			for i, s := range all {
				got, err := schema.Of(reflect.PointerTo(s.typ))
				if err != nil || !bytes.Equal(got.Body, want[i].Body) || got.Hash != want[i].Hash {
					t.Errorf("%s: another schema the second time: %s, %v", s.name, got.Body, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTypesThatCannotBeWrittenAreNamed(t *testing.T) {
	for want, typ := range unwritable() {
		if _, err := schema.Of(typ); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Of(%s): got error %v, want one line with %q", typ, err, want)
		}
	}
	if _, err := schema.Of(nil); err == nil {
		t.Error("Of(nil): no error")
	}
}

func TestTypesTooLargeAreAnyValue(t *testing.T) {
	deep := reflect.TypeFor[int]()
	for range 40 {
		deep = reflect.StructOf([]reflect.StructField{{Name: "F", Type: deep}})
	}
	many := func(n int, name string, typ reflect.Type) reflect.Type {
		fields := make([]reflect.StructField, n)
		for i := range fields {
			fields[i] = reflect.StructField{Name: fmt.Sprintf("%s%d", name, i), Type: typ}
		}
		return reflect.StructOf(fields)
	}
	wide := many(200, "F", many(50, "F", reflect.TypeFor[int]()))
	long := many(2000, strings.Repeat("F", 60), reflect.TypeFor[bool]())
	for name, typ := range map[string]reflect.Type{"deep": deep, "wide": wide, "long": long} {
		s := mustOf(t, typ)
		if err := validate(t, compile(t, s.Body), []byte(`{"any":["value",1]}`)); err != nil || !bytes.Contains(s.Body, []byte("too large")) {
			t.Errorf("%s: got %.200s, %v; want any value", name, s.Body, err)
		}
	}
}

func TestVerifyAcceptsOnlyTheNamedBody(t *testing.T) {
	s := mustOf(t, reflect.TypeFor[Node]())
	if err := schema.Verify(s.Hash, s.Body); err != nil {
		t.Error(err)
	}
	for name, body := range map[string][]byte{
		"changed": append(bytes.Clone(s.Body), ' '), "cut": s.Body[:10], "large": make([]byte, schema.MaxBody+1),
	} {
		if schema.Verify(s.Hash, body) == nil {
			t.Errorf("%s body is accepted", name)
		}
	}
	for _, body := range []string{"", "1", "[]", `{"a":1}x`, `{"a"`, strings.Repeat("[", 1000)} {
		if schema.Verify(schema.Hash([]byte(body)), []byte(body)) == nil {
			t.Errorf("%.20q is accepted as a schema", body)
		}
	}
}

func TestSetHoldsEachSchemaOnce(t *testing.T) {
	var set schema.Set
	if _, ok := set.Body("x"); ok || len(set.Hashes()) != 0 {
		t.Error("the zero Set is not empty")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, typ := range []reflect.Type{reflect.TypeFor[Node](), reflect.TypeFor[*Node](), reflect.TypeFor[Small]()} {
				hash, err := set.Add(typ)
				want, _ := schema.Of(typ)
				if body, ok := set.Body(hash); err != nil || !ok || hash != want.Hash || !bytes.Equal(body, want.Body) {
					t.Errorf("Add(%s) = %q, %v; body %s", typ, hash, err, body)
				}
			}
		})
	}
	wg.Wait()
	if n := len(set.Hashes()); n != 2 {
		t.Errorf("%d schemas for two types", n)
	}
	if _, err := set.Add(reflect.TypeFor[chan int]()); err == nil {
		t.Error("a chan is accepted")
	}
}

func TestSetRefusesMoreThanItsBound(t *testing.T) {
	var set schema.Set
	for i := range schema.MaxSet {
		if _, err := set.Add(reflect.ArrayOf(i, reflect.TypeFor[int]())); err != nil {
			t.Fatalf("schema %d: %v", i, err)
		}
	}
	if _, err := set.Add(reflect.TypeFor[string]()); !errors.Is(err, schema.ErrFull) {
		t.Errorf("schema %d: got %v, want ErrFull", schema.MaxSet, err)
	}
	if _, err := set.Add(reflect.ArrayOf(7, reflect.TypeFor[int]())); err != nil {
		t.Errorf("a type of the full set: %v", err)
	}
}
