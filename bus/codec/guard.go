package codec

import (
	"math"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
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

// guardMsgpack checks that data is one value within the limits. Whoever reads it afterwards need
// not check lengths, depth, UTF-8 or keys again.
func guardMsgpack(data []byte) (census, *fault) {
	var (
		seen  census
		keys  = keySet{data: data}
		left  [MaxDepth + 1]int32 // values still to come; of a map keys and values
		isMap [MaxDepth + 1]bool
		depth int
		off   int
	)
	if len(data) > math.MaxInt32 {
		return seen, faultf(0, "it is over 2 GiB")
	}
	for {
		h := readHead(data[off:])
		switch h.size {
		case 1:
		case 0:
			return seen, faultf(len(data), "it ends inside a value")
		case -1:
			return seen, faultf(off, "no value starts with the byte %#02x", data[off])
		}
		body, rest := off+h.size, len(data)-off-h.size
		key := isMap[depth] && left[depth]%2 == 0
		switch {
		case key && h.kind != kindStr:
			return seen, faultf(off, "a key is %s: only strings may be keys", h.kind)
		case !key && depth > 0 && isMap[depth]:
			seen.entries++
		case !key && depth > 0:
			seen.items++
		}
		if !key {
			if seen.values++; seen.values > MaxValues {
				return seen, overValues(off)
			}
		}
		next := body
		switch h.kind {
		case kindStr, kindBin, kindExt:
			if h.n > rest {
				return seen, faultf(off, "%s of %d bytes is announced and %d are left", h.kind, h.n, rest)
			}
			next = body + h.n
			if f := checkContent(h, data[body:next], off); f != nil {
				return seen, f
			}
			if key && !keys.add(body, next) {
				return seen, faultf(off, "the key %q is there twice", clip(string(data[body:next])))
			}
		case kindFloat32, kindFloat64:
			if v := math.Float64frombits(h.bits); h.kind == kindFloat64 && (math.IsNaN(v) || math.IsInf(v, 0)) ||
				h.kind == kindFloat32 && h.bits&0x7f800000 == 0x7f800000 {
				return seen, faultf(off, "a number must be finite")
			}
		case kindArray, kindMap:
			count := h.n
			if h.kind == kindMap {
				count *= 2
			}
			if count > rest {
				return seen, faultf(off, "%s of %d is announced and %d bytes are left", h.kind, h.n, rest)
			}
			if depth == MaxDepth {
				return seen, overDepth(off)
			}
			if count > 0 {
				depth++
				left[depth], isMap[depth] = int32(count), h.kind == kindMap
				if isMap[depth] {
					keys.push()
				}
				off = next
				continue
			}
		}
		off = next
		for depth > 0 {
			if left[depth]--; left[depth] > 0 {
				break
			}
			if isMap[depth] {
				keys.pop()
			}
			depth--
		}
		if depth == 0 {
			break
		}
	}
	if off != len(data) {
		return seen, faultf(off, "%d bytes follow the value", len(data)-off)
	}
	return seen, nil
}

// checkContent checks what a string or an extension holds.
func checkContent(h head, content []byte, off int) *fault {
	switch h.kind {
	case kindStr:
		if !utf8.Valid(content) {
			return faultf(off, "a string is not valid UTF-8")
		}
	case kindExt:
		if h.ext != timeExt {
			return faultf(off, "extension type %d: only timestamps (-1) are understood", h.ext)
		}
		if _, ok := timestamp(content); !ok {
			return faultf(off, "a timestamp must be 4, 8 or 12 bytes and between the years 0 and 9999")
		}
	}
	return nil
}

// Transcode rewrites a body from one of JSON and Msgpack to the other without a Go type: integers
// stay exact, binary becomes base64 text, a timestamp RFC 3339 text. The body is guarded first; an
// empty one stays empty. Other codecs cannot be rewritten without their type: unimplemented.
func Transcode(from, to Codec, data []byte) ([]byte, error) {
	generic := func(c Codec) bool { return c == JSON || c == Msgpack }
	switch {
	case from == to || len(data) == 0:
		return data, Guard(from, data)
	case !generic(from) || !generic(to):
		return nil, bus.Errorf(bus.Unimplemented, "a %s body cannot be rewritten as %s", from, to)
	}
	var out []byte
	var f *fault
	if from == JSON {
		out, f = jsonToMsgpack(data)
	} else if _, f = guardMsgpack(data); f == nil {
		out = msgpackToJSON(data)
	}
	if f != nil {
		return nil, f.err(from)
	}
	return out, nil
}
