package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// builder turns one type into one schema. Types with a name that may contain themselves become definitions, so that
// recursion ends and equal types are written once.
type builder struct {
	defs  map[any]*def // by reflect.Type, or by protoreflect.FullName
	order []*def       // as met; decides between definitions that want the same name
	nodes int
}

// def is one entry of $defs. Its name is chosen when all are known.
type def struct {
	names    []string // what it may be called, shortest first
	name     string   // "" is the root
	node     *object
	nullable bool // the definition itself allows null
}

func (d *def) ref() string {
	if d.name == "" {
		return "#"
	}
	return "#/$defs/" + d.name
}

// root describes the message type itself, in place: its schema is the document, and references to it are "#".
func (b *builder) root(t reflect.Type, path string) (*object, error) {
	if path == "" {
		path = t.Kind().String()
	}
	if md := protoMessage(t); md != nil {
		d, err := b.define(md.FullName(), nil, false, func() (*object, error) { return b.proto(md) })
		return d.node, err
	}
	if isDef(t) {
		d, err := b.define(t, nil, holdsNil(t), func() (*object, error) { return b.kind(t, path) })
		return d.node, err
	}
	return b.of(t, path)
}

// holdsNil tells which definitions allow null by themselves.
func holdsNil(t reflect.Type) bool {
	return t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer
}

// define returns the definition under key, building it the first time. It is registered before it is built: a type
// that contains itself finds it.
func (b *builder) define(key any, names []string, nullable bool, build func() (*object, error)) (*def, error) {
	if d := b.defs[key]; d != nil {
		return d, nil
	}
	d := &def{names: names, nullable: nullable}
	b.defs[key] = d
	b.order = append(b.order, d)
	var err error
	d.node, err = build()
	return d, err
}

func (b *builder) count() error {
	if b.nodes++; b.nodes > maxNodes {
		return errTooLarge
	}
	return nil
}

// of describes a value of type t wherever it stands inside a message. The object is the caller's to change.
func (b *builder) of(t reflect.Type, path string) (*object, error) {
	if err := b.count(); err != nil {
		return nil, err
	}
	pointed := false
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t, pointed = t.Elem(), true
	}
	node, err := b.value(t, pointed, path)
	if err != nil {
		return nil, err
	}
	if pointed {
		node = nullable(node)
	}
	return node, nil
}

// value describes t, which is no pointer without a name; pointed says that it was reached through one, and so that
// methods with a pointer receiver are used.
func (b *builder) value(t reflect.Type, pointed bool, path string) (*object, error) {
	if node, err := custom(t, path); node != nil || err != nil {
		return node, err
	}
	if node := wellKnown(t, pointed); node != nil {
		return node, nil
	}
	if node := marshalled(t, pointed); node != nil {
		return node, nil
	}
	if !isDef(t) {
		return b.kind(t, path)
	}
	d, err := b.define(t, typeNames(t), holdsNil(t), func() (*object, error) { return b.kind(t, path) })
	if err != nil {
		return nil, err
	}
	return newObject("$ref", d), nil
}

// isDef tells which types become definitions: those with a name that have parts.
func isDef(t reflect.Type) bool {
	if t.Name() == "" || special(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Slice:
		return !isBytes(t)
	case reflect.Struct, reflect.Array, reflect.Map, reflect.Pointer:
		return true
	}
	return false
}

// special tells that methods or the package itself, not the kind, decide what t is written as.
func special(t reflect.Type) bool {
	return hasCustom(t) || wellKnown(t, true) != nil || marshalled(t, true) != nil
}

// wellKnown describes types of the standard library better than their kind or methods would.
func wellKnown(t reflect.Type, pointed bool) *object {
	switch t.PkgPath() + "." + t.Name() {
	case "time.Time":
		return newObject("type", "string", "format", "date-time")
	case "time.Duration":
		return newObject("type", "integer", "format", "int64", "description", "nanoseconds")
	case "encoding/json.RawMessage", "encoding/json/jsontext.Value":
		return newObject()
	case "encoding/json.Number":
		return newObject("type", "number")
	case "math/big.Int":
		if pointed {
			return newObject("type", "integer")
		}
	}
	return nil
}

// marshalled describes types that write themselves. A method with a pointer receiver is used by encoding/json only
// where it can take the address, and a method that only reads widens what is accepted: both leave "any value", except
// that a string stays one.
func marshalled(t reflect.Type, pointed bool) *object {
	p := reflect.PointerTo(t)
	if t.Kind() == reflect.Interface {
		p = t
	}
	marshaler, unmarshaler := reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()
	text, untext := reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()
	switch {
	case p.Implements(marshaler), p.Implements(unmarshaler):
		return newObject()
	case t.Kind() == reflect.Interface && t.Implements(text):
		return nullable(newObject("type", "string"))
	case t.Implements(text), pointed && p.Implements(text):
		return newObject("type", "string")
	case p.Implements(text), p.Implements(untext):
		if t.Kind() == reflect.String {
			return newObject("type", "string")
		}
		return newObject()
	}
	return nil
}

// kind describes what encoding/json writes for a type without methods.
func (b *builder) kind(t reflect.Type, path string) (*object, error) {
	switch t.Kind() {
	case reflect.Bool:
		return newObject("type", "boolean"), nil
	case reflect.String:
		return newObject("type", "string"), nil
	case reflect.Float32:
		return newObject("type", "number", "format", "float"), nil
	case reflect.Float64:
		return newObject("type", "number", "format", "double"), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return integer(t.Kind()), nil
	case reflect.Interface:
		return newObject(), nil
	case reflect.Struct:
		return b.structure(t, path)
	case reflect.Map:
		return b.mapping(t, path)
	case reflect.Slice, reflect.Array:
		return b.sequence(t, path)
	case reflect.Pointer:
		return b.pointer(t, path)
	}
	return nil, fmt.Errorf("%s: %s cannot be written as JSON: use another type, or leave the field out with the tag json:\"-\"", path, t)
}

// integer gives the range where every JSON reader holds it exactly; 64 bits have a format only. int is 64 bits on
// every machine mbus is built for.
func integer(k reflect.Kind) *object {
	bits := map[reflect.Kind]int{
		reflect.Int8: 8, reflect.Int16: 16, reflect.Int32: 32, reflect.Uint8: 8, reflect.Uint16: 16, reflect.Uint32: 32,
	}[k]
	unsigned := k >= reflect.Uint && k <= reflect.Uintptr
	node := newObject("type", "integer")
	switch {
	case bits == 0 && unsigned:
		return newObject("type", "integer", "format", "uint64", "minimum", json.Number("0"))
	case bits == 0:
		node.set("format", "int64")
	case unsigned:
		node.set("format", "uint"+strconv.Itoa(bits))
		node.set("minimum", json.Number("0"))
		node.set("maximum", json.Number(strconv.FormatInt(1<<bits-1, 10)))
	default:
		node.set("format", "int"+strconv.Itoa(bits))
		node.set("minimum", json.Number(strconv.FormatInt(-1<<(bits-1), 10)))
		node.set("maximum", json.Number(strconv.FormatInt(1<<(bits-1)-1, 10)))
	}
	return node
}

// isBytes tells which slices encoding/json writes as base64.
func isBytes(t reflect.Type) bool {
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	p := reflect.PointerTo(t.Elem())
	return !p.Implements(reflect.TypeFor[json.Marshaler]()) && !p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func (b *builder) sequence(t reflect.Type, path string) (*object, error) {
	if isBytes(t) {
		return nullable(newObject("type", "string", "contentEncoding", "base64")), nil
	}
	items, err := b.of(t.Elem(), path+"[]")
	if err != nil {
		return nil, err
	}
	node := newObject("type", "array", "items", items)
	if t.Kind() == reflect.Slice {
		return nullable(node), nil
	}
	n := json.Number(strconv.Itoa(t.Len()))
	node.set("minItems", n)
	node.set("maxItems", n)
	return node, nil
}

func (b *builder) mapping(t reflect.Type, path string) (*object, error) {
	node := newObject("type", "object")
	switch k := t.Key(); {
	case k.Kind() == reflect.String, k.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
	case k.Kind() >= reflect.Int && k.Kind() <= reflect.Int64:
		node.set("propertyNames", newObject("pattern", "^-?[0-9]+$"))
	case k.Kind() >= reflect.Uint && k.Kind() <= reflect.Uintptr:
		node.set("propertyNames", newObject("pattern", "^[0-9]+$"))
	default:
		return nil, fmt.Errorf("%s: a map with keys of type %s cannot be written as JSON: keys are strings, whole numbers or types with MarshalText", path, k)
	}
	elem, err := b.of(t.Elem(), path+"{}")
	if err != nil {
		return nil, err
	}
	if len(elem.keys) > 0 {
		node.set("additionalProperties", elem)
	}
	return nullable(node), nil
}

// pointer describes a pointer type with a name, which may point to itself: then null is all it can ever be.
func (b *builder) pointer(t reflect.Type, path string) (*object, error) {
	seen := map[reflect.Type]bool{}
	for t.Kind() == reflect.Pointer {
		if seen[t] {
			return newObject("type", "null"), nil
		}
		seen[t] = true
		t = t.Elem()
	}
	node, err := b.value(t, true, path)
	if err != nil {
		return nil, err
	}
	return nullable(node), nil
}

// nullable allows null beside what node allows.
func nullable(node *object) *object {
	if d, ok := node.vals["$ref"].(*def); ok && d.nullable {
		return node
	}
	if len(node.keys) == 0 || node.has("anyOf") && allowsNull(node.list("anyOf")) {
		return node
	}
	switch typ := node.vals["type"].(type) {
	case string:
		if typ == "null" || node.has("const") || node.has("anyOf") || node.has("oneOf") || node.has("allOf") || node.has("not") {
			break
		}
		node.set("type", []any{typ, "null"})
		addNull(node)
		return node
	case []any:
		if allowsNull(typ) {
			addNull(node)
			return node
		}
	}
	if node.text("type") == "null" {
		return node
	}
	return newObject("anyOf", []any{node, newObject("type", "null")})
}

// addNull keeps an enumeration in step with a type that allows null.
func addNull(node *object) {
	for _, v := range node.list("enum") {
		if v == nil {
			return
		}
	}
	if node.has("enum") {
		node.set("enum", append(node.list("enum"), nil))
	}
}

func allowsNull(list []any) bool {
	for _, v := range list {
		if o, ok := v.(*object); ok && o.text("type") == "null" || v == "null" {
			return true
		}
	}
	return false
}
