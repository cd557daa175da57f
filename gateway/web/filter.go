package web

import (
	"regexp"
	"strconv"
	"strings"
)

// maxTerms bounds a filter; what comes after is not looked at.
const maxTerms = 32

// A filter is what ?q= asks of rows: words joined by AND, as app/core/filter.js
// reads them. app/core/filter.cases.json is the table of both.
type filter []term

type term struct {
	not              bool
	word             string // of the text, if field is ""
	field, op, value string
}

var (
	filterTerm  = regexp.MustCompile(`(-?)(?:"([^"]*)"?|([^\s"]+(?:"[^"]*"?)?))`)
	filterField = regexp.MustCompile(`(?s)^([A-Za-z][A-Za-z0-9_]*)(:|>=|<=|>|<|=)(.*)$`)
	filterValue = regexp.MustCompile(`^(-?\d+(?:\.\d+)?)(ms|s|m|%|k)?$`)
)

func parseFilter(text string) filter {
	var f filter
	for _, m := range filterTerm.FindAllStringSubmatch(text, maxTerms) {
		t := term{not: m[1] == "-"}
		if m[3] == "" {
			if m[2] != "" {
				t.word = strings.ToLower(m[2])
				f = append(f, t)
			}
			continue
		}
		if parts := filterField.FindStringSubmatch(m[3]); parts != nil {
			t.field, t.op, t.value = strings.ToLower(parts[1]), parts[2], strings.ToLower(strings.ReplaceAll(parts[3], `"`, ""))
		} else {
			t.word = strings.ToLower(m[3])
		}
		f = append(f, t)
	}
	return f
}

// quantity reads 50, 50ms, 1.5s, 2k, 1%.
func quantity(text string) (float64, bool) {
	m := filterValue.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	switch m[2] {
	case "s", "k":
		n *= 1000
	case "m":
		n *= 60_000
	}
	return n, err == nil
}

// A fact is what a row has in a field.
type fact struct {
	texts  []string
	match  func(have, want string) bool
	number *numeral
}

func exactly(have, want string) bool { return have == want }

func textFact(match func(have, want string) bool, texts ...string) fact {
	return fact{texts: texts, match: match}
}

func numberFact(n numeral) fact { return fact{number: &n} }

// keeps reports whether a row passes. words are its text in lower case.
func (f filter) keeps(words string, of func(field string) (fact, bool)) bool {
	for _, t := range f {
		if t.field == "" {
			if strings.Contains(words, t.word) == t.not {
				return false
			}
			continue
		}
		have, known := of(t.field)
		if !known || !t.holds(have) {
			return false
		}
	}
	return true
}

// holds reports whether a field is what a term wants. A term that cannot be read
// matches nothing, and one that is still being typed everything.
func (t *term) holds(have fact) bool {
	if t.value == "" {
		return true
	}
	if have.number != nil {
		want, ok := quantity(t.value)
		return ok && compare(t.op, *have.number, want) != t.not
	}
	match := have.match
	if t.op == "=" {
		match = exactly
	}
	hit := false
	for _, text := range have.texts {
		hit = hit || match(strings.ToLower(text), t.value)
	}
	return hit != t.not
}

func compare(op string, have numeral, want float64) bool {
	if !have.known() {
		return false
	}
	a := float64(have)
	switch op {
	case ">":
		return a > want
	case "<":
		return a < want
	case ">=":
		return a >= want
	case "<=":
		return a <= want
	}
	return a == want
}

func (f filter) row(r *row) bool {
	return len(f) == 0 || f.keeps(strings.ToLower(r.Name), func(field string) (fact, bool) {
		switch field {
		case "is":
			return textFact(exactly, r.Health.String()), true
		case "name":
			return textFact(strings.Contains, r.Name), true
		case "ver":
			var versions []string
			for _, v := range r.Versions {
				versions = append(versions, v.Version)
			}
			return textFact(strings.HasPrefix, versions...), true
		case "kind":
			return textFact(exactly, r.Kind), true
		case "rps":
			return numberFact(r.Rate), true
		case "p50":
			return numberFact(r.P50), true
		case "p99":
			return numberFact(r.P99), true
		case "err":
			return numberFact(r.Percent), true
		case "errors":
			return numberFact(r.Errors), true
		case "nodes":
			return numberFact(numeral(r.Instances)), true
		case "inflight":
			return numberFact(numeral(r.InFlight)), true
		}
		return fact{}, false
	})
}

func (f filter) node(n *node) bool {
	return len(f) == 0 || f.keeps(strings.ToLower(n.ID+" "+n.Service+" "+n.Address), func(field string) (fact, bool) {
		switch field {
		case "is":
			return textFact(exactly, n.State), true
		case "node":
			return textFact(strings.Contains, n.ID), true
		case "service":
			return textFact(strings.Contains, n.Service), true
		case "ver":
			return textFact(strings.HasPrefix, n.Version), true
		case "kind":
			return textFact(exactly, n.Kind), true
		case "rps":
			return numberFact(n.Rate), true
		case "p99":
			return numberFact(n.P99), true
		case "errors":
			return numberFact(n.Errors), true
		case "load":
			return numberFact(numeral(n.Load)), true
		case "inflight":
			return numberFact(numeral(n.InFlight)), true
		}
		return fact{}, false
	})
}
