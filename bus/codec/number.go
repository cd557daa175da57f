package codec

import (
	"math"
	"strconv"
	"strings"
)

// safeInteger is up to where a float64 holds every integer.
const safeInteger = 1 << 53

// untyped is the value of a float in a place without a type: the integer that JSON would write for
// it, if it has no fraction and fits 64 bits, else the float. JSON writes the float 1 and the integer 1
// alike, so a handler must not see a difference in MessagePack either.
func untyped(f float64) any {
	if f == 0 {
		return int64(0) // of either sign
	}
	if n, ok := asInteger(f, 64); ok {
		return n.untyped()
	}
	return f
}

// widen is the float64 nearest to the shortest decimal that stands for f.
func widen(f float32) float64 {
	if wide := float64(f); wide == math.Trunc(wide) && math.Abs(wide) < 1<<24 {
		return wide
	}
	var buf [32]byte
	wide, err := strconv.ParseFloat(string(strconv.AppendFloat(buf[:0], float64(f), 'g', -1, 32)), 64)
	if err != nil { // not a number or infinite: a guard has refused both
		return float64(f)
	}
	return wide
}

// A number is one JSON number: an integer if it is written as one and fits 64 bits, else a float.
type number struct {
	kind kind   // kindInt, kindUint or kindFloat64
	bits uint64 // as in head
}

// parseNumber reads a JSON number that is known to be spelled right; false means that it is beyond
// the range of a float64. "-0" is the float, since an integer has no sign to keep there.
func parseNumber(s string) (number, bool) {
	if !strings.ContainsAny(s, ".eE") {
		if s[0] != '-' {
			if u, err := strconv.ParseUint(s, 10, 64); err == nil {
				return number{kindUint, u}, true
			}
		} else if i, err := strconv.ParseInt(s, 10, 64); err == nil && i != 0 {
			return number{kindInt, uint64(i)}, true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return number{}, false
	}
	return number{kindFloat64, math.Float64bits(f)}, true
}

// untyped is n in a place without a type: int64, uint64 if only that holds it, or float64.
func (n number) untyped() any {
	switch {
	case n.kind == kindFloat64:
		return untyped(math.Float64frombits(n.bits))
	case n.kind == kindUint && n.bits > math.MaxInt64:
		return n.bits
	}
	return int64(n.bits)
}

// asInteger gives the integer that JSON would write for a float without a fraction; false if JSON
// would write a fraction, an exponent, the sign of -0, or an integer over 64 bits. From 2^53
// upwards the shortest decimal of a float, which JSON writes, is not its exact value.
func asInteger(f float64, bits int) (number, bool) {
	size := math.Abs(f)
	if f != math.Trunc(f) || size >= 2e19 || f == 0 && math.Signbit(f) {
		return number{}, false
	}
	if size < 1<<24 || bits == 64 && size < safeInteger {
		if f < 0 {
			return number{kindInt, uint64(int64(f))}, true
		}
		return number{kindUint, uint64(f)}, true
	}
	var buf [32]byte
	n, ok := parseNumber(string(strconv.AppendFloat(buf[:0], f, 'f', -1, bits)))
	return n, ok && n.kind != kindFloat64
}

// appendFloat writes f as encoding/json does.
func appendFloat(b []byte, f float64, bits int) []byte {
	format := byte('f')
	size := math.Abs(f)
	if size != 0 {
		if bits == 64 && (size < 1e-6 || size >= 1e21) ||
			bits == 32 && (float32(size) < 1e-6 || float32(size) >= 1e21) {
			format = 'e'
		}
	}
	b = strconv.AppendFloat(b, f, format, -1, bits)
	if format == 'e' { // e-09 to e-9
		if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
			b[n-2] = b[n-1]
			b = b[:n-1]
		}
	}
	return b
}

// text is n for a message.
func (n number) text() string {
	switch n.kind {
	case kindInt:
		return strconv.FormatInt(int64(n.bits), 10)
	case kindUint:
		return strconv.FormatUint(n.bits, 10)
	}
	return string(appendFloat(nil, math.Float64frombits(n.bits), 64))
}
