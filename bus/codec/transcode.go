package codec

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/mbus-dev/mbus/bus"
)

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

// jsonToMsgpack guards and rewrites a JSON text. It walks twice: MessagePack says how long an array
// is before its first value.
func jsonToMsgpack(data []byte) ([]byte, *fault) {
	lengths, _, f := containerLengths(data)
	if f != nil {
		return nil, f
	}
	var buf bytes.Buffer
	buf.Grow(len(data))
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	if f := writeMsgpack(enc, data, lengths); f != nil {
		return nil, f
	}
	return buf.Bytes(), nil
}

// containerLengths guards data and counts what each of its arrays and objects holds, in the order
// in which they begin, and how deep they go.
func containerLengths(data []byte) (lengths []int32, deepest int, f *fault) {
	var (
		s    jsonScan
		open [MaxDepth + 1]int // position in lengths
	)
	if f := s.begin(data, false); f != nil {
		return nil, 0, f
	}
	for {
		t, f := s.next()
		switch {
		case f != nil || t.kind == tokEnd:
			return lengths, deepest, f
		case t.kind == tokKey || t.kind == tokClose:
			continue
		}
		depth := s.depth
		if t.kind == tokObject || t.kind == tokArray {
			deepest = max(deepest, depth)
			depth--
			open[s.depth] = len(lengths)
			lengths = append(lengths, 0)
		}
		if depth > 0 {
			lengths[open[depth]]++
		}
	}
}

// writeMsgpack writes the JSON text data, which has passed a guard. enc writes into memory, which
// cannot fail.
func writeMsgpack(enc *msgpack.Encoder, data []byte, lengths []int32) *fault {
	var s jsonScan
	_ = s.begin(data, true)
	for {
		t, f := s.next()
		if f != nil {
			return f
		}
		switch t.kind {
		case tokEnd:
			return nil
		case tokObject:
			_ = enc.EncodeMapLen(int(lengths[0]))
			lengths = lengths[1:]
		case tokArray:
			_ = enc.EncodeArrayLen(int(lengths[0]))
			lengths = lengths[1:]
		case tokKey, tokString:
			_ = enc.EncodeString(string(unquote(data[t.start:t.end])))
		case tokTrue, tokFalse:
			_ = enc.EncodeBool(t.kind == tokTrue)
		case tokNull:
			_ = enc.EncodeNil()
		case tokNumber:
			n, ok := parseNumber(string(data[t.start:t.end]))
			if !ok {
				return faultf(t.start, "the number %s is out of range", clip(string(data[t.start:t.end])))
			}
			writeNumber(enc, n)
		}
	}
}

func writeNumber(enc *msgpack.Encoder, n number) {
	switch n.kind {
	case kindUint:
		_ = enc.EncodeUint(n.bits)
	case kindInt:
		_ = enc.EncodeInt(int64(n.bits))
	default:
		_ = enc.EncodeFloat64(math.Float64frombits(n.bits))
	}
}

// msgpackToJSON rewrites a MessagePack body that has passed a guard.
func msgpackToJSON(data []byte) []byte {
	var (
		out   = make([]byte, 0, len(data)+len(data)/2)
		left  [MaxDepth + 1]int32 // as in guardMsgpack
		isMap [MaxDepth + 1]bool
		depth int
		off   int
	)
	for {
		h := readHead(data[off:])
		body := off + h.size
		off = body
		switch h.kind {
		case kindNil:
			out = append(out, "null"...)
		case kindBool:
			if h.bits == 1 {
				out = append(out, "true"...)
			} else {
				out = append(out, "false"...)
			}
		case kindStr:
			off += h.n
			out = appendString(out, data[body:off])
		case kindArray, kindMap:
			depth++
			left[depth], isMap[depth] = int32(h.n), h.kind == kindMap
			if isMap[depth] {
				left[depth] *= 2
				out = append(out, '{')
			} else {
				out = append(out, '[')
			}
			if h.n > 0 {
				continue
			}
			left[depth] = 1 // nothing to come: the loop below closes it
		case kindBin, kindExt:
			off += h.n
			out = appendString(out, []byte(textOf(h, data[body:off])))
		default:
			out = appendNumber(out, h)
		}
		for depth > 0 {
			if left[depth]--; left[depth] > 0 {
				if isMap[depth] && left[depth]%2 == 1 {
					out = append(out, ':')
				} else {
					out = append(out, ',')
				}
				break
			}
			if isMap[depth] {
				out = append(out, '}')
			} else {
				out = append(out, ']')
			}
			depth--
		}
		if depth == 0 {
			return out
		}
	}
}

// textOf is what binary and timestamps are where there is only text: base64 and RFC 3339.
func textOf(h head, content []byte) string {
	if h.kind == kindBin {
		return base64.StdEncoding.EncodeToString(content)
	}
	t, _ := timestamp(content)
	return t.Format(time.RFC3339Nano)
}

// appendNumber writes a number so that it stays what it is: a float keeps a fraction or an exponent.
func appendNumber(out []byte, h head) []byte {
	switch h.kind {
	case kindInt:
		return strconv.AppendInt(out, int64(h.bits), 10)
	case kindUint:
		return strconv.AppendUint(out, h.bits, 10)
	}
	bits, f := 64, math.Float64frombits(h.bits)
	if h.kind == kindFloat32 {
		bits, f = 32, float64(math.Float32frombits(uint32(h.bits)))
	}
	if f == 0 && math.Signbit(f) {
		return append(out, "-0"...) // which reads as a float as well
	}
	start := len(out)
	out = appendFloat(out, f, bits)
	if n, ok := parseNumber(string(out[start:])); ok && n.kind != kindFloat64 {
		out = append(out, ".0"...)
	}
	return out
}

// appendString writes valid UTF-8 as a JSON string, with the escapes of encoding/json.
func appendString(out, text []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0xe2 {
			continue
		}
		if c == 0xe2 { // U+2028 and U+2029 end a line in JavaScript
			if text[i+1] == 0x80 && text[i+2]|1 == 0xa9 {
				out = append(out, text[start:i]...)
				out = append(out, `\u202`...)
				out = append(out, hex[text[i+2]&15])
				start = i + 3
			}
			i += 2
			continue
		}
		out = append(out, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\b':
			out = append(out, `\b`...)
		case '\f':
			out = append(out, `\f`...)
		case '\n':
			out = append(out, `\n`...)
		case '\r':
			out = append(out, `\r`...)
		case '\t':
			out = append(out, `\t`...)
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	out = append(out, text[start:]...)
	return append(out, '"')
}
