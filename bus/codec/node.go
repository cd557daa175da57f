package codec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
)

// A node is what the plan knows about one Go type. Nodes refer to those of the types theirs is made
// of, in circles if the type does. A node does not change once the plan has handed it out.
type node struct {
	typ    reflect.Type
	shape  shape
	elem   *node      // of a pointer, slice, array or map
	fields *structure // of a struct

	// own is why this type by itself makes a body JSON, json is why the type or one it is made of
	// does. MessagePack carries the type if json is empty; only then enc and dec are set.
	own, json string
	// methods says that the type reads and writes MessagePack itself: what it is made of does not
	// matter.
	methods bool
	// generated says that these methods are MarshalMsg and UnmarshalMsg.
	generated bool
	enc       func(*encoder, reflect.Value) *fault
	dec       func(*decoder, reflect.Value) *fault

	// mend says that values which encoding/json decoded need (*node).mendJSON, loose that they hold
	// places without a type.
	mend, loose bool
	cost        cost
}

// shape is how encoding/json sees a type.
type shape uint8

const (
	shapeNone    shape = iota // not at all: a function, a channel, a complex number
	shapeScalar               // a boolean, number or string
	shapeBytes                // a slice of bytes, which is base64 text
	shapeTime                 // time.Time
	shapeAny                  // the empty interface
	shapeFace                 // any other interface, which can be encoded but not decoded
	shapePointer              // to elem
	shapeSlice                // of elem
	shapeArray                // of elem
	shapeMap                  // from keys to elem
	shapeStruct               // of fields
	shapeOpaque               // the type has methods for it
)

// compiler works out the nodes of one type and of all it is made of.
type compiler struct {
	plan  *Plan
	fresh map[reflect.Type]*node
}

// node gives the node of t. Until the compiler is done, what it gives may not be filled in yet.
func (c *compiler) node(t reflect.Type) *node {
	if n, ok := c.plan.nodes.Load(t); ok {
		return n.(*node)
	}
	if n, ok := c.fresh[t]; ok {
		return n
	}
	n := &node{typ: t}
	c.fresh[t] = n
	c.fill(n)
	return n
}

func (c *compiler) fill(n *node) {
	t := n.typ
	switch {
	case t == reflect.TypeFor[time.Time]():
		n.shape, n.enc, n.dec = shapeTime, encodeTime, decodeTime
	case t.Kind() == reflect.Interface:
		c.fillInterface(n)
	case t.Kind() == reflect.Pointer:
		c.fillPointer(n)
	case isProto(t):
		n.shape, n.own = shapeOpaque, "a protobuf message inside another value"
	default:
		if ownJSON(t) {
			n.shape, n.own = shapeOpaque, "it has JSON methods of its own and none for MessagePack"
		} else {
			c.fillKind(n)
		}
		if ownMsgpack(t) {
			c.fillMethods(n)
		}
	}
}

func (c *compiler) fillInterface(n *node) {
	n.enc = encodeInterface
	if n.typ.NumMethod() == 0 {
		n.shape, n.dec = shapeAny, decodeAny
	} else {
		n.shape, n.dec = shapeFace, decodeFace
	}
}

func (c *compiler) fillPointer(n *node) {
	seen := map[reflect.Type]bool{}
	for t := n.typ; t.Kind() == reflect.Pointer; t = t.Elem() {
		if seen[t] {
			n.own = "it points to nothing but itself"
			return
		}
		seen[t] = true
	}
	n.shape, n.elem = shapePointer, c.node(n.typ.Elem())
	n.enc, n.dec = encodePointer(n), decodePointer(n)
}

func (c *compiler) fillKind(n *node) {
	t := n.typ
	switch t.Kind() {
	case reflect.Bool, reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		n.shape = shapeScalar
		n.enc, n.dec = scalarFuncs(t.Kind())
		if t == reflect.TypeFor[json.Number]() {
			n.own = "a json.Number keeps how a number is spelled"
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && !ownJSON(t.Elem()) {
			n.shape, n.enc, n.dec = shapeBytes, encodeBytes, decodeBytes
			return
		}
		n.shape, n.elem = shapeSlice, c.node(t.Elem())
		n.enc, n.dec = encodeSlice(n), decodeSlice(n)
	case reflect.Array:
		n.shape, n.elem = shapeArray, c.node(t.Elem())
		n.enc, n.dec = encodeArray(n), decodeArray(n)
	case reflect.Map:
		n.shape, n.elem = shapeMap, c.node(t.Elem())
		n.enc, n.dec = mapFuncs(n)
		if t.Key().Kind() != reflect.String || ownJSON(t.Key()) {
			n.own = "a map whose keys are not plain strings"
		}
	case reflect.Struct:
		n.shape = shapeStruct
		n.fields, n.own = c.structure(t)
		n.enc, n.dec = encodeStruct(n), decodeStruct(n)
	default:
		n.own = "it cannot be encoded"
	}
}

// fillMethods lets the type's own methods for the msgpack library carry it.
func (c *compiler) fillMethods(n *node) {
	if promoted(n.typ) {
		n.own = "its MessagePack methods are those of an embedded field and may leave out the rest"
		return
	}
	n.own, n.methods = "", true
	n.enc, n.dec = encodeMethods, decodeMethods
}

// finish draws the conclusions that need all nodes to be there.
func (c *compiler) finish() {
	for _, n := range c.fresh {
		if generated(n.typ) && !n.methods && sameMeaning(n) {
			n.methods, n.generated = true, true
		} else {
			n.json = n.own
		}
		n.cost = n.ownCost()
		n.loose = n.shape == shapeAny
		n.mend = n.loose || n.shape == shapeTime
	}
	for changed := true; changed; { // as many rounds as the longest way round a circle
		changed = false
		for _, n := range c.fresh {
			for part := range n.parts {
				changed = n.learn(part) || changed
			}
		}
	}
	for _, n := range c.fresh {
		switch {
		case n.json != "":
			n.enc, n.dec = encodeViaJSON, decodeViaJSON(n)
		case n.generated:
			n.enc, n.dec = encodeGenerated, decodeGenerated(n)
		}
	}
}

// parts yields the nodes of what n is made of.
func (n *node) parts(yield func(*node) bool) {
	if n.elem != nil && !yield(n.elem) {
		return
	}
	if n.fields != nil {
		for i := range n.fields.list {
			if !yield(n.fields.list[i].node) {
				return
			}
		}
	}
}

// structural tells whether MessagePack carries n even without its methods.
func (n *node) structural() bool {
	for part := range n.parts {
		if part.json != "" {
			return false
		}
	}
	return n.own == "" && n.dec != nil
}

// learn takes over what a part of n means for n, and tells whether that was news.
func (n *node) learn(part *node) bool {
	news := false
	if n.json == "" && part.json != "" && !n.methods {
		n.json, news = part.json, true
	}
	if part.mend && !n.mend || part.loose && !n.loose {
		n.mend, n.loose, news = true, n.loose || part.loose, true
	}
	if more := n.cost.max(part.cost); more != n.cost {
		n.cost, news = more, true
	}
	return news
}

// has tells whether t or a pointer to it has the methods of I.
func has[I any](t reflect.Type) bool {
	face := reflect.TypeFor[I]()
	return t.Implements(face) || reflect.PointerTo(t).Implements(face)
}

func isProto(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && has[proto.Message](t)
}

func ownJSON(t reflect.Type) bool {
	return has[json.Marshaler](t) || has[json.Unmarshaler](t) ||
		has[encoding.TextMarshaler](t) || has[encoding.TextUnmarshaler](t)
}

// ownMsgpack tells whether t can both write and read MessagePack through the msgpack library.
func ownMsgpack(t reflect.Type) bool {
	return (has[msgpack.CustomEncoder](t) || has[msgpack.Marshaler](t)) &&
		(has[msgpack.CustomDecoder](t) || has[msgpack.Unmarshaler](t))
}

// promoted tells whether t embeds a type with MessagePack methods, in which case those of t may be
// the embedded ones.
func promoted(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			continue
		}
		if e := f.Type; ownMsgpack(e) || e.Kind() == reflect.Pointer && ownMsgpack(e.Elem()) {
			return true
		}
	}
	return false
}
