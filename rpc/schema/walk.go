package schema

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The work of one check is bounded: values looked at, once for every schema that they are looked at for. A division
// counts as several; a pattern takes time for each of its parts and each byte, about as much as half a value.
const (
	workBase   = 1 << 20
	workFactor = 64
	divideWork = 16
)

// A walk is one check on its way through a message. Its methods return where the value that they have looked at ends,
// or -1 once the check is over: enough problems are known, or in a quiet walk, one.
type walk struct {
	text     []byte
	at       []step
	problems []Problem
	quiet    int // alternatives being tried: their problems are not told
	literal  int // conditions being tried: names in another case are just unknown
	work     int
}

// A step is one part of the way to a value: a key, or a position in an array.
type step struct {
	key   []byte // as it stands in the text, nil in an array
	index int
}

// report notes a problem; false ends the check.
func (w *walk) report(rule, format string, args ...any) bool {
	if w.quiet > 0 || w.work < 0 || len(w.problems) >= MaxProblems {
		return false
	}
	w.problems = append(w.problems, Problem{
		Field: pointerTo(w.at), Rule: rule, Message: fmt.Sprintf(format, args...), path: pathTo(w.at),
	})
	return len(w.problems) < MaxProblems
}

// spend takes from the work that is left; false ends the check.
func (w *walk) spend(n int) bool {
	w.work -= n
	return w.work >= 0
}

// fits tries a schema on the value that begins at i.
func (w *walk) fits(r *rule, i int) bool {
	w.quiet++
	end := w.value(r, i)
	w.quiet--
	return end >= 0
}

// holds tries a condition, which is not there to find what is wrong.
func (w *walk) holds(r *rule, i int) bool {
	w.literal++
	ok := w.fits(r, i)
	w.literal--
	return ok
}

// value checks the value that begins at i.
func (w *walk) value(r *rule, i int) int {
	for r != nil && r.alias != nil {
		r = r.alias
	}
	if r == nil {
		return w.skip(i)
	}
	if !w.spend(1) {
		return -1
	}
	k := w.kind(i)
	if !r.takes(k) {
		if !w.misfit(r, k) {
			return -1
		}
		return w.skip(i)
	}
	if r.among != nil {
		if form, end := w.canonical(nil, i); !r.among[string(form)] {
			if !w.report("enum", "%s is none of %s", w.echo(i), r.choices) {
				return -1
			}
			return end
		}
	}
	end := 0
	switch {
	case k == kindObject && r.hasObject:
		end = w.object(r, i)
	case k == kindArray && r.hasItemKeyword:
		end = w.array(r, i)
	default:
		end = w.skip(i)
		if !w.scalar(r, k, i, end) {
			return -1
		}
	}
	if end < 0 || !w.again(r, k, i) {
		return -1
	}
	return end
}

func (w *walk) misfit(r *rule, got kinds) bool {
	if r.never {
		return w.report("false", "nothing is allowed here")
	}
	if got == kindFraction && r.types&kindWhole == 0 {
		got = kindWhole | kindFraction
	} else if got == kindWhole && r.types&kindFraction == 0 {
		got = kindWhole | kindFraction
	}
	return w.report("type", "%s is wanted, got %s", r.types, got)
}

func (w *walk) scalar(r *rule, k kinds, i, end int) bool {
	switch k {
	case kindString:
		return w.str(r, w.text[i:end])
	case kindWhole, kindFraction:
		return w.num(r, w.text[i:end])
	}
	return true
}

func (w *walk) str(r *rule, quoted []byte) bool {
	if r.shortest == 0 && r.longest < 0 && r.pattern == nil {
		return true
	}
	s := unquote(quoted)
	n := utf8.RuneCount(s)
	switch {
	case n < r.shortest:
		return w.report("minLength", "at least %s wanted, got %d", counted(r.shortest, "character"), n)
	case r.longest >= 0 && n > r.longest:
		return w.report("maxLength", "at most %d characters may come, got %d", r.longest, n)
	case r.pattern == nil:
		return true
	case !w.spend(len(s) / 2 * r.parts):
		return false
	case !r.pattern.Match(s):
		return w.report("pattern", "%s does not match %s", strconv.Quote(clip(string(s))), clipAt(r.pattern.String(), 2*maxEcho))
	}
	return true
}

func (w *walk) num(r *rule, text []byte) bool {
	if r.low == nil && r.high == nil && r.multiple == nil {
		return true
	}
	d := parseDecimal(text)
	if r.low != nil {
		switch c := d.compare(r.low.decimal); {
		case c < 0 && !r.low.exclusive:
			return w.report("minimum", "%s is under the minimum %s", clip(string(text)), r.low.text)
		case c <= 0 && r.low.exclusive:
			return w.report("exclusiveMinimum", "%s is not over %s", clip(string(text)), r.low.text)
		}
	}
	if r.high != nil {
		switch c := d.compare(r.high.decimal); {
		case c > 0 && !r.high.exclusive:
			return w.report("maximum", "%s is over the maximum %s", clip(string(text)), r.high.text)
		case c >= 0 && r.high.exclusive:
			return w.report("exclusiveMaximum", "%s is not under %s", clip(string(text)), r.high.text)
		}
	}
	if r.multiple == nil || len(d.digits) == 0 {
		return true
	}
	if !w.spend(divideWork) {
		return false
	}
	if !d.small() || !r.multiple.small() || !d.multipleOf(*r.multiple) {
		return w.report("multipleOf", "%s is no multiple of %s", clip(string(text)), r.step)
	}
	return true
}

func (w *walk) array(r *rule, i int) int {
	n, matched := 0, 0
	var seen map[string]int
	depth := len(w.at)
	end := w.each(i, func(at int) int {
		w.at = append(w.at[:depth], step{index: n})
		sub := r.items
		if n < len(r.prefix) {
			sub = r.prefix[n]
		}
		if r.contains != nil && w.fits(r.contains, at) {
			matched++
		}
		if r.unique {
			if seen == nil {
				seen = map[string]int{}
			}
			form, end := w.canonical(nil, at)
			if first, twice := seen[string(form)]; !twice {
				seen[string(form)] = n
			} else if !w.report("uniqueItems", "this is the same as item %d", first) {
				return -1
			}
			if !w.spend(1 + (end-at)/8) {
				return -1
			}
		}
		n++
		return w.value(sub, at)
	})
	if w.at = w.at[:min(depth, len(w.at))]; end < 0 {
		return -1
	}
	ok := true
	switch {
	case n < r.fewest:
		ok = w.report("minItems", "at least %s wanted, got %d", counted(r.fewest, "item"), n)
	case r.most >= 0 && n > r.most:
		ok = w.report("maxItems", "at most %d items may come, got %d", r.most, n)
	}
	if ok && r.contains != nil {
		switch {
		case matched < r.least:
			ok = w.report("contains", "at least %s wanted of a form that %d have", counted(r.least, "item"), matched)
		case r.atMost >= 0 && matched > r.atMost:
			ok = w.report("maxContains", "at most %d items may come of a form that %d have", r.atMost, matched)
		}
	}
	if !ok {
		return -1
	}
	return end
}

// again checks what bounds the value that begins at i once more.
func (w *walk) again(r *rule, k kinds, i int) bool {
	for _, sub := range r.all {
		if w.value(sub, i) < 0 {
			return false
		}
	}
	if len(r.any) > 0 && !w.anyOf(r, k, i) || len(r.one) > 0 && !w.oneOf(r, k, i) {
		return false
	}
	if r.not != nil && w.holds(r.not, i) && !w.report("not", "this is of a form that is not allowed") {
		return false
	}
	if r.when == nil {
		return w.work >= 0
	}
	next := r.or
	if w.holds(r.when, i) {
		next = r.then
	}
	return w.work >= 0 && (next == nil || w.value(next, i) >= 0)
}

// only is the one alternative for a value of kind k, and whether it is the only one.
func only(list []*rule, k kinds) (sub *rule, alone bool) {
	n := 0
	for _, r := range list {
		if r.takes(k) {
			sub = r
			n++
		}
	}
	return sub, n == 1
}

func (w *walk) anyOf(r *rule, k kinds, i int) bool {
	if sub, alone := only(r.any, k); alone {
		return w.value(sub, i) >= 0 // which says what is wrong
	}
	for _, sub := range r.any {
		if w.fits(sub, i) {
			return true
		}
	}
	if r.groups != "" && k == kindObject {
		return w.report("anyOf", "one of these is wanted: %s", r.groups)
	}
	return w.report("anyOf", "this is of none of the %d forms that are allowed", len(r.any))
}

func (w *walk) oneOf(r *rule, k kinds, i int) bool {
	if sub, alone := only(r.one, k); alone {
		return w.value(sub, i) >= 0
	}
	n := 0
	for _, sub := range r.one {
		if w.fits(sub, i) {
			n++
		}
	}
	switch {
	case n == 1:
		return w.work >= 0
	case r.groups != "" && k == kindObject:
		return w.report("oneOf", "exactly one of these is wanted: %s", r.groups)
	case n == 0:
		return w.report("oneOf", "this is of none of the %d forms that are allowed", len(r.one))
	}
	return w.report("oneOf", "this is of %d forms of which only one is allowed at a time", n)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return strconv.Itoa(n) + " " + what + "s are"
}

// pointerTo is the way to a value as a JSON Pointer, with long keys cut.
func pointerTo(way []step) string {
	var b strings.Builder
	for _, s := range way {
		b.WriteByte('/')
		if s.key == nil {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(clip(string(unquote(s.key)))))
	}
	return clipAt(b.String(), maxWay)
}

// pathTo is the way to a value as people write it: items[3].price.
func pathTo(way []step) string {
	var b strings.Builder
	for _, s := range way {
		if s.key == nil {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
			continue
		}
		name := clip(string(unquote(s.key)))
		if !plain(name) {
			b.WriteString("[" + strconv.Quote(name) + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return clipAt(b.String(), maxWay)
}

func plain(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-' && r != '$'
	})
}
