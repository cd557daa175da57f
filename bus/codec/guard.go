package codec

import (
	"math"
	"unicode/utf8"
)

// Guard checks a JSON or MessagePack body from outside without decoding it: one whole value and
// nothing behind it, at most MaxDepth deep and MaxValues large, no length beyond the body, valid
// UTF-8, no key twice in an object, and in MessagePack only string keys, numbers that JSON can
// write, and no extension but timestamps. It does not recurse and allocates no more than a small
// multiple of the body. An empty body passes: it stands for the zero value. So does any body in
// Protobuf or Raw; a protobuf message is checked against its type by Unmarshal.
//
// The error is an invalid_argument that says at which byte.
func Guard(c Codec, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var f *fault
	switch c {
	case JSON:
		_, f = guardJSON(data)
	case Msgpack:
		_, f = guardMsgpack(data)
	}
	if f != nil {
		return f.err(c)
	}
	return nil
}

// census is what a guard counted on its way.
type census struct {
	values  int // all of them
	items   int // those in arrays
	entries int // those in objects
}

// A msgpackWalk is a guard on its way through a MessagePack body.
type msgpackWalk struct {
	data  []byte
	seen  census
	keys  keySet
	depth int
	left  [MaxDepth + 1]int32 // values still to come; of a map keys and values
	isMap [MaxDepth + 1]bool
}

// guardMsgpack checks that data is one value within the limits. Whoever reads it afterwards need
// not check lengths, depth, UTF-8 or keys again.
func guardMsgpack(data []byte) (census, *fault) {
	if len(data) > math.MaxInt32 {
		return census{}, faultf(0, "it is over 2 GiB")
	}
	w := msgpackWalk{data: data}
	w.keys.data = data
	off := 0
	for {
		next, f := w.value(off)
		if f != nil {
			return w.seen, f
		}
		off = next
		if w.depth == 0 {
			break
		}
	}
	if off != len(data) {
		return w.seen, faultf(off, "%d bytes follow the value", len(data)-off)
	}
	return w.seen, nil
}

// value checks what begins at off, up to the first value in it if it is an array or a map, and gives
// where the next begins.
func (w *msgpackWalk) value(off int) (int, *fault) {
	if off >= len(w.data) {
		return 0, faultf(off, "it ends inside a value")
	}
	if w.isMap[w.depth] && w.left[w.depth]%2 == 0 {
		return w.key(off)
	}
	if w.seen.values++; w.seen.values > MaxValues {
		return 0, overValues(off)
	}
	if w.isMap[w.depth] {
		w.seen.entries++
	} else if w.depth > 0 {
		w.seen.items++
	}
	if c := w.data[off]; c <= 0x7f || c >= 0xe0 { // most numbers
		w.done()
		return off + 1, nil
	}
	h, f := w.head(off)
	if f != nil {
		return 0, f
	}
	next := off + h.size
	switch h.kind {
	case kindArray, kindMap:
		if h.n > 0 {
			return next, w.push(h, off)
		}
		if w.depth == MaxDepth {
			return 0, overDepth(off)
		}
	case kindStr, kindBin, kindExt:
		next += h.n
		if f := checkContent(h, w.data[next-h.n:next], off); f != nil {
			return 0, f
		}
	case kindFloat32, kindFloat64:
		if h.kind == kindFloat64 && h.bits&0x7ff0000000000000 == 0x7ff0000000000000 ||
			h.kind == kindFloat32 && h.bits&0x7f800000 == 0x7f800000 {
			return 0, faultf(off, "a number must be finite")
		}
	}
	w.done()
	return next, nil
}

// key checks the key that begins at off.
func (w *msgpackWalk) key(off int) (int, *fault) {
	h, f := w.head(off)
	switch {
	case f != nil:
		return 0, f
	case h.kind != kindStr:
		return 0, faultf(off, "a key is %s: only strings may be keys", h.kind)
	}
	start := off + h.size
	next := start + h.n
	if f := checkContent(h, w.data[start:next], off); f != nil {
		return 0, f
	}
	if !w.keys.add(start, next) {
		return 0, faultf(off, "the key %q is there twice", clip(string(w.data[start:next])))
	}
	w.left[w.depth]--
	return next, nil
}

// head reads the head at off and checks that what it announces can be there.
func (w *msgpackWalk) head(off int) (head, *fault) {
	h := readHead(w.data[off:])
	if h.size <= 0 {
		if h.size == 0 {
			return h, faultf(len(w.data), "it ends inside a value")
		}
		return h, faultf(off, "no value starts with the byte %#02x", w.data[off])
	}
	least := h.n // bytes that must follow
	if h.kind == kindMap {
		least *= 2
	}
	if rest := len(w.data) - off - h.size; least > rest {
		switch h.kind {
		case kindArray, kindMap:
			return h, faultf(off, "%s of %d is announced and %d bytes are left", h.kind, h.n, rest)
		}
		return h, faultf(off, "%s of %d bytes is announced and %d are left", h.kind, h.n, rest)
	}
	return h, nil
}

// push goes into an array or a map.
func (w *msgpackWalk) push(h head, off int) *fault {
	if w.depth == MaxDepth {
		return overDepth(off)
	}
	w.depth++
	w.left[w.depth], w.isMap[w.depth] = int32(h.n), h.kind == kindMap
	if w.isMap[w.depth] {
		w.left[w.depth] *= 2
		w.keys.push()
	}
	return nil
}

// done counts a whole value, and those that end with it.
func (w *msgpackWalk) done() {
	for w.depth > 0 {
		if w.left[w.depth]--; w.left[w.depth] > 0 {
			return
		}
		if w.isMap[w.depth] {
			w.keys.pop()
		}
		w.depth--
	}
}

// checkContent checks what a string or an extension holds.
func checkContent(h head, content []byte, off int) *fault {
	switch h.kind {
	case kindStr:
		if !utf8.Valid(content) {
			return faultf(off, "a string is not valid UTF-8")
		}
	case kindExt:
		if h.bits != timeExt {
			return faultf(off, "extension type %d: only timestamps (-1) are understood", int8(h.bits))
		}
		if _, ok := timestamp(content); !ok {
			return faultf(off, "a timestamp must be 4, 8 or 12 bytes and between the years 0 and 9999")
		}
	}
	return nil
}
