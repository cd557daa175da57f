package schema

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strconv"
)

// compiler turns the document behind a reader into rules, each object once.
type compiler struct {
	reader
	rules map[*object]*rule
}

func (c *compiler) rule(v any) (*rule, error) {
	o, ok := v.(*object)
	if !ok {
		if v == false {
			return &rule{never: true}, nil
		}
		return nil, nil
	}
	if r, ok := c.rules[o]; ok {
		return r, nil
	}
	r := newRule()
	c.rules[o] = r
	for _, key := range []string{"unevaluatedItems", "unevaluatedProperties", "$id", "$anchor", "$dynamicRef", "$dynamicAnchor"} {
		if o.has(key) {
			return nil, fmt.Errorf("the keyword %s is not checked: say it another way", key)
		}
	}
	for _, part := range []func(*object, *rule) error{c.scalars, c.array, c.object, c.inPlace} {
		if err := part(o, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// into compiles the schema under key, if there is one.
func (c *compiler) into(dst **rule, o *object, key string) error {
	if !o.has(key) {
		return nil
	}
	var err error
	*dst, err = c.rule(o.vals[key])
	return err
}

func (c *compiler) list(o *object, key string) ([]*rule, error) {
	var all []*rule
	for _, v := range o.list(key) {
		r, err := c.rule(v)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (c *compiler) scalars(o *object, r *rule) error {
	names := o.list("type")
	if s := o.text("type"); s != "" {
		names = []any{s}
	}
	for _, n := range names {
		r.types |= kindsOf(n.(string))
	}
	r.choose(o)
	limit := func(key, open string, upper bool) *bound {
		var found *bound
		for _, k := range []string{key, open} {
			if !o.has(k) {
				continue
			}
			text := appendValue(nil, o.vals[k])
			b := &bound{decimal: parseDecimal(text), exclusive: k == open, text: string(text)}
			switch {
			case found == nil:
				found = b
			case upper && b.compare(found.decimal) <= 0, !upper && b.compare(found.decimal) >= 0:
				found = b
			}
		}
		return found
	}
	r.low, r.high = limit("minimum", "exclusiveMinimum", false), limit("maximum", "exclusiveMaximum", true)
	if o.has("multipleOf") {
		text := appendValue(nil, o.vals["multipleOf"])
		d := parseDecimal(text)
		r.multiple, r.step = &d, string(text)
	}
	r.shortest = o.size("minLength", 0)
	r.longest = o.size("maxLength", -1)
	if o.has("pattern") {
		var err error
		if r.pattern, r.parts, err = compilePattern(o.text("pattern")); err != nil {
			return err
		}
	}
	return nil
}

// choose takes enum and const.
func (r *rule) choose(o *object) {
	for _, key := range []string{"enum", "const"} {
		if !o.has(key) {
			continue
		}
		values := o.list(key)
		if key == "const" {
			values = []any{o.vals[key]}
		}
		among := make(map[string]bool, len(values))
		var shown []byte
		for _, v := range values {
			text := appendValue(nil, v)
			w := walk{text: text}
			form, _ := w.canonical(nil, 0)
			if r.among != nil && !r.among[string(form)] {
				continue // const and enum: both hold
			}
			among[string(form)] = true
			if len(shown) > 0 {
				shown = append(shown, ", "...)
			}
			shown = append(shown, clip(string(text))...)
		}
		r.among, r.choices = among, clipAt(string(shown), 2*maxEcho)
	}
}

// compilePattern tells besides how large the program is that runs for each byte.
func compilePattern(text string) (*regexp.Regexp, int, error) {
	p, err := regexp.Compile(text)
	if err != nil {
		return nil, 0, fmt.Errorf("pattern: %w", err)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("pattern: %w", err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, fmt.Errorf("pattern: %w", err)
	}
	return p, len(program.Inst), nil
}

func (c *compiler) array(o *object, r *rule) error {
	var err error
	if r.prefix, err = c.list(o, "prefixItems"); err != nil {
		return err
	}
	r.fewest, r.most = o.size("minItems", 0), o.size("maxItems", -1)
	r.unique = o.vals["uniqueItems"] == true
	if o.has("minContains") {
		r.least = o.size("minContains", 0)
	}
	r.atMost = o.size("maxContains", -1)
	if o.has("contains") {
		if err := c.into(&r.contains, o, "contains"); err != nil {
			return err
		}
		if r.contains == nil {
			r.contains = newRule()
		}
	}
	r.hasItemKeyword = len(r.prefix) > 0 || o.has("items") || r.fewest > 0 || r.most >= 0 || r.unique || o.has("contains")
	return c.into(&r.items, o, "items")
}

func (c *compiler) object(o *object, r *rule) error {
	if props := o.child("properties"); props != nil {
		r.fields, r.folded = map[string]*rule{}, map[string]string{}
		for _, name := range props.keys {
			sub, err := c.rule(props.vals[name])
			if err != nil {
				return err
			}
			r.fields[name], r.folded[fold(name)] = sub, name
		}
	}
	r.requiredAt = map[string]int{}
	for _, v := range o.list("required") {
		r.requiredAt[v.(string)] = len(r.required)
		r.required = append(r.required, v.(string))
	}
	if props := o.child("patternProperties"); props != nil {
		for _, text := range props.keys {
			p, parts, err := compilePattern(text)
			if err != nil {
				return err
			}
			sub, err := c.rule(props.vals[text])
			if err != nil {
				return err
			}
			r.patterns = append(r.patterns, patternRule{p, parts, sub})
		}
	}
	if r.closed = o.vals["additionalProperties"] == false; !r.closed {
		if err := c.into(&r.others, o, "additionalProperties"); err != nil {
			return err
		}
	}
	r.fewestFields, r.mostFields = o.size("minProperties", 0), o.size("maxProperties", -1)
	if err := c.needs(o, r); err != nil {
		return err
	}
	if err := c.into(&r.names, o, "propertyNames"); err != nil {
		return err
	}
	r.hasObject = r.fields != nil || len(r.required) > 0 || r.patterns != nil || r.closed || r.others != nil ||
		r.fewestFields > 0 || r.mostFields >= 0 || r.needs != nil || r.names != nil
	return nil
}

func (c *compiler) needs(o *object, r *rule) error {
	if fields := o.child("dependentRequired"); fields != nil {
		for _, name := range fields.keys {
			one := need{name: name}
			for _, v := range fields.list(name) {
				one.others = append(one.others, v.(string))
			}
			r.needs = append(r.needs, one)
		}
	}
	if shapes := o.child("dependentSchemas"); shapes != nil {
		for _, name := range shapes.keys {
			sub, err := c.rule(shapes.vals[name])
			if err != nil {
				return err
			}
			r.needs = append(r.needs, need{name: name, rule: sub})
		}
	}
	return nil
}

// inPlace compiles what bounds the same value once more.
func (c *compiler) inPlace(o *object, r *rule) error {
	var err error
	if ref := o.vals["$ref"]; ref != nil {
		target := c.resolve(ref.(string))
		switch target.(type) {
		case *object, bool:
		default:
			return fmt.Errorf("the reference %s leads nowhere", strconv.Quote(clip(ref.(string))))
		}
		sub, err := c.rule(target)
		if err != nil {
			return err
		}
		if onlyRefers(o) && sub != nil {
			r.alias = sub
			return nil
		}
		r.all = append(r.all, sub)
	}
	more, err := c.list(o, "allOf")
	if err != nil {
		return err
	}
	r.all = append(r.all, more...)
	if r.any, err = c.list(o, "anyOf"); err != nil {
		return err
	}
	if r.one, err = c.list(o, "oneOf"); err != nil {
		return err
	}
	r.groups = groupsOf(append(o.list("anyOf"), o.list("oneOf")...))
	if o.has("not") {
		if err := c.into(&r.not, o, "not"); err != nil {
			return err
		}
		if r.not == nil {
			r.never = true
		}
	}
	if o.has("if") {
		if r.when, err = c.rule(o.vals["if"]); err != nil {
			return err
		}
		if err := c.into(&r.then, o, "then"); err != nil {
			return err
		}
		if r.when == nil { // always so
			r.all = append(r.all, r.then)
			return nil
		}
		return c.into(&r.or, o, "else")
	}
	return nil
}

// onlyRefers tells that a schema bounds nothing besides its reference.
func onlyRefers(o *object) bool {
	for _, k := range o.keys {
		switch k {
		case "$ref", "$schema", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly":
		default:
			return false
		}
	}
	return true
}

// groupsOf shows alternatives that only ask for fields: "a and b; or c". It is "" if they do more.
func groupsOf(list []any) string {
	var shown []byte
	for _, v := range list {
		o, ok := v.(*object)
		if !ok || len(o.list("required")) == 0 {
			return ""
		}
		for _, k := range o.keys {
			if k != "required" && k != "title" {
				return ""
			}
		}
		if len(shown) > 0 {
			shown = append(shown, "; or "...)
		}
		for i, name := range o.list("required") {
			if i > 0 {
				shown = append(shown, " and "...)
			}
			shown = strconv.AppendQuote(shown, clip(name.(string)))
		}
	}
	return clipAt(string(shown), 2*maxEcho)
}

// circle refuses schemas that come back to themselves without going into the value: their check would never end.
func (c *compiler) circle() error {
	const entered, left = 1, 2
	state := map[*rule]int{}
	var enter func(*rule) error
	enter = func(r *rule) error {
		switch {
		case r == nil || state[r] == left:
			return nil
		case state[r] == entered:
			return errors.New("a reference leads back to itself")
		}
		state[r] = entered
		next := append([]*rule{r.alias, r.not, r.when, r.then, r.or}, r.all...)
		next = append(append(next, r.any...), r.one...)
		for _, n := range r.needs {
			next = append(next, n.rule)
		}
		for _, sub := range next {
			if err := enter(sub); err != nil {
				return err
			}
		}
		state[r] = left
		return nil
	}
	for _, r := range c.rules {
		if err := enter(r); err != nil {
			return err
		}
	}
	return nil
}

// size reads a keyword that is a count of characters, items or fields; none if it is absent, and no less than what can
// ever come if it is huge.
func (o *object) size(key string, none int) int {
	n, ok := number(o.vals[key])
	switch {
	case !ok:
		return none
	case !n.Num().IsInt64():
		return math.MaxInt
	}
	return int(n.Num().Int64())
}
