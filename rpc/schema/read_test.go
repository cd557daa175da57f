package schema_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mbus-dev/mbus/rpc/schema"
)

// TestListingsMatchTheGoldenFile shows Skeleton and Fields of every type of the table.
func TestListingsMatchTheGoldenFile(t *testing.T) {
	var got strings.Builder
	for _, s := range append(shapes(), protoShapes()[1:]...) {
		body := mustOf(t, s.typ).Body
		skeleton, err := schema.Skeleton(body)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := schema.Fields(body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "-- %s --\n%s\n", s.name, skeleton)
		for _, f := range fields {
			fmt.Fprintf(&got, "%s%s %s", strings.Repeat("\t", f.Depth+1), f.Name, f.Type)
			if f.Required {
				got.WriteString(" required")
			}
			if f.Nullable {
				got.WriteString(" nullable")
			}
			fmt.Fprintf(&got, " (%s)", f.Path)
			if f.Enum != nil {
				fmt.Fprintf(&got, " %s", f.Enum)
			}
			if f.Description != "" {
				fmt.Fprintf(&got, " # %s", f.Description)
			}
			got.WriteString("\n")
		}
	}
	path := filepath.Join("testdata", "listings.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("listings changed; if meant, run go test ./rpc/schema -update (-want +got):\n%s", diff)
	}
}

func TestSkeletonsOfTheTableFitTheirSchemas(t *testing.T) {
	for _, s := range shapes() {
		if s.name == "tagged" || s.name == "methods" { // a pattern; types that read only what they write
			continue
		}
		body := mustOf(t, s.typ).Body
		skeleton, err := schema.Skeleton(body)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, compile(t, body), skeleton); err != nil {
			t.Errorf("%s: %s does not fit: %v", s.name, skeleton, err)
		}
	}
}

func TestSkeletonUsesWhatTheAuthorGave(t *testing.T) {
	rows := []struct{ schema, want string }{
		{`{"type":"string","const":"c","default":"d"}`, `"c"`},
		{`{"type":"string","examples":["e"],"default":"d"}`, `"e"`},
		{`{"type":"object","properties":{"a":{"default":[1,{"x":null}]},"b":{"enum":["r","g"]}}}`, `{"a":[1,{"x":null}],"b":"r"}`},
		{`{"type":"integer","minimum":5}`, `5`},
		{`{"type":"integer","minimum":4.5}`, `5`},
		{`{"type":"number","exclusiveMinimum":0.5}`, `1.5`},
		{`{"type":"integer","maximum":-3}`, `-3`},
		{`{"type":"integer","maximum":-2.5}`, `-3`},
		{`{"type":"string","minLength":3}`, `"xxx"`},
		{`{"type":"string","format":"uuid"}`, `"00000000-0000-0000-0000-000000000000"`},
		{`{"type":"array","items":{"type":"boolean"},"minItems":2}`, `[false,false]`},
		{`{"type":"array","items":true,"maxItems":0}`, `[]`},
		{`{"anyOf":[{"type":"null"},{"type":"integer"}]}`, `0`},
		{`{"properties":{"a":{"$ref":"#/properties/b"},"b":{"type":"boolean"}}}`, `{"a":false,"b":false}`},
		{`{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"string"}}}`, `""`},
		{`{"$ref":"https://example.com/other.json"}`, `null`},
		{`{"$ref":"#"}`, `null`},
		{`true`, `null`},
	}
	for _, row := range rows {
		got, err := schema.Skeleton(json.RawMessage(row.schema))
		if err != nil || string(got) != row.want {
			t.Errorf("Skeleton(%s) = %s, %v; want %s", row.schema, got, err, row.want)
		}
	}
}

// hostile are schemas that stand for far more than they are long.
func hostile() []string {
	wide := make([]string, 500)
	for i := range wide {
		wide[i] = fmt.Sprintf(`"p%d":{"$ref":"#/$defs/b"}`, i)
	}
	names := strings.Join(wide, ",")
	long := strings.Repeat("n", 50000)
	return []string{
		`{"$defs":{"a":{"type":"object","properties":{` + names + `}},"b":{"type":"object","properties":{` + strings.ReplaceAll(names, "/b", "/c") + `}},"c":{"type":"string","default":"` + long + `"}},"$ref":"#/$defs/a"}`,
		`{"$defs":{"a":{"type":"object","properties":{` + names + `}},"b":{"enum":["` + long + `"],"title":"` + long[:30000] + `"}},"$ref":"#/$defs/a"}`,
		`{"$defs":{"b":{"type":"object","properties":{"` + long + `":{"type":"string"}}}},"properties":{` + names + `}}`,
		`{"type":"array","minItems":1000000000,"items":{"type":"array","minItems":1000000000,"items":{"type":"array","minItems":99,"items":{"type":"array","minItems":99,"items":{"type":"string","minLength":99999999999}}}}}`,
		`{"$ref":"#` + strings.Repeat("/", 100000) + `"}`,
		`{"type":"integer","minimum":1e999999999}`,
		`{"type":"number","minimum":1e-999999999,"exclusiveMaximum":1e-99999}`,
		`{"anyOf":[{"$ref":"#/anyOf/1"},{"$ref":"#/anyOf/0"}]}`,
		`{"properties":{"a":{"items":{"$ref":"#"}},"b":{"additionalProperties":{"$ref":"#/properties/b"}}}}`,
		`{"properties":[],"items":1,"type":{},"enum":{},"required":1,"anyOf":[1,[],null]}`,
		`{"type":"array","items":{"$ref":"#"}}`,
	}
}

func TestReadingAHostileSchemaIsBounded(t *testing.T) {
	for _, body := range hostile() {
		skeleton, err := schema.Skeleton(json.RawMessage(body))
		if err != nil || len(skeleton) > 1<<20 || !json.Valid(skeleton) {
			t.Errorf("Skeleton(%.80s…): %d bytes, %v", body, len(skeleton), err)
		}
		fields, err := schema.Fields(json.RawMessage(body))
		total := 0
		for _, f := range fields {
			total += len(f.Path) + len(f.Type)
			for _, e := range f.Enum {
				total += len(e)
			}
		}
		if err != nil || len(fields) > schema.MaxFields || total > 4<<20 {
			t.Errorf("Fields(%.80s…): %d fields of %d bytes, %v", body, len(fields), total, err)
		}
	}
}

func TestReadingRefusesWhatIsNoSchema(t *testing.T) {
	for _, body := range []string{``, `1`, `"x"`, `[]`, `{"a":`, `{} {}`, strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), strings.Repeat(" ", schema.MaxBody) + "{}"} {
		if got, err := schema.Skeleton(json.RawMessage(body)); err == nil {
			t.Errorf("Skeleton(%.40q) = %s", body, got)
		}
		if got, err := schema.Fields(json.RawMessage(body)); err == nil {
			t.Errorf("Fields(%.40q) = %v", body, got)
		}
	}
}

func FuzzReading(f *testing.F) {
	for _, s := range shapes() {
		f.Add([]byte(mustOf(f, s.typ).Body))
	}
	for _, body := range hostile() {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		skeleton, err := schema.Skeleton(body)
		if err == nil && (!json.Valid(skeleton) || len(skeleton) > 1<<20) {
			t.Errorf("%d bytes: %.200s", len(skeleton), skeleton)
		}
		fields, fieldsErr := schema.Fields(body)
		if (err == nil) != (fieldsErr == nil) || len(fields) > schema.MaxFields {
			t.Errorf("Skeleton says %v, Fields %v with %d fields", err, fieldsErr, len(fields))
		}
	})
}

func BenchmarkOf(b *testing.B) {
	b.ReportAllocs()
	typ := reflect.TypeFor[Node]()
	for b.Loop() {
		if _, err := schema.Of(typ); err != nil {
			b.Fatal(err)
		}
	}
}
