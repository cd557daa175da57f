package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/rpc/schema"
)

func mustCompile(t testing.TB, body string) *schema.Checker {
	t.Helper()
	c, err := schema.Compile([]byte(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return c
}

// say is what a check says, one problem a line, with the pointer and the rule behind it.
func say(problems []schema.Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s (%s %s)", p, p.Field, p.Rule))
	}
	return strings.Join(lines, "\n")
}

func TestAProblemSaysWhereItIsAndWhatIsWanted(t *testing.T) {
	for _, row := range []struct{ schema, text, want string }{
		{`{"type":"string"}`, `1`, `a string is wanted, got a number ( type)`},
		{`{"type":"integer"}`, `1.5`, `a whole number is wanted, got a fraction ( type)`},
		{`{"type":"integer"}`, `3.0`, ``},
		{`{"type":"integer"}`, `12345678901234567890123`, ``},
		{`{"type":["string","null"]}`, `[]`, `a string or null is wanted, got a list ( type)`},
		{`{"properties":{"name":{"minLength":1}}}`, `{"name":""}`, `name: at least 1 character is wanted, got 0 (/name minLength)`},
		{`{"properties":{"name":{"maxLength":2}}}`, `{"name":"\u00e9\u00e9é"}`, `name: at most 2 characters may come, got 3 (/name maxLength)`},
		{`{"properties":{"items":{"items":{"properties":{"price":{"maximum":10}}}}}}`, `{"items":[{},{},{"price":10},{"price":12.5}]}`, `items[3].price: 12.5 is over the maximum 10 (/items/3/price maximum)`},
		{`{"minimum":0}`, `-1`, `-1 is under the minimum 0 ( minimum)`},
		{`{"exclusiveMinimum":0}`, `0`, `0 is not over 0 ( exclusiveMinimum)`},
		{`{"exclusiveMaximum":1,"maximum":1}`, `1.0`, `1.0 is not under 1 ( exclusiveMaximum)`},
		{`{"maximum":9007199254740993}`, `9007199254740994`, `9007199254740994 is over the maximum 9007199254740993 ( maximum)`},
		{`{"multipleOf":0.1}`, `0.25`, `0.25 is no multiple of 0.1 ( multipleOf)`},
		{`{"multipleOf":0.1}`, `-0.3e1`, ``},
		{`{"pattern":"^a+$"}`, `"b"`, `"b" does not match ^a+$ ( pattern)`},
		{`{"enum":["red",1,null]}`, `"blue"`, `"blue" is none of "red", 1, null ( enum)`},
		{`{"enum":["red",1,null]}`, `1.0`, ``},
		{`{"const":{"a":[1,2]}}`, `{"a":[1.0,2]}`, ``},
		{`{"required":["name"]}`, `{}`, `missing field "name" (/name required)`},
		{`{"items":{"required":["a/b"]}}`, `[{}]`, `[0]: missing field "a/b" (/0/a~1b required)`},
		{`{"minItems":2,"maxItems":3}`, `[1]`, `at least 2 items are wanted, got 1 ( minItems)`},
		{`{"maxItems":3}`, `[1,2,3,4]`, `at most 3 items may come, got 4 ( maxItems)`},
		{`{"uniqueItems":true}`, `[1,{"a":1,"b":2},{"b":2.0,"a":1}]`, `[2]: this is the same as item 1 (/2 uniqueItems)`},
		{`{"contains":{"const":1}}`, `[2]`, `at least 1 item is wanted of a form that 0 have ( contains)`},
		{`{"prefixItems":[{"type":"string"}],"items":false}`, `["a",1]`, `[1]: nothing is allowed here (/1 false)`},
		{`{"properties":{"a":{}},"additionalProperties":false}`, `{"a":1,"b c":2}`, `["b c"]: there is no such field (/b c additionalProperties)`},
		{`{"patternProperties":{"^x-":{"type":"string"}}}`, `{"x-a":1}`, `x-a: a string is wanted, got a number (/x-a type)`},
		{`{"propertyNames":{"pattern":"^[a-z]+$"}}`, `{"a":1,"B":1}`, `B: a field may not be called this (/B propertyNames)`},
		{`{"minProperties":1}`, `{}`, `at least 1 field is wanted, got 0 ( minProperties)`},
		{`{"dependentRequired":{"card":["cvc"]}}`, `{"card":1}`, `missing field "cvc", which "card" needs (/cvc required)`},
		{`{"oneOf":[{"required":["a"]},{"required":["b","c"]}]}`, `{"a":1,"b":1,"c":1}`, `exactly one of these is wanted: "a"; or "b" and "c" ( oneOf)`},
		{`{"anyOf":[{"type":"string"},{"type":"string","minLength":2}],"type":"string"}`, `""`, ``},
		{`{"anyOf":[{"minimum":5,"type":"number"},{"type":"null"}]}`, `3`, `3 is under the minimum 5 ( minimum)`},
		{`{"anyOf":[{"minimum":5},{"multipleOf":2}]}`, `3`, `this is of none of the 2 forms that are allowed ( anyOf)`},
		{`{"oneOf":[{"minimum":5},{"multipleOf":2}]}`, `6`, `this is of 2 forms of which only one is allowed at a time ( oneOf)`},
		{`{"not":{"type":"null"}}`, `null`, `this is of a form that is not allowed ( not)`},
		{`{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{"a":1}`, `missing field "b" (/b required)`},
		{`{"$defs":{"N":{"properties":{"next":{"$ref":"#/$defs/N"},"v":{"type":"integer"}}}},"$ref":"#/$defs/N"}`, `{"next":{"next":{"v":"x"}}}`, `next.next.v: a whole number is wanted, got a string (/next/next/v type)`},
		{`{"properties":{"a":{}},"additionalProperties":false}`, `{"A":1}`, `A: the field is called "a" (/A case)`},
		{`{"not":{"properties":{"a":{"type":"string"}}}}`, `{"A":1}`, `this is of a form that is not allowed ( not)`},
		// encoding/json takes NAME, and ſ for s, so a bound on the name would be passed by.
		{`{"properties":{"ms":{"minimum":0}}}`, `{"MS":-1}`, `MS: the field is called "ms" (/MS case)`},
		{`{"properties":{"ms":{"minimum":0}}}`, `{"mſ":-1}`, `["mſ"]: the field is called "ms" (/mſ case)`},
	} {
		if got := say(mustCompile(t, row.schema).Check([]byte(row.text))); got != row.want {
			t.Errorf("%s\n  of %s\n  got  %s\n  want %s", row.text, row.schema, got, row.want)
		}
	}
}

func TestAProblemShowsLittleOfWhatCame(t *testing.T) {
	long := strings.Repeat("x", 5000)
	c := mustCompile(t, `{"additionalProperties":{"pattern":"^a$","type":"string"},"maxProperties":1}`)
	for _, p := range c.Check([]byte(`{"` + long + `":"` + long + `","` + long + `2":` + strings.Repeat("1", 5000) + `}`)) {
		if n := strings.Count(p.Message, "x"); n > 64 || len(p.Message) > 200 || len(p.Field) > 80 || len(p.String()) > 280 {
			t.Errorf("%d bytes of the value in %q at %q", n, p.Message, p.Field)
		}
	}
}

func TestACheckStopsAfterEightProblems(t *testing.T) {
	c := mustCompile(t, `{"items":{"minimum":1}}`)
	got := c.Check([]byte("[" + strings.Repeat("0,", 100) + "0]"))
	if len(got) != schema.MaxProblems || got[7].Field != "/7" {
		t.Errorf("got %s", say(got))
	}
}

func TestACheckIsBoundedWhateverComes(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, row := range []struct{ schema, text, want string }{
		{`{"pattern":"(x|y|xx|yy){1,200}z"}`, `"` + long + `"`, "checking this takes too long ( work)"},
		{`{"pattern":"(x|y|xx|yy){1,200}z","maxLength":100}`, `"` + long + `"`, "at most 100 characters may come, got 1048576 ( maxLength)"},
		{`{"multipleOf":3}`, `1e999999999`, "1e999999999 is no multiple of 3 ( multipleOf)"},
		{`{"maximum":3}`, `1e99999999999999999999`, "1e99999999999999999999 is over the maximum 3 ( maximum)"},
		{`{"minimum":0,"type":"integer"}`, `-0.0e-999999999`, ""},
		{`{"items":{"$ref":"#"}}`, strings.Repeat("[", 1<<20), "this nests deeper than 64 ( depth)"},
		{`{"not":{"pattern":"(x|y|xx|yy){1,200}z"}}`, `"` + long + `"`, "checking this takes too long ( work)"},
		{`{"propertyNames":{"pattern":"(x|y|xx|yy){1,200}z"}}`, `{"` + long + `":1}`, "checking this takes too long ( work)"},
		{`true`, ` `, "nothing came ( json)"},
		{`true`, `1 2`, "this is not one JSON value ( json)"},
	} {
		if got := say(mustCompile(t, row.schema).Check([]byte(row.text))); got != row.want {
			t.Errorf("%s\n  got  %s\n  want %s", row.schema, got, row.want)
		}
	}
}

// FuzzCheck gives a check anything at all: it ends, and never panics.
func FuzzCheck(f *testing.F) {
	f.Add(`{"properties":{"a":{"enum":[1]}},"required":["a"],"uniqueItems":true,"items":{"multipleOf":3}}`, `{"a":[1,1]}`)
	f.Add(`{"contains":{"const":{"a":1}},"anyOf":[{"pattern":"a"},{"minimum":1}]}`, `[[{"a":1.0}],"\\`)
	f.Fuzz(func(t *testing.T, body, text string) {
		c, err := schema.Compile([]byte(body))
		if err != nil {
			return
		}
		if got := c.Check([]byte(text)); len(got) > schema.MaxProblems+1 {
			t.Errorf("%d problems", len(got))
		}
	})
}

func TestASchemaThatCannotBeCheckedIsRefused(t *testing.T) {
	for _, row := range []struct{ schema, want string }{
		{`[`, "EOF"},
		{`3`, "object or a boolean"},
		{`{"type":"text"}`, "type \"text\" is unknown"},
		{`{"pattern":"("}`, "pattern"},
		{`{"$ref":"#/$defs/A"}`, "leads nowhere"},
		{`{"$ref":"other.json"}`, "leads nowhere"},
		{`{"$ref":"#"}`, "back to itself"},
		{`{"anyOf":[{"type":"string"},{"not":{"$ref":"#"}}]}`, "back to itself"},
		{`{"unevaluatedProperties":false}`, "unevaluatedProperties is not checked"},
	} {
		if _, err := schema.Compile([]byte(row.schema)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.schema, err, row.want)
		}
	}
}

// What encoding/json writes for a type fits the schema of the type, as this package checks it too.
func TestWhatIsWrittenPassesItsOwnCheck(t *testing.T) {
	for _, s := range shapes() {
		c := mustCompile(t, string(mustOf(t, s.typ).Body))
		for _, v := range s.values {
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Check(data); len(got) > 0 {
				t.Errorf("%s: %s\n%s", s.name, data, say(got))
			}
		}
	}
}

// A check agrees with github.com/santhosh-tekuri/jsonschema, which passes the test suite of JSON Schema, on schemas and
// values that are made at random.
func TestAChecksVerdictIsThatOfAReferenceImplementation(t *testing.T) {
	refused := 0
	rapid.Check(t, func(rt *rapid.T) {
		body := randomSchema(rt, 3)
		ours, err := schema.Compile([]byte(body))
		if err != nil {
			rt.Fatalf("%v\n%s", err, body)
		}
		doc, err := validator.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			rt.Fatal(err)
		}
		c := validator.NewCompiler()
		if err := c.AddResource("mem:///schema.json", doc); err != nil {
			rt.Fatal(err)
		}
		theirs, err := c.Compile("mem:///schema.json")
		if err != nil {
			rt.Fatal(err)
		}
		for range 20 {
			text := randomJSON(rt, 3)
			got, want := ours.Check([]byte(text)), validate(t, theirs, []byte(text))
			if (len(got) == 0) != (want == nil) {
				rt.Fatalf("%s\n%s\nours:   %s\ntheirs: %v", body, text, say(got), want)
			}
			if want != nil {
				refused++
			}
		}
	})
	if refused == 0 {
		t.Error("no value was refused: this has tested nothing")
	}
}

func oneOf(rt *rapid.T, of ...string) string { return rapid.SampledFrom(of).Draw(rt, "one") }

func randomJSON(rt *rapid.T, depth int) string {
	kinds := []string{"scalar", "scalar", "list", "object"}
	if depth == 0 {
		kinds = kinds[:1]
	}
	var parts []string
	switch oneOf(rt, kinds...) {
	case "list":
		for range rapid.IntRange(0, 4).Draw(rt, "items") {
			parts = append(parts, randomJSON(rt, depth-1))
		}
		return "[" + strings.Join(parts, " , ") + "]"
	case "object":
		for _, k := range []string{"a", "b", "cc"} {
			if rapid.Bool().Draw(rt, "field") {
				parts = append(parts, fmt.Sprintf(" %q : %s", k, randomJSON(rt, depth-1)))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return oneOf(rt, "null", "true", "false", "0", "-0.0", "1", "1.0", "10e-1", "2", "3", "-5", "2.5", "0.75", "1e2", "123456789012345678901",
		`""`, `"a"`, `"aa"`, `"\u0061b"`, `"é"`, `"aaaaaa"`)
}

func randomSchema(rt *rapid.T, depth int) string {
	if depth < 3 && rapid.IntRange(0, 12).Draw(rt, "bare") == 0 {
		return oneOf(rt, "true", "false", "{}", `{"$ref":"#/$defs/A"}`)
	}
	sub := func() string { return randomSchema(rt, depth-1) }
	subs := func() string {
		list := []string{sub()}
		for range rapid.IntRange(0, 2).Draw(rt, "more") {
			list = append(list, sub())
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	count := func() string { return oneOf(rt, "0", "1", "2", "3") }
	number := func() string { return oneOf(rt, "0", "1", "2.5", "-5", "1e2", "0.5", "123456789012345678901") }
	write := map[string]func() string{
		"type": func() string {
			return oneOf(rt, `"string"`, `"number"`, `"integer"`, `"object"`, `"array"`, `["null","boolean"]`, `["integer","string"]`, `["object","array"]`)
		},
		"enum":             func() string { return "[" + randomJSON(rt, 2) + "," + randomJSON(rt, 2) + ",1,\"a\"]" },
		"const":            func() string { return randomJSON(rt, 2) },
		"minimum":          number,
		"maximum":          number,
		"exclusiveMinimum": number,
		"exclusiveMaximum": number,
		"multipleOf":       func() string { return oneOf(rt, "1", "0.5", "2", "2.5") },
		"minLength":        count,
		"maxLength":        count,
		"pattern":          func() string { return oneOf(rt, `"^a+$"`, `"b"`, `"^$"`) },
		"minItems":         count,
		"maxItems":         count,
		"uniqueItems":      func() string { return "true" },
		"minProperties":    count,
		"maxProperties":    count,
		"required":         func() string { return oneOf(rt, `["a"]`, `["b","a"]`, `["zz"]`) },
		"dependentRequired": func() string {
			return oneOf(rt, `{"a":["b"]}`, `{"cc":["a","b"]}`)
		},
	}
	if depth > 0 {
		for _, key := range []string{"items", "additionalProperties", "propertyNames", "not", "if", "then", "else"} {
			write[key] = sub
		}
		for _, key := range []string{"allOf", "anyOf", "oneOf", "prefixItems"} {
			write[key] = subs
		}
		write["contains"] = sub
		write["properties"] = func() string { return `{"a":` + sub() + `,"b":` + sub() + `}` }
		write["patternProperties"] = func() string { return `{"^a":` + sub() + `,"c":` + sub() + `}` }
		write["dependentSchemas"] = func() string { return `{"a":` + sub() + `}` }
	}
	var keys []string
	for k := range write {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b bytes.Buffer
	b.WriteString(`{"$schema":"` + schema.Dialect + `"`)
	for range rapid.IntRange(1, 4).Draw(rt, "keywords") {
		if len(keys) == 0 {
			break
		}
		i := rapid.IntRange(0, len(keys)-1).Draw(rt, "keyword")
		k := keys[i]
		keys = append(keys[:i:i], keys[i+1:]...)
		fmt.Fprintf(&b, ",%q:%s", k, write[k]())
		if k == "contains" && rapid.Bool().Draw(rt, "bounds") {
			fmt.Fprintf(&b, `,"minContains":%s,"maxContains":%s`, count(), count())
		}
	}
	if depth == 3 {
		b.WriteString(`,"$defs":{"A":{"properties":{"a":{"$ref":"#/$defs/A"},"b":{"type":"integer"}},"items":{"$ref":"#/$defs/A"}}}`)
	}
	b.WriteString("}")
	return b.String()
}
