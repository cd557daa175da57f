package schema

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// typeTitle is the name of a type as people know it: no package paths, not even inside type arguments. Go's own types
// need none.
func typeTitle(t reflect.Type) string {
	if t.PkgPath() == "" {
		return ""
	}
	return shorten(t.Name(), 0)
}

// typeNames lists what a definition for t may be called: its name, with its package, with more and more of the path.
func typeNames(t reflect.Type) []string {
	names := []string{clean(typeTitle(t))}
	for n := 1; ; n++ {
		name := clean(shorten(t.PkgPath()+"."+t.Name(), n))
		if name == names[len(names)-1] {
			return names
		}
		names = append(names, name)
	}
}

// shorten keeps the last n elements of every package path in the full name of a type.
func shorten(full string, n int) string {
	var out strings.Builder
	for full != "" {
		end := strings.IndexAny(full, "[],*{}() ;")
		word := full
		if end >= 0 {
			word = full[:end]
		}
		word, _, _ = strings.Cut(word, "·") // the compiler's number of a type declared in a function
		word = strings.ReplaceAll(word, "%2e", ".")
		dot := strings.LastIndexByte(word, '.')
		if dot > 0 {
			parts := strings.Split(word[:dot], "/")
			for _, part := range parts[max(0, len(parts)-n):] {
				out.WriteString(part + ".")
			}
		}
		out.WriteString(word[dot+1:])
		if end < 0 {
			break
		}
		out.WriteByte(full[end])
		full = full[end+1:]
	}
	return out.String()
}

// clean makes a legal OpenAPI component name, [A-Za-z0-9._-]+, of a Go type name: "Page[User]" is Page_User.
func clean(name string) string {
	var out strings.Builder
	for _, r := range name {
		switch {
		case r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z':
			out.WriteRune(r)
		default:
			out.WriteByte('_')
		}
	}
	if s := strings.TrimRight(out.String(), "_"); strings.HasSuffix(name, "]") && s != "" {
		return s
	}
	return out.String()
}

// nameDefs gives every definition the shortest of its names that no other one could be called; types that no path
// tells apart (two of the same name, declared in functions) are numbered as met.
func (b *builder) nameDefs() {
	used := map[string]bool{}
	open := slices.DeleteFunc(slices.Clone(b.order), func(d *def) bool { return len(d.names) == 0 })
	for level := 0; len(open) > 0; level++ {
		wanted := map[string][]*def{}
		for _, d := range open {
			wanted[d.nameAt(level)] = append(wanted[d.nameAt(level)], d)
		}
		open = slices.DeleteFunc(open, func(d *def) bool {
			name := d.nameAt(level)
			rivals := wanted[name]
			alike := !slices.ContainsFunc(rivals, func(r *def) bool { return r.nameAt(1<<30) != d.nameAt(1<<30) })
			if !alike || used[name] && len(rivals) == 1 && level < len(d.names)-1 {
				return false
			}
			d.name = numbered(name, used)
			used[d.name] = true
			return true
		})
	}
}

// nameAt is the name with so many elements of the path, or with all there are.
func (d *def) nameAt(level int) string {
	return d.names[min(level, len(d.names)-1)]
}

func numbered(name string, used map[string]bool) string {
	if !used[name] {
		return name
	}
	for i := 2; ; i++ {
		if n := name + "_" + strconv.Itoa(i); !used[n] {
			return n
		}
	}
}

// defsObject is $defs: every definition but the root's.
func (b *builder) defsObject() *object {
	defs := newObject()
	for _, d := range b.order {
		if d.name != "" {
			defs.set(d.name, d.node)
		}
	}
	return defs
}
