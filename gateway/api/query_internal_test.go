package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
)

// place describes a request with a field of each kind.
func place() *discovery.Value {
	point := []discovery.Value{{Name: "lat", Type: "float64"}, {Name: "lon", Type: "float64"}}
	return &discovery.Value{Type: "Place", Values: []discovery.Value{
		{Name: "name", Type: "string"},
		{Name: "id", Type: "int64"},
		{Name: "small", Type: "int8"},
		{Name: "big", Type: "uint64"},
		{Name: "open", Type: "bool"},
		{Name: "tags", Type: "[]string"},
		{Name: "sizes", Type: "[]int32"},
		{Name: "at", Type: "Point", Values: point},
		{Name: "stops", Type: "[]Point", Values: []discovery.Value{{Name: "Point", Type: "Point", Values: point}}},
		{Name: "counts", Type: "map[string]int64"},
		{Name: "pic", Type: "[]uint8"},
		{Name: "extra", Type: "any"},
	}}
}

func TestAQueryBecomesJSONOfTheTypesOfTheMethod(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", `{}`},
		{"name=John", `{"name":"John"}`},
		{"name=123", `{"name":"123"}`},
		{"id=9007199254740993", `{"id":9007199254740993}`},
		{"id=-9223372036854775808", `{"id":-9223372036854775808}`},
		{"big=18446744073709551615", `{"big":18446744073709551615}`},
		{"id=007", `{"id":7}`},
		{"open=true&name=x", `{"name":"x","open":true}`},
		{"open", `{"open":true}`},
		{"open=0", `{"open":false}`},
		{"tags=a&tags=b", `{"tags":["a","b"]}`},
		{"tags=a", `{"tags":["a"]}`},
		{"tags[]=a", `{"tags":["a"]}`},
		{`tags=["a","b"]`, `{"tags":["a","b"]}`},
		{"sizes=1&sizes=2", `{"sizes":[1,2]}`},
		{"at[lat]=1.50&at[lon]=-2", `{"at":{"lat":1.50,"lon":-2}}`},
		{`at={"lat":1.5}`, `{"at":{"lat":1.5}}`},
		{`stops={"lat":1}&stops={"lat":2}`, `{"stops":[{"lat":1},{"lat":2}]}`},
		{"counts[a]=1&counts[b]=2", `{"counts":{"a":1,"b":2}}`},
		{"pic=aGk=", `{"pic":"aGk="}`},
		{"extra=1", `{"extra":"1"}`},
		{"extra=1&extra=2", `{"extra":["1","2"]}`},
		{"unknown=1", `{"unknown":"1"}`},
		{"unknown[a][b]=c", `{"unknown":{"a":{"b":"c"}}}`},
		{"ID=5", `{"ID":5}`},
		{"at[lat]=1e3", `{"at":{"lat":1e3}}`},
		{"at[lat]=.5", `{"at":{"lat":0.5}}`},
		{"name=%22%5C%0A", `{"name":"\"\\\n"}`},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := queryJSON(q, typing{value: place()})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.query, got, err, c.want)
		}
	}
}

func TestAQueryThatDoesNotFitSaysWhichField(t *testing.T) {
	for query, want := range map[string]string{
		"id=abc":                        `"id": "abc" is no int64`,
		"id=1.5":                        `"1.5" is no int64`,
		"id=":                           `"" is no int64`,
		"small=128":                     `"128" is no int8`,
		"big=-1":                        `"-1" is no uint64`,
		"open=maybe":                    `"maybe" is no bool`,
		"at[lat]=NaN":                   `"at[lat]": "NaN" is no float64`,
		"at=nonsense":                   `"nonsense" is no Point`,
		"at={\"lat\":}":                 `is no Point`,
		"sizes=1&sizes=x":               `"sizes": "x" is no int32`,
		"tags[x]=1":                     `"tags" is a list`,
		"name=a&name=b":                 `"name" is there 2 times`,
		"at[lat]=1&at=2":                `fields in it`,
		"at[lat=1":                      `brackets`,
		"at[lat]x=1":                    `brackets`,
		strings.Repeat("a[", 5):         `brackets`,
		"a" + strings.Repeat("[b]", 65): `brackets`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := queryJSON(q, typing{value: place()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v; want an error with %q", query, got, err, want)
		}
	}
}

// tree describes a message that holds itself in every way.
const tree = `{"$ref":"#/$defs/Tree","$defs":{"Tree":{"type":"object","title":"Tree","properties":{
	"n":{"type":"integer","format":"int64"}, "on":{"type":"boolean"}, "marks":{"type":"array","items":{"type":"integer","format":"int32"}},
	"next":{"anyOf":[{"$ref":"#/$defs/Tree"},{"type":"null"}]},
	"all":{"type":"array","items":{"$ref":"#/$defs/Tree"}},
	"by":{"type":"object","additionalProperties":{"$ref":"#/$defs/Tree"}},
	"sums":{"type":"object","additionalProperties":{"type":"number"}}}}}}`

func TestTheTypesOfFieldsGoAsDeepAsTheFields(t *testing.T) {
	deep := func(levels int) (query, want string) {
		return "next" + strings.Repeat("[next]", levels-1) + "[n]=7", strings.Repeat(`{"next":`, levels) + `{"n":7}` + strings.Repeat("}", levels)
	}
	deepQuery, deepWant := deep(63)
	for query, want := range map[string]string{
		"n=1&next[n]=2":                  `{"n":1,"next":{"n":2}}`,
		"next[next][next][next][n]=1":    `{"next":{"next":{"next":{"next":{"n":1}}}}}`,
		"next[by][x][next][by][y][on]=1": `{"next":{"by":{"x":{"next":{"by":{"y":{"on":true}}}}}}}`,
		"next[next][next][sums][a]=1.50": `{"next":{"next":{"next":{"sums":{"a":1.50}}}}}`,
		"next[next][next][marks]=1":      `{"next":{"next":{"next":{"marks":[1]}}}}`,
		"NEXT[Next][next][N]=1":          `{"NEXT":{"Next":{"next":{"N":1}}}}`,
		`next[next][next][all]={"n":1}`:  `{"next":{"next":{"next":{"all":[{"n":1}]}}}}`,
		`by[a][by][b][next]={"n":1}`:     `{"by":{"a":{"by":{"b":{"next":{"n":1}}}}}}`,
		"next[next][next][unknown][n]=1": `{"next":{"next":{"next":{"unknown":{"n":"1"}}}}}`,
		deepQuery:                        deepWant,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := queryJSON(q, typing{part: discovery.PartOf([]byte(tree))})
		if err != nil || string(got) != want || codec.Guard(codec.JSON, got) != nil {
			t.Errorf("%s: got %s, %v; want %s", query, got, err, want)
		}
	}
	for query, want := range map[string]string{
		"next[next][next][next][n]=x":                   `"next[next][next][next][n]": "x" is no int64`,
		"next[next][next][all][n]=1":                    `is a list`,
		"next[next][next][n]=1&next[next][next][n]=2":   `is there 2 times, and is one int64`,
		"next" + strings.Repeat("[next]", 64) + "[n]=7": `over 64 deep`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := queryJSON(q, typing{part: discovery.PartOf([]byte(tree))}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v; want an error with %q", query, got, err, want)
		}
	}
}

func TestAQueryWithoutKnownTypesIsText(t *testing.T) {
	q := url.Values{"a": {"1"}, "b": {"true", "false"}, "c[d]": {"x"}, "e[]": {"y"}}
	got, err := queryJSON(q, typing{})
	if want := `{"a":"1","b":["true","false"],"c":{"d":"x"},"e":["y"]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func FuzzAQueryBecomesJSONOrAnError(f *testing.F) {
	for _, seed := range []string{"name=a", "at[lat]=1", "tags[]=a&tags[]=b", "a[b][c]=d&a[b]=e", "id=1&open", "stops={}", "[x]=1", "a]=1", "a[[]]=1", "%ff=%fe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, shape := range []typing{{value: place()}, {part: discovery.PartOf([]byte(tree))}, {}} {
			got, err := queryJSON(q, shape)
			if err != nil {
				continue
			}
			if !json.Valid(got) || got[0] != '{' {
				t.Fatalf("%q: got %s", query, got)
			}
			_ = codec.Guard(codec.JSON, got)
		}
	})
}
