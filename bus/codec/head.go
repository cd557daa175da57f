package codec

import (
	"encoding/binary"
	"math"
	"time"
)

// kind is what a MessagePack value is on the wire.
type kind uint8

const (
	kindNil kind = iota + 1
	kindBool
	kindInt  // negative, in head.bits as int64
	kindUint // zero or positive, in head.bits
	kindFloat32
	kindFloat64
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
)

// String is the word for a kind in messages.
func (k kind) String() string {
	switch k {
	case kindNil:
		return "nil"
	case kindBool:
		return "a boolean"
	case kindInt, kindUint:
		return "an integer"
	case kindFloat32, kindFloat64:
		return "a float"
	case kindStr:
		return "a string"
	case kindBin:
		return "binary"
	case kindArray:
		return "an array"
	case kindMap:
		return "a map"
	}
	return "an extension"
}

// A head is the first bytes of a value: all of it for numbers, booleans and nil; its length for the
// rest, whose content follows.
//
// With four fields it travels in registers; a fifth would double the time of a guard.
type head struct {
	kind kind
	size int    // bytes of this head
	n    int    // bytes of a string, binary or extension; values of an array; entries of a map
	bits uint64 // a number's bits; 1 for true; the type of an extension
}

// timeExt is the extension type of a timestamp, -1.
const timeExt = 0xff

// readHead reads the head that b starts with. A size of 0 means that b ends inside it, -1 that no
// value starts with this byte. The numbers are those of the MessagePack specification.
func readHead(b []byte) head {
	if len(b) == 0 {
		return head{}
	}
	switch c := b[0]; {
	case c <= 0x7f:
		return head{kind: kindUint, size: 1, bits: uint64(c)}
	case c >= 0xa0 && c <= 0xbf:
		return head{kind: kindStr, size: 1, n: int(c & 0x1f)}
	}
	return readLongHead(b)
}

// readLongHead reads the heads that readHead has no short way for.
func readLongHead(b []byte) head {
	c := b[0]
	switch {
	case c >= 0xe0:
		return head{kind: kindInt, size: 1, bits: uint64(int64(int8(c)))}
	case c <= 0x8f:
		return head{kind: kindMap, size: 1, n: int(c & 0x0f)}
	case c <= 0x9f:
		return head{kind: kindArray, size: 1, n: int(c & 0x0f)}
	}
	switch c {
	case 0xc0:
		return head{kind: kindNil, size: 1}
	case 0xc2:
		return head{kind: kindBool, size: 1}
	case 0xc3:
		return head{kind: kindBool, size: 1, bits: 1}
	case 0xcc, 0xcd, 0xce, 0xcf:
		u, size := bigEndian(b, 1<<(c-0xcc))
		return head{kind: kindUint, size: size, bits: u}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		width := 1 << (c - 0xd0)
		u, size := bigEndian(b, width)
		shift := 64 - 8*width
		h := head{kind: kindUint, size: size, bits: uint64(int64(u<<shift) >> shift)}
		if int64(h.bits) < 0 {
			h.kind = kindInt
		}
		return h
	case 0xca:
		u, size := bigEndian(b, 4)
		return head{kind: kindFloat32, size: size, bits: u}
	case 0xcb:
		u, size := bigEndian(b, 8)
		return head{kind: kindFloat64, size: size, bits: u}
	case 0xd9, 0xda, 0xdb:
		return lengthHead(b, kindStr, 1<<(c-0xd9))
	case 0xc4, 0xc5, 0xc6:
		return lengthHead(b, kindBin, 1<<(c-0xc4))
	case 0xdc, 0xdd:
		return lengthHead(b, kindArray, 2<<(c-0xdc))
	case 0xde, 0xdf:
		return lengthHead(b, kindMap, 2<<(c-0xde))
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return extHead(b, head{kind: kindExt, size: 1, n: 1 << (c - 0xd4)})
	case 0xc7, 0xc8, 0xc9:
		return extHead(b, lengthHead(b, kindExt, 1<<(c-0xc7)))
	}
	return head{size: -1}
}

// bigEndian reads the number of the given width that follows the first byte of b.
func bigEndian(b []byte, width int) (u uint64, size int) {
	if len(b) < 1+width {
		return 0, 0
	}
	switch b = b[1:]; width {
	case 1:
		u = uint64(b[0])
	case 2:
		u = uint64(binary.BigEndian.Uint16(b))
	case 4:
		u = uint64(binary.BigEndian.Uint32(b))
	default:
		u = binary.BigEndian.Uint64(b)
	}
	return u, 1 + width
}

func lengthHead(b []byte, k kind, width int) head {
	u, size := bigEndian(b, width)
	return head{kind: k, size: size, n: int(u)}
}

// extHead adds the type byte, which stands behind the length, to the head of an extension.
func extHead(b []byte, h head) head {
	if h.size == 0 || len(b) <= h.size {
		return head{}
	}
	h.bits = uint64(b[h.size])
	h.size++
	return h
}

// float is the value of a float head. A float32 stands for its shortest decimal, as in JSON, so
// that 0.1 is 0.1 whichever way it came.
func (h head) float() float64 {
	if h.kind == kindFloat32 {
		return widen(math.Float32frombits(uint32(h.bits)))
	}
	return math.Float64frombits(h.bits)
}

// timestamp reads the content of a timestamp extension; ok is false if it is none: a wrong length,
// a nanosecond over 999,999,999, or a year that JSON cannot write.
func timestamp(b []byte) (t time.Time, ok bool) {
	var sec, nsec int64
	switch len(b) {
	case 4:
		sec = int64(binary.BigEndian.Uint32(b))
	case 8:
		u := binary.BigEndian.Uint64(b)
		sec, nsec = int64(u&(1<<34-1)), int64(u>>34)
	case 12:
		sec, nsec = int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint32(b))
	default:
		return time.Time{}, false
	}
	if sec < firstSecond || sec > lastSecond || nsec > 999_999_999 {
		return time.Time{}, false
	}
	return time.Unix(sec, nsec).UTC(), true
}

// The first second of year 0 and the last of year 9999: the times RFC 3339 can write.
const (
	firstSecond = -62167219200
	lastSecond  = 253402300799
)
