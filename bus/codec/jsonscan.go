package codec

import (
	"encoding/json"
	"math"
	"unicode/utf8"
)

// A token is one step through a JSON text. Strings and keys include their quotes.
type token struct {
	kind       byte // one of the tok constants
	start, end int
}

const (
	tokEnd    byte = 0
	tokObject byte = '{'
	tokArray  byte = '['
	tokClose  byte = '}' // of either
	tokKey    byte = 'k'
	tokString byte = '"'
	tokNumber byte = '0'
	tokTrue   byte = 't'
	tokFalse  byte = 'f'
	tokNull   byte = 'n'
)

// expect is what may come next in a JSON text.
type expect uint8

const (
	expectValue expect = iota
	expectValueOrClose
	expectKey
	expectKeyOrClose
	expectCommaOrClose
	expectEnd
)

// jsonScan walks through a JSON text token by token. It accepts exactly what RFC 8259 does, within
// the limits, and refuses what encoding/json would silently change: a key given twice and half a
// surrogate pair. It does not recurse.
type jsonScan struct {
	data  []byte
	off   int
	want  expect
	depth int
	isMap [MaxDepth + 1]bool
	seen  census
	keys  keySet
	trust bool // the text was scanned before: keys need not be compared again
}

// begin sets the scan to the start of data; trust says that data has passed a scan before.
func (s *jsonScan) begin(data []byte, trust bool) *fault {
	s.data, s.trust = data, trust
	s.keys.data = data
	if trust {
		return nil
	}
	if len(data) > math.MaxInt32 {
		return faultf(0, "it is over 2 GiB")
	}
	if len(data) >= 3 && data[0] == 0xef && data[1] == 0xbb && data[2] == 0xbf {
		return faultf(0, "it begins with a byte order mark")
	}
	if !utf8.Valid(data) {
		off := 0
		for off < len(data) {
			r, size := utf8.DecodeRune(data[off:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			off += size
		}
		return faultf(off, "it is not valid UTF-8")
	}
	return nil
}

// next returns the next token; after the end of the text, tokEnd.
func (s *jsonScan) next() (token, *fault) {
	c := s.space()
	switch s.want {
	case expectEnd:
		if s.off < len(s.data) {
			return token{}, faultf(s.off, "%d bytes follow the value", len(s.data)-s.off)
		}
		return token{kind: tokEnd, start: s.off, end: s.off}, nil
	case expectCommaOrClose:
		if c != ',' {
			return s.close(c, "a comma")
		}
		s.off++
		c = s.space()
		if s.isMap[s.depth] {
			return s.key(c)
		}
	case expectKeyOrClose:
		if c == '}' {
			return s.close(c, "a key")
		}
		return s.key(c)
	case expectValueOrClose:
		if c == ']' {
			return s.close(c, "a value")
		}
	}
	return s.value(c)
}

// space skips white space and gives the byte behind it, or 0 at the end of the text.
func (s *jsonScan) space() byte {
	for ; s.off < len(s.data); s.off++ {
		switch c := s.data[s.off]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (s *jsonScan) unexpected(wanted string) *fault {
	if s.off >= len(s.data) {
		return faultf(len(s.data), "it ends where %s should be", wanted)
	}
	r, _ := utf8.DecodeRune(s.data[s.off:])
	return faultf(s.off, "%q where %s should be", r, wanted)
}

func (s *jsonScan) close(c byte, orElse string) (token, *fault) {
	wanted := byte(']')
	if s.isMap[s.depth] {
		wanted = '}'
	}
	if c != wanted {
		return token{}, s.unexpected(orElse + " or " + string(wanted))
	}
	if s.isMap[s.depth] && !s.trust {
		s.keys.pop()
	}
	s.depth--
	s.off++
	s.after()
	return token{kind: tokClose, start: s.off - 1, end: s.off}, nil
}

// after says what may follow a whole value.
func (s *jsonScan) after() {
	s.want = expectCommaOrClose
	if s.depth == 0 {
		s.want = expectEnd
	}
}

func (s *jsonScan) key(c byte) (token, *fault) {
	if c != '"' {
		return token{}, s.unexpected("a key")
	}
	start := s.off
	escaped, f := s.text()
	if f != nil {
		return token{}, f
	}
	t := token{kind: tokKey, start: start, end: s.off}
	if !s.trust {
		fresh := false
		if escaped {
			fresh = s.keys.addCopy(unquote(s.data[start:s.off]))
		} else {
			fresh = s.keys.add(start+1, s.off-1)
		}
		if !fresh {
			return token{}, faultf(start, "the key %s is there twice", clip(string(s.data[start:s.off])))
		}
	}
	if s.space() != ':' {
		return token{}, s.unexpected("a colon")
	}
	s.off++
	s.want = expectValue
	return t, nil
}

func (s *jsonScan) value(c byte) (token, *fault) {
	start := s.off
	if s.seen.values++; s.seen.values > MaxValues {
		return token{}, overValues(start)
	}
	switch {
	case s.depth == 0:
	case s.isMap[s.depth]:
		s.seen.entries++
	default:
		s.seen.items++
	}
	switch c {
	case '{', '[':
		if s.depth == MaxDepth {
			return token{}, overDepth(start)
		}
		s.off++
		s.depth++
		s.isMap[s.depth] = c == '{'
		s.want = expectValueOrClose
		if c == '{' {
			s.want = expectKeyOrClose
			if !s.trust {
				s.keys.push()
			}
		}
		return token{kind: c, start: start, end: s.off}, nil
	case '"':
		if _, f := s.text(); f != nil {
			return token{}, f
		}
		s.after()
		return token{kind: tokString, start: start, end: s.off}, nil
	case 't':
		return s.word(tokTrue, "true")
	case 'f':
		return s.word(tokFalse, "false")
	case 'n':
		return s.word(tokNull, "null")
	}
	if c == '-' || '0' <= c && c <= '9' {
		if f := s.number(); f != nil {
			return token{}, f
		}
		s.after()
		return token{kind: tokNumber, start: start, end: s.off}, nil
	}
	return token{}, s.unexpected("a value")
}

func (s *jsonScan) word(kind byte, word string) (token, *fault) {
	start, end := s.off, s.off+len(word)
	if end > len(s.data) || string(s.data[start:end]) != word {
		return token{}, s.unexpected("a value")
	}
	s.off = end
	s.after()
	return token{kind: kind, start: start, end: end}, nil
}

func (s *jsonScan) number() *fault {
	if s.data[s.off] == '-' {
		s.off++
	}
	if s.off < len(s.data) && s.data[s.off] == '0' {
		s.off++
	} else if !s.digits() {
		return s.unexpected("a digit")
	}
	if s.off < len(s.data) && s.data[s.off] == '.' {
		s.off++
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	if s.off < len(s.data) && (s.data[s.off] == 'e' || s.data[s.off] == 'E') {
		s.off++
		if s.off < len(s.data) && (s.data[s.off] == '+' || s.data[s.off] == '-') {
			s.off++
		}
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	return nil
}

func (s *jsonScan) digits() bool {
	start := s.off
	for s.off < len(s.data) && '0' <= s.data[s.off] && s.data[s.off] <= '9' {
		s.off++
	}
	return s.off > start
}

// text scans a string from its opening quote to behind its closing one.
func (s *jsonScan) text() (escaped bool, f *fault) {
	for i := s.off + 1; i < len(s.data); {
		switch c := s.data[i]; {
		case c == '"':
			s.off = i + 1
			return escaped, nil
		case c < ' ':
			return false, faultf(i, "a string holds the control character %#02x unescaped", c)
		case c == '\\':
			size, f := s.escape(i)
			if f != nil {
				return false, f
			}
			escaped = true
			i += size
		default:
			i++
		}
	}
	return false, faultf(len(s.data), "it ends inside a string")
}

// escape checks the escape sequence at i and gives its length; a surrogate pair is one.
func (s *jsonScan) escape(i int) (int, *fault) {
	if i+1 < len(s.data) {
		switch s.data[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			return 2, nil
		case 'u':
			unit, ok := s.unit(i)
			switch {
			case !ok:
				return 0, faultf(i, `\u must be followed by four hexadecimal digits`)
			case unit < 0xd800 || unit > 0xdfff:
				return 6, nil
			case unit < 0xdc00:
				if low, ok := s.unit(i + 6); ok && 0xdc00 <= low && low <= 0xdfff {
					return 12, nil
				}
			}
			return 0, faultf(i, "half of a surrogate pair")
		}
	}
	return 0, faultf(i, "an escape sequence that JSON does not have")
}

// unit reads the \uXXXX at i.
func (s *jsonScan) unit(i int) (u uint16, ok bool) {
	if i+6 > len(s.data) || s.data[i] != '\\' || s.data[i+1] != 'u' {
		return 0, false
	}
	for _, c := range s.data[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		u = u<<4 | uint16(c)
	}
	return u, true
}

// unquote gives the content of a string token that has passed a scan. It may alias quoted.
func unquote(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	for _, c := range inner {
		if c == '\\' {
			var plain string
			if err := json.Unmarshal(quoted, &plain); err != nil {
				return inner // cannot be: the scan accepts only strings that encoding/json reads
			}
			return []byte(plain)
		}
	}
	return inner
}

// guardJSON checks that data is one JSON text within the limits.
func guardJSON(data []byte) (census, *fault) {
	var s jsonScan
	if f := s.begin(data, false); f != nil {
		return s.seen, f
	}
	for {
		t, f := s.next()
		if f != nil || t.kind == tokEnd {
			return s.seen, f
		}
	}
}
