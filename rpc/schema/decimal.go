package schema

import (
	"bytes"
	"math/big"
)

// The numbers that are divided: as wide as a float64, so that nobody can make a division long.
const (
	maxDigits   = 64
	maxExponent = 310
)

// A decimal is a JSON number, exactly, however long: 0.digits × 10^exp. Reading and comparing take time in proportion
// to the text, which arithmetic on 1e999999999 would not.
type decimal struct {
	neg    bool
	digits []byte // without zeros at either end; none is zero
	exp    int
}

// parseDecimal reads a JSON number. Other text gives some number.
func parseDecimal(text []byte) decimal {
	var d decimal
	if len(text) > 0 && text[0] == '-' {
		d.neg, text = true, text[1:]
	}
	point, e := -1, len(text)
	for i, c := range text {
		switch c {
		case '.':
			point = i
		case 'e', 'E':
			e = i
		}
	}
	exponent := 0
	if e < len(text) {
		exponent = parseExponent(text[e+1:])
	}
	d.digits, d.exp = text[:e], e+exponent
	if point >= 0 && point < e {
		d.digits = append(append(make([]byte, 0, e), text[:point]...), text[point+1:e]...)
		d.exp = point + exponent
	}
	n := len(d.digits)
	for len(d.digits) > 0 && d.digits[0] == '0' {
		d.digits = d.digits[1:]
	}
	d.exp -= n - len(d.digits)
	for len(d.digits) > 0 && d.digits[len(d.digits)-1] == '0' {
		d.digits = d.digits[:len(d.digits)-1]
	}
	if len(d.digits) == 0 {
		return decimal{}
	}
	return d
}

// parseExponent reads an exponent; one beyond a thousand million is as good as that.
func parseExponent(text []byte) int {
	const most = 1e9
	neg, n := false, 0
	for _, c := range text {
		switch {
		case c == '-':
			neg = true
		case c >= '0' && c <= '9' && n < most:
			n = n*10 + int(c-'0')
		}
	}
	if n = min(n, most); neg {
		return -n
	}
	return n
}

// whole tells that d has no fraction.
func (d decimal) whole() bool { return d.exp >= len(d.digits) }

// compare is negative, zero or positive as d is under, equal to or over e.
func (d decimal) compare(e decimal) int {
	sign := func(d decimal) int {
		switch {
		case len(d.digits) == 0:
			return 0
		case d.neg:
			return -1
		}
		return 1
	}
	s, t := sign(d), sign(e)
	switch {
	case s != t:
		return s - t
	case s == 0:
		return 0
	case d.exp != e.exp:
		if d.exp < e.exp {
			return -s
		}
		return s
	}
	return s * bytes.Compare(d.digits, e.digits)
}

// small tells that d may be divided.
func (d decimal) small() bool {
	return len(d.digits) <= maxDigits && d.exp <= maxExponent && d.exp >= -maxExponent
}

// multipleOf tells whether d is a whole number of steps. Both are small.
func (d decimal) multipleOf(step decimal) bool {
	last := min(d.exp-len(d.digits), step.exp-len(step.digits))
	if n, ok := d.short(last); ok {
		if by, ok := step.short(last); ok {
			return n%by == 0
		}
	}
	return new(big.Int).Rem(d.long(last), step.long(last)).Sign() == 0
}

// short is d without its sign in units of 10^last, if that is not long.
func (d decimal) short(last int) (n int64, ok bool) {
	zeros := d.exp - len(d.digits) - last
	if len(d.digits)+zeros > 18 {
		return 0, false
	}
	for _, c := range d.digits {
		n = n*10 + int64(c-'0')
	}
	for range zeros {
		n *= 10
	}
	return n, true
}

// long is the same for any number that is small.
func (d decimal) long(last int) *big.Int {
	n, _ := new(big.Int).SetString(string(append([]byte("0"), d.digits...)), 10)
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.exp-len(d.digits)-last)), nil)
	return n.Mul(n, scale)
}

// append writes d in the one spelling that equal numbers share.
func (d decimal) append(dst []byte) []byte {
	if len(d.digits) == 0 {
		return append(dst, '0')
	}
	if d.neg {
		dst = append(dst, '-')
	}
	dst = append(append(dst, "."...), d.digits...)
	return appendInt(append(dst, 'e'), d.exp)
}
