package web

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// A numeral is a number of a page: it is written with three digits after the
// point at most, and as null when it is not known.
type numeral float64

func unknownNumber() numeral { return numeral(math.NaN()) }

// MarshalJSON writes n.
func (n numeral) MarshalJSON() ([]byte, error) { return n.append(nil), nil }

// numerals are a column of numbers.
type numerals []numeral

// MarshalJSON writes all at once: there are many of them.
func (n numerals) MarshalJSON() ([]byte, error) {
	dst := append(make([]byte, 0, 2+6*len(n)), '[')
	for i, one := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one.append(dst)
	}
	return append(dst, ']'), nil
}

func (n numeral) append(dst []byte) []byte {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, n.rounded(), 'f', -1, 64)
}

// rounded keeps three significant digits of what is small, and whole numbers of
// what is large.
func (n numeral) rounded() float64 {
	f := float64(n)
	switch a := math.Abs(f); {
	case a >= 1000:
		return math.Round(f)
	case a >= 100:
		return math.Round(f*10) / 10
	case a >= 1:
		return math.Round(f*100) / 100
	}
	return math.Round(f*1000) / 1000
}

func (n numeral) known() bool { return !math.IsNaN(float64(n)) }

// same reports whether two numbers are written alike.
func (n numeral) same(o numeral) bool {
	return n.known() == o.known() && (!n.known() || n.rounded() == o.rounded())
}

// or is n, or another number if n is not known.
func (n numeral) or(other float64) float64 {
	if n.known() {
		return float64(n)
	}
	return other
}

func milliseconds(d time.Duration) numeral { return numeral(float64(d) / float64(time.Millisecond)) }

// text is n for people.
func (n numeral) text() string {
	if !n.known() {
		return "-"
	}
	return strconv.FormatFloat(n.rounded(), 'f', -1, 64)
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// appendText writes a JSON string.
func appendText(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // a string is always one
	}
	return append(dst, text...)
}
