package schema_test

import (
	"strconv"
	"strings"
	"testing"
)

// BenchmarkCheck checks bodies of 1 MiB that are meant to hurt.
func BenchmarkCheck(b *testing.B) {
	const size = 1 << 20
	list := func(item string) string {
		return "[" + strings.Repeat(item+",", size/(len(item)+1)-1) + item + "]"
	}
	for _, row := range []struct{ name, schema, text string }{
		{"small", `{"type":"object","properties":{"name":{"type":"string","minLength":1},"n":{"type":"integer","minimum":0}},"required":["name"]}`, `{"name":"John","n":12}`},
		{"numbers", `{"type":"array","items":{"type":"integer","minimum":0,"maximum":9}}`, list("1")},
		{"wrong numbers", `{"type":"array","items":{"type":"integer","minimum":3}}`, list("1")},
		{"fractions", `{"type":"array","items":{"type":"number","multipleOf":0.01}}`, list("12.25")},
		{"huge exponents", `{"type":"array","items":{"type":"number","minimum":0,"multipleOf":3}}`, list("1e300")},
		{"unique", `{"type":"array","uniqueItems":true}`, "[" + distinct(size) + "]"},
		{"objects", `{"items":{"type":"object","properties":{"id":{"type":"string","minLength":1},"n":{"type":"integer"}},"required":["id"],"additionalProperties":false}}`, list(`{"id":"abc","n":12}`)},
		{"pattern", `{"type":"string","pattern":"^(x+x+)+y$"}`, `"` + strings.Repeat("x", size) + `"`},
		{"wide pattern", `{"type":"string","pattern":"(x|y|xx|yy){1,200}z"}`, `"` + strings.Repeat("x", size) + `"`},
		{"alternatives", `{"items":{"anyOf":[{"type":"integer","minimum":5},{"type":"integer","multipleOf":2},{"type":"integer","const":1}]}}`, list("1")},
	} {
		b.Run(row.name, func(b *testing.B) {
			c := mustCompile(b, row.schema)
			b.SetBytes(int64(len(row.text)))
			b.ReportAllocs()
			for b.Loop() {
				c.Check([]byte(row.text))
			}
		})
	}
}

// distinct is size bytes of different numbers.
func distinct(size int) string {
	var s strings.Builder
	for i := 0; s.Len() < size; i++ {
		if i > 0 {
			s.WriteByte(',')
		}
		s.WriteString(strconv.Itoa(i))
	}
	return s.String()
}
