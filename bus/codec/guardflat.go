package codec

import (
	"math"
	"unicode/utf8"
)

// guardFlat is guardMsgpack for the commonest body: a map of at most fewKeys short keys whose values
// are no arrays and no maps. It needs none of the room that the walk of any body has. ok is false if
// the body is another one, or has something wrong that guardMsgpack is to name.
func guardFlat(data []byte) (seen census, ok bool) {
	if len(data) == 0 || data[0] < 0x80 || data[0] > 0x80+fewKeys {
		return census{}, false
	}
	n := int(data[0] & 0x0f)
	var keys [fewKeys]span
	off := 1
	for i := range n {
		if off >= len(data) || data[off]&0xe0 != 0xa0 {
			return census{}, false
		}
		size := int(data[off] & 0x1f)
		off++
		if size >= len(data)-off { // a value is behind it
			return census{}, false
		}
		key := data[off : off+size]
		if !plainText(key) {
			return census{}, false
		}
		for _, k := range keys[:i] {
			if int(k.size) == size && string(data[k.start:k.start+k.size]) == string(key) {
				return census{}, false
			}
		}
		keys[i] = span{int32(off), int32(size)}
		off += size
		switch c := data[off]; {
		case c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
			off++
		case c&0xe0 == 0xa0:
			size, off = int(c&0x1f), off+1
			if size > len(data)-off || !plainText(data[off:off+size]) {
				return census{}, false
			}
			off += size
		default:
			if off = flatValue(data, off); off == 0 {
				return census{}, false
			}
		}
	}
	return census{values: 1 + n, entries: n}, off == len(data)
}

// flatValue gives the end of a value that is longer than most, or 0 where guardFlat gives up.
func flatValue(data []byte, off int) int {
	h := readHead(data[off:])
	if h.size <= 0 {
		return 0
	}
	off += h.size
	switch h.kind {
	case kindStr, kindBin:
		if h.n > len(data)-off || h.kind == kindStr && !utf8.Valid(data[off:off+h.n]) {
			return 0
		}
		return off + h.n
	case kindInt, kindUint:
		return off
	case kindFloat64:
		if f := math.Float64frombits(h.bits); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return off
		}
	}
	return 0
}

// plainText is utf8.Valid for few bytes.
func plainText(b []byte) bool {
	var all byte
	for _, c := range b {
		all |= c
	}
	return all < utf8.RuneSelf || utf8.Valid(b)
}
