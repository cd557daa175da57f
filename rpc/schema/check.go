package schema

import (
	"errors"
	"fmt"
	"strings"
)

// MaxProblems is how many problems a check names; it stops there.
const MaxProblems = 8

// tooLargeComment marks a schema that says nothing because its type is too large to describe.
const tooLargeComment = "this type is too large to describe: any value is accepted here"

// A Checker is a compiled schema: it says what is wrong with a message. It is not changed by checking, so any number of
// goroutines may use it at once.
type Checker struct{ root *rule }

// A Problem is one way in which a message breaks its schema.
type Problem struct {
	// Field is where, as a JSON Pointer: "/items/3/price". It is "" for the message itself.
	Field string `json:"field"`
	// Rule is the keyword of JSON Schema that is broken, or "case" for a name that is known in another case only.
	Rule string `json:"rule"`
	// Message says what is wanted there and what came, with at most 64 bytes of it.
	Message string `json:"message"`

	path string
}

// String is the problem on one line for people, as in "items[3].price: 12.5 is over the maximum 10".
func (p Problem) String() string {
	if p.path == "" {
		return p.Message
	}
	return p.path + ": " + p.Message
}

// Compile prepares a schema for checking. The error says what in it cannot be checked: something that is no schema, a
// reference that leads nowhere or round in a circle, one of the keywords unevaluatedItems, unevaluatedProperties, $id,
// $anchor, $dynamicRef and $dynamicAnchor, or a type that was too large to describe.
//
// What describes a value without bounding it is not checked: format, contentEncoding, contentMediaType. Patterns are Go
// regular expressions, which take time in proportion to the text.
func Compile(body []byte) (*Checker, error) {
	v, err := parseSchema(body)
	if err != nil {
		return nil, err
	}
	if err := checkSchema(v); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if o, ok := v.(*object); ok && o.text("$comment") == tooLargeComment {
		return nil, errors.New("schema: the type is too large to describe, so nothing of it can be checked")
	}
	c := compiler{reader: reader{root: v}, rules: map[*object]*rule{}}
	root, err := c.rule(v)
	if err == nil {
		err = c.circle()
	}
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return &Checker{root}, nil
}

// Check returns the problems of a message, at most MaxProblems in the order of its text; none if it is right. text is one
// JSON value in which no object has a key twice; no text makes Check panic or take more than time and memory in
// proportion to its length and to the schema's.
//
// A key that differs from a known one in case alone is a problem, because encoding/json takes it for the known one.
func (c *Checker) Check(text []byte) []Problem {
	w := walk{text: text, work: workBase + workFactor*len(text)}
	start := w.blank(0)
	switch {
	case start == len(text):
		w.report("json", "nothing came")
	case w.deep():
		w.report("depth", "this nests deeper than %d", maxDepth)
	default:
		if end := w.value(c.root, start); end >= 0 && w.blank(end) < len(text) {
			w.report("json", "this is not one JSON value")
		}
	}
	if w.work < 0 {
		return append(w.problems, Problem{Rule: "work", Message: "checking this takes too long"})
	}
	return w.problems
}

// TakesObject tells whether an object without any fields may be the beginning of a message: whether the schema allows
// objects at all.
func (c *Checker) TakesObject() bool { return c.root.takes(kindObject) }

// The kinds of JSON value. A whole number is no fraction: 3.0 is whole.
type kinds uint8

const (
	kindNull kinds = 1 << iota
	kindBool
	kindWhole
	kindFraction
	kindString
	kindArray
	kindObject
)

// kindsOf is a name in the keyword type stands for.
func kindsOf(name string) kinds {
	switch name {
	case "null":
		return kindNull
	case "boolean":
		return kindBool
	case "integer":
		return kindWhole
	case "number":
		return kindWhole | kindFraction
	case "string":
		return kindString
	case "array":
		return kindArray
	}
	return kindObject
}

// String names the kinds with their articles, as in "a string or null".
func (k kinds) String() string {
	var names []string
	for _, one := range []struct {
		kind kinds
		name string
	}{
		{kindObject, "an object"},
		{kindArray, "a list"},
		{kindString, "a string"},
		{kindWhole | kindFraction, "a number"},
		{kindWhole, "a whole number"},
		{kindFraction, "a fraction"},
		{kindBool, "true or false"},
		{kindNull, "null"},
	} {
		if k&one.kind == one.kind {
			names = append(names, one.name)
			k &^= one.kind
		}
	}
	return strings.Join(names, " or ")
}
