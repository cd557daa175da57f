package codec

import (
	"bytes"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// A structure is the fields of a struct as encoding/json sees them, those of embedded structs in
// their place.
type structure struct {
	list   []field
	byName map[string]int // positions in list
	byFold map[string]int
	fixed  bool  // all fields are always there
	hidden int64 // size of the embedded structs that are pointed to
}

type field struct {
	name      string
	key       []byte // name in MessagePack
	index     []int  // as in reflect.StructField
	node      *node
	omitEmpty bool
	tagged    bool // the name is from a tag
	direct    bool // no embedded pointer is on the way
}

// structure works out the fields of struct type t, and why they make a body JSON, if they do: tags
// and embeddings whose rules belong to encoding/json are left to it.
func (c *compiler) structure(t reflect.Type) (s *structure, why string) {
	s = &structure{byName: map[string]int{}, byFold: map[string]int{}, fixed: true}
	w := fieldWalk{c: c, s: s, within: map[reflect.Type]bool{}}
	w.walk(t, nil, true)
	for i, f := range s.list {
		folded := string(appendFold(nil, []byte(f.name)))
		if _, ok := s.byFold[folded]; !ok {
			s.byFold[folded] = i
		}
		if f.omitEmpty || !f.direct {
			s.fixed = false
		}
	}
	return s, w.why
}

type fieldWalk struct {
	c      *compiler
	s      *structure
	within map[reflect.Type]bool // the structs on the way to here
	why    string
}

func (w *fieldWalk) blame(why string) {
	if w.why == "" {
		w.why = why
	}
}

// walk adds the fields of t, which is reached from the outer struct by index.
func (w *fieldWalk) walk(t reflect.Type, index []int, direct bool) {
	if w.within[t] {
		w.blame("a struct that embeds itself")
		return
	}
	w.within[t] = true
	defer delete(w.within, t)
	for i := range t.NumField() {
		f := t.Field(i)
		inner := f.Type
		if inner.Kind() == reflect.Pointer && inner.Name() == "" {
			inner = inner.Elem()
		}
		if !f.IsExported() && (!f.Anonymous || inner.Kind() != reflect.Struct) {
			continue
		}
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if strings.HasPrefix(tag, "-,") {
			w.blame("the tag `-,`")
		}
		if !validName(name) {
			name = ""
		}
		at := append(index[:len(index):len(index)], i)
		if f.Anonymous && inner.Kind() == reflect.Struct && name == "" {
			pointer := f.Type.Kind() == reflect.Pointer
			if pointer && !f.IsExported() {
				w.blame("an embedded pointer to an unexported struct")
			}
			if pointer {
				w.s.hidden += int64(inner.Size()) + 8
			}
			w.walk(inner, at, direct && !pointer)
			continue
		}
		if f.Anonymous && name != "" {
			w.blame("an embedded field with a tag")
		}
		tagged := name != ""
		if !tagged {
			name = f.Name
		}
		w.add(f, field{name: name, index: at, tagged: tagged, direct: direct}, strings.Split(options, ","))
	}
}

func (w *fieldWalk) add(sf reflect.StructField, f field, options []string) {
	for _, option := range options {
		switch option {
		case "omitempty":
			f.omitEmpty = true
			if sf.Type.Kind() == reflect.Struct {
				w.blame("a struct or time with omitempty")
			}
		case "omitzero":
			w.blame("the option omitzero")
		case "string":
			w.blame("the option string")
		}
	}
	f.node = w.c.node(sf.Type)
	f.key = encodedKey(f.name)
	if i, ok := w.s.byName[f.name]; ok {
		w.blame("a field that shadows another")
		if old := w.s.list[i]; len(f.index) < len(old.index) ||
			len(f.index) == len(old.index) && f.tagged && !old.tagged {
			w.s.list[i] = f // the one encoding/json prefers, which does all but measure and mend
		}
		return
	}
	w.s.byName[f.name] = len(w.s.list)
	w.s.list = append(w.s.list, f)
}

// reach finds the field in v; false if it is in an embedded struct that is not there.
func (f *field) reach(v reflect.Value) (reflect.Value, bool) {
	for i, index := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(index)
	}
	return v, true
}

// value finds the field in v; false if it is not sent.
func (f *field) value(v reflect.Value) (reflect.Value, bool) {
	v, there := f.reach(v)
	return v, there && (!f.omitEmpty || !isEmpty(v))
}

// encodedKey is name as a MessagePack string.
func encodedKey(name string) []byte {
	var buf bytes.Buffer
	_ = msgpack.NewEncoder(&buf).EncodeString(validText(name)) // into memory: cannot fail
	return buf.Bytes()
}

// validName tells whether encoding/json takes a name from a tag.
func validName(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return name != ""
}

// find gives the position of the field that key names, or -1. Like encoding/json it takes the exact
// name first and then one that differs only in case. next is where a sender that goes through the
// same fields in the same order will be.
func (s *structure) find(key []byte, next int) int {
	if next < len(s.list) && s.list[next].name == string(key) {
		return next
	}
	if i, ok := s.byName[string(key)]; ok {
		return i
	}
	var buf [64]byte
	if i, ok := s.byFold[string(appendFold(buf[:0], key))]; ok {
		return i
	}
	return -1
}

// appendFold appends name so that names which differ only in case, as bytes.EqualFold sees it, become
// equal.
func appendFold(b, name []byte) []byte {
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(name[i:])
		least := r // of all runes that are the same but for case
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		b = utf8.AppendRune(b, least)
		i += size
	}
	return b
}

// isEmpty is the emptiness of omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Interface, reflect.Pointer:
		return v.IsZero()
	}
	return false
}

// validText replaces each byte that is not UTF-8 by U+FFFD, as encoding/json does.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}
