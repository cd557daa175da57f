package schema

import "strconv"

// object checks the object that begins at i, and its fields.
func (w *walk) object(r *rule, i int) int {
	n, depth := 0, len(w.at)
	seen := make([]bool, len(r.required))
	var keys map[string]bool
	if r.needs != nil {
		keys = map[string]bool{}
	}
	end := w.members(i, func(quoted []byte, at int) int {
		n++
		key := unquote(quoted)
		if i, ok := r.requiredAt[string(key)]; ok {
			seen[i] = true
		}
		if keys != nil {
			keys[string(key)] = true
		}
		w.at = append(w.at[:depth], step{key: quoted})
		return w.field(r, quoted, key, at)
	})
	if w.at = w.at[:min(depth, len(w.at))]; end < 0 {
		return -1
	}
	for i, name := range r.required {
		if !seen[i] && !w.missing(name, "missing field %s", strconv.Quote(clip(name))) {
			return -1
		}
	}
	ok := true
	switch {
	case n < r.fewestFields:
		ok = w.report("minProperties", "at least %s wanted, got %d", counted(r.fewestFields, "field"), n)
	case r.mostFields >= 0 && n > r.mostFields:
		ok = w.report("maxProperties", "at most %d fields may come, got %d", r.mostFields, n)
	}
	if !ok || !w.depends(r, keys, i) {
		return -1
	}
	return end
}

// field checks one field of an object, whose value begins at i.
func (w *walk) field(r *rule, quoted, key []byte, i int) int {
	known := false
	end := -1
	if sub, ok := r.fields[string(key)]; ok {
		known = true
		if end = w.value(sub, i); end < 0 {
			return -1
		}
	}
	for _, p := range r.patterns {
		if !w.spend(len(key) / 2 * p.parts) {
			return -1
		}
		if p.pattern.Match(key) {
			known = true
			if end = w.value(p.rule, i); end < 0 {
				return -1
			}
		}
	}
	if r.names != nil {
		name := walk{text: quoted, quiet: 1, work: w.work}
		bad := name.value(r.names, 0) < 0
		if w.work = name.work; w.work < 0 || bad && !w.report("propertyNames", "a field may not be called this") {
			return -1
		}
	}
	if known {
		return end
	}
	more := true
	if name := r.folded[fold(string(key))]; name != "" && w.literal == 0 {
		more = w.report("case", "the field is called %s", strconv.Quote(clip(name)))
	} else if r.closed {
		more = w.report("additionalProperties", "there is no such field")
	}
	if !more {
		return -1
	}
	return w.value(r.others, i)
}

// missing reports a field that is not there.
func (w *walk) missing(name, format string, args ...any) bool {
	n := len(w.problems)
	more := w.report("required", format, args...)
	if len(w.problems) > n {
		w.problems[n].Field += pointerTo([]step{{key: appendString(nil, name)}})
	}
	return more
}

// depends checks what the presence of one field asks of the object that begins at i.
func (w *walk) depends(r *rule, keys map[string]bool, i int) bool {
	for _, n := range r.needs {
		if !keys[n.name] {
			continue
		}
		for _, other := range n.others {
			if !keys[other] && !w.missing(other, "missing field %s, which %s needs", strconv.Quote(clip(other)), strconv.Quote(clip(n.name))) {
				return false
			}
		}
		if n.rule != nil && w.value(n.rule, i) < 0 {
			return false
		}
	}
	return true
}
