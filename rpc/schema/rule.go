package schema

import (
	"regexp"
	"strings"
	"unicode"
)

// A rule is one compiled schema. A nil rule allows everything.
type rule struct {
	alias *rule // what a schema that is only a reference stands for
	never bool  // the schema false
	types kinds // 0 is any

	among   map[string]bool // of enum or const, in canonical form
	choices string          // the same, to be shown

	low, high *bound
	multiple  *decimal
	step      string // the same, to be shown

	shortest, longest int // characters; longest -1 is no bound, and so below
	pattern           *regexp.Regexp
	parts             int // of the pattern, as a program

	prefix         []*rule
	items          *rule
	fewest, most   int
	unique         bool
	contains       *rule
	least, atMost  int
	hasItemKeyword bool

	fields       map[string]*rule
	folded       map[string]string // the names of fields in one case, with how they are written
	required     []string
	requiredAt   map[string]int
	patterns     []patternRule
	closed       bool // additionalProperties false
	others       *rule
	names        *rule
	fewestFields int
	mostFields   int
	needs        []need
	hasObject    bool

	all, any, one []*rule
	groups        string // of any and one, if they only ask for fields
	not           *rule
	when          *rule
	then, or      *rule
}

// A bound is a limit of numbers.
type bound struct {
	decimal
	exclusive bool
	text      string
}

// A need is what the presence of one field asks of the object.
type need struct {
	name   string
	others []string // dependentRequired
	rule   *rule    // dependentSchemas
}

type patternRule struct {
	pattern *regexp.Regexp
	parts   int
	rule    *rule
}

// newRule allows everything.
func newRule() *rule {
	return &rule{longest: -1, most: -1, atMost: -1, mostFields: -1, least: 1}
}

// takes tells whether a value of kind k may fit.
func (r *rule) takes(k kinds) bool {
	for r != nil && r.alias != nil {
		r = r.alias
	}
	return r == nil || !r.never && (r.types == 0 || r.types&k != 0)
}

// fold writes a name in one case, as encoding/json does to find the field for it.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}
