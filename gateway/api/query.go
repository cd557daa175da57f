package api

import (
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

const (
	// maxFields is the most fields of a query or a form.
	maxFields = 10_000
	// maxNesting is how deep the brackets of a field may go.
	maxNesting = 64
)

// A field is what a query says of one field: its values, or the fields in it.
type field struct {
	values []string
	list   bool // written with [], so it is a list however many there are
	in     map[string]*field
}

// queryJSON turns the fields of a query or a form into a JSON object. a[b]=c is
// the field b of the object a; a field that is there more than once, or is
// written a[], is a list. shape says what the types are; where it does not, values
// are text.
func queryJSON(q url.Values, shape typing) ([]byte, error) {
	root := &field{}
	count := 0
	for key, values := range q {
		if count += len(values); count > maxFields {
			return nil, bus.Errorf(bus.InvalidArgument, "there are more than %d fields", maxFields)
		}
		if err := root.add(key, values); err != nil {
			return nil, err
		}
	}
	if root.in == nil {
		return []byte("{}"), nil
	}
	return root.appendObject(nil, "", shape)
}

// add puts the values of a key where its brackets say.
func (f *field) add(key string, values []string) error {
	name, rest := key, ""
	if i := strings.IndexByte(key, '['); i > 0 {
		name, rest = key[:i], key[i:]
	}
	at := f.child(name)
	for depth := 1; rest != "" && at != nil; depth++ {
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || depth > maxNesting {
			return bus.Errorf(bus.InvalidArgument, "the field %.100q: the brackets do not match, or are over %d deep", key, maxNesting)
		}
		inner := rest[1:end]
		if rest = rest[end+1:]; inner == "" && rest == "" {
			at.list = true
			break
		}
		at = at.child(inner)
	}
	if at == nil || at.in != nil {
		return bus.Errorf(bus.InvalidArgument, "the field %.100q has a value, and fields in it", key)
	}
	at.values = append(at.values, values...)
	return nil
}

// child returns the field of that name in f, nil if f has a value.
func (f *field) child(name string) *field {
	if f.values != nil {
		return nil
	}
	if f.in == nil {
		f.in = make(map[string]*field)
	}
	c := f.in[name]
	if c == nil {
		c = &field{}
		f.in[name] = c
	}
	return c
}

func (f *field) appendObject(dst []byte, path string, shape typing) ([]byte, error) {
	names := make([]string, 0, len(f.in))
	for name := range f.in {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, name), ':')
		at := name
		if path != "" {
			at = path + "[" + name + "]"
		}
		var err error
		if dst, err = f.in[name].append(dst, at, shape.field(name)); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// append appends f as JSON. path names it in errors.
func (f *field) append(dst []byte, path string, shape typing) ([]byte, error) {
	element, isList := shape.element()
	switch {
	case f.in != nil && isList:
		return nil, bus.Errorf(bus.InvalidArgument, "the field %.100q is a list: write it several times, or as %.100s[]", path, path)
	case f.in != nil:
		return f.appendObject(dst, path, shape)
	case len(f.values) == 1 && !f.list && (!isList || strings.HasPrefix(f.values[0], "[")):
		return appendValue(dst, path, f.values[0], shape)
	case isList || f.list || shape.name() == anything:
		dst = append(dst, '[')
		for i, v := range f.values {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendValue(dst, path, v, element); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return nil, bus.Errorf(bus.InvalidArgument, "the field %.100q is there %d times, and is one %s", path, len(f.values), shape.name())
}

// appendValue appends one value of a field in the JSON of its type.
func appendValue(dst []byte, path, text string, shape typing) ([]byte, error) {
	kind := shape.name()
	wrong := func() ([]byte, error) {
		return nil, bus.Errorf(bus.InvalidArgument, "the field %.100q: %.60q is no %s", path, text, kind)
	}
	switch kind {
	case "string", bytesType, anything:
		return appendText(dst, text), nil
	case "bool":
		switch text {
		case "true", "1", "": // a flag that is only named
			return append(dst, "true"...), nil
		case "false", "0":
			return append(dst, "false"...), nil
		}
		return wrong()
	case "int", "int8", "int16", "int32", "int64":
		n, err := strconv.ParseInt(text, 10, bitsOf(kind))
		if err != nil {
			return wrong()
		}
		return strconv.AppendInt(dst, n, 10), nil
	case "uint", "uint8", "uint16", "uint32", "uint64":
		n, err := strconv.ParseUint(text, 10, bitsOf(kind))
		if err != nil {
			return wrong()
		}
		return strconv.AppendUint(dst, n, 10), nil
	case "float32", "float64":
		n, err := strconv.ParseFloat(text, bitsOf(kind))
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return wrong()
		}
		if json.Valid([]byte(text)) { // with all its digits
			return append(dst, text...), nil
		}
		return strconv.AppendFloat(dst, n, 'g', -1, bitsOf(kind)), nil
	}
	// An object or a list, as Micro's geo services took them: as JSON.
	if err := codec.Guard(codec.JSON, []byte(text)); err != nil || text == "" {
		return wrong()
	}
	return append(dst, text...), nil
}

func bitsOf(kind string) int {
	bits, err := strconv.Atoi(strings.TrimLeft(kind, "abcdefghijklmnopqrstuvwxyz"))
	if err != nil {
		return 64
	}
	return bits
}

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always can
	return append(dst, text...)
}
