package schema

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxEcho is how many bytes of what came, or of one value that is wanted, a message shows.
const maxEcho = 64

// maxWay is how many bytes the way to a value may have.
const maxWay = 4 * maxEcho

// Text that is no JSON is read as something: every step goes forward and stays inside.

func (w *walk) byteAt(i int) byte {
	if i < len(w.text) {
		return w.text[i]
	}
	return 0
}

// blank is the first place at or after i that is not blank.
func (w *walk) blank(i int) int {
	for i < len(w.text) && (w.text[i] == ' ' || w.text[i] == '\n' || w.text[i] == '\t' || w.text[i] == '\r') {
		i++
	}
	return i
}

// quoted is the end of the string that begins at i.
func (w *walk) quoted(i int) int {
	for i++; i < len(w.text); i++ {
		switch w.text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(w.text)
}

// bare is the end of the number or word that begins at i.
func (w *walk) bare(i int) int {
	start := i
	for i < len(w.text) {
		switch c := w.text[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '+', c == '.':
			i++
			continue
		}
		break
	}
	return min(max(i, start+1), len(w.text))
}

// skip is the end of the value that begins at i.
func (w *walk) skip(i int) int {
	depth := 0
	for i < len(w.text) {
		switch w.text[i] {
		case '"':
			i = w.quoted(i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\t', '\r':
			i++
		default:
			i = w.bare(i)
		}
		if depth <= 0 {
			return i
		}
	}
	return len(w.text)
}

// deep tells that more arrays and objects are open at once than any body may have.
func (w *walk) deep() bool {
	depth := 0
	for i := 0; i < len(w.text); {
		switch w.text[i] {
		case '"':
			i = w.quoted(i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > maxDepth {
			return true
		}
		i++
	}
	return false
}

// kind is what begins at i.
func (w *walk) kind(i int) kinds {
	switch w.byteAt(i) {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	end := w.bare(i)
	for _, c := range w.text[i:end] {
		if c == '.' || c == 'e' || c == 'E' {
			if !parseDecimal(w.text[i:end]).whole() {
				return kindFraction
			}
			break
		}
	}
	return kindWhole
}

// unquote is what a JSON string says.
func unquote(quoted []byte) []byte {
	if len(quoted) < 2 {
		return nil
	}
	inner := quoted[1 : len(quoted)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			if json.Unmarshal(quoted, &s) != nil {
				return inner
			}
			return []byte(s)
		}
	}
	return inner
}

// canonical appends the value that begins at i in the one spelling that equal values share, and returns its end.
func (w *walk) canonical(dst []byte, i int) ([]byte, int) {
	switch w.byteAt(i) {
	case '"':
		end := w.quoted(i)
		return strconv.AppendQuote(dst, string(unquote(w.text[i:end]))), end
	case '[':
		dst = append(dst, '[')
		end := w.each(i, func(at int) int {
			dst, at = w.canonical(dst, at)
			dst = append(dst, ',')
			return at
		})
		return append(dst, ']'), end
	case '{':
		var entries []string
		end := w.members(i, func(key []byte, at int) int {
			entry := append(strconv.AppendQuote(nil, string(unquote(key))), ':')
			entry, at = w.canonical(entry, at)
			entries = append(entries, string(entry))
			return at
		})
		slices.Sort(entries)
		return append(append(append(dst, '{'), strings.Join(entries, ",")...), '}'), end
	case 't', 'f', 'n':
		end := w.bare(i)
		return append(dst, w.text[i:end]...), end
	}
	end := w.bare(i)
	return parseDecimal(w.text[i:end]).append(dst), end
}

// each gives the places of the items of an array to f, which returns where the item ends, or -1 to stop. It returns
// the end of the array.
func (w *walk) each(i int, f func(at int) int) int {
	i = w.blank(i + 1)
	for i < len(w.text) && w.text[i] != ']' {
		if i = f(i); i < 0 {
			return -1
		}
		if i = w.blank(i); w.byteAt(i) == ',' {
			i = w.blank(i + 1)
		}
	}
	return min(i+1, len(w.text))
}

// members does the same for an object, with the text of each key.
func (w *walk) members(i int, f func(key []byte, at int) int) int {
	i = w.blank(i + 1)
	for i < len(w.text) && w.text[i] != '}' {
		end := w.quoted(i)
		key := w.text[i:end]
		if i = w.blank(end); w.byteAt(i) == ':' {
			i = w.blank(i + 1)
		}
		if i = f(key, i); i < 0 {
			return -1
		}
		if i = w.blank(i); w.byteAt(i) == ',' {
			i = w.blank(i + 1)
		}
	}
	return min(i+1, len(w.text))
}

// echo shows the value that begins at i, if it is short enough to be shown.
func (w *walk) echo(i int) string {
	switch w.byteAt(i) {
	case '"':
		return strconv.Quote(clip(string(unquote(w.text[i:w.quoted(i)]))))
	case '{', '[':
		return "this"
	}
	return clip(string(w.text[i:w.bare(i)]))
}

// clip keeps a text of others short.
func clip(s string) string { return clipAt(s, maxEcho-len("…")) }

func clipAt(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
