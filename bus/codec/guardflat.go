package codec

import (
	"bytes"
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
	var keys [fewKeys][]byte
	off := 1
	for i := range n {
		key := readHead(data[off:])
		if key.kind != kindStr || key.size != 1 || key.n > len(data)-off-1 {
			return census{}, false
		}
		keys[i] = data[off+1 : off+1+key.n]
		if !utf8.Valid(keys[i]) {
			return census{}, false
		}
		for _, other := range keys[:i] {
			if bytes.Equal(other, keys[i]) {
				return census{}, false
			}
		}
		off += 1 + key.n
		value := readHead(data[off:])
		if value.size <= 0 {
			return census{}, false
		}
		off += value.size
		switch value.kind {
		case kindStr, kindBin:
			if value.n > len(data)-off || value.kind == kindStr && !utf8.Valid(data[off:off+value.n]) {
				return census{}, false
			}
			off += value.n
		case kindNil, kindBool, kindInt, kindUint:
		case kindFloat64:
			if f := math.Float64frombits(value.bits); math.IsNaN(f) || math.IsInf(f, 0) {
				return census{}, false
			}
		default:
			return census{}, false
		}
	}
	return census{values: 1 + n, entries: n}, off == len(data)
}
