package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the text of an error.
const (
	MaxCodeBytes    = 255  // bytes of ErrorFrame.Code
	MaxMessageBytes = 4096 // bytes of a message as CleanMessage leaves it
)

// ErrorFrame is a frame of type FrameError. Its layout is the same in every version of the protocol, so that any two
// peers can tell each other what went wrong.
type ErrorFrame struct {
	Seq     uint64 // of the frame it answers, 0 if that could not be read
	Status  uint16 // HTTP status number
	Retry   Retry
	Code    string // code name such as "not_found"
	Message string // for people, one line
	Detail  []byte // JSON, or empty; not checked here
}

// CleanMessage makes a message fit for the wire, where it is a header or part of a frame: control characters, line breaks
// and bytes that are not UTF-8 become spaces, and what exceeds MaxMessageBytes is cut at a character, with "…".
func CleanMessage(message string) string {
	if strings.IndexFunc(message, unprintable) >= 0 {
		message = strings.Map(func(r rune) rune {
			if unprintable(r) {
				return ' '
			}
			return r
		}, message)
	}
	if len(message) <= MaxMessageBytes {
		return message
	}
	cut := MaxMessageBytes - len("…")
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…"
}

func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// AppendErrorFrame appends the bytes of e to dst and returns the extended slice. The message goes through CleanMessage,
// a code longer than MaxCodeBytes is cut.
func AppendErrorFrame(dst []byte, e *ErrorFrame) []byte {
	code, message := e.Code, CleanMessage(e.Message)
	if len(code) > MaxCodeBytes {
		code = code[:MaxCodeBytes]
	}
	dst = slices.Grow(dst, 32+len(code)+len(message)+len(e.Detail))
	dst = append(dst, Magic, Version, byte(FrameError), 0)
	dst = binary.AppendUvarint(dst, e.Seq)
	dst = binary.BigEndian.AppendUint16(dst, e.Status)
	dst = binary.AppendUvarint(dst, uint64(e.Retry))
	dst = append(dst, byte(len(code)))
	dst = append(dst, code...)
	dst = appendString(dst, message)
	return append(dst, e.Detail...)
}

// ParseErrorFrame reads a frame of type FrameError, of whatever version: the layout never changes. Detail aliases b, the
// rest is copied. Code and message are as the peer wrote them: unknown codes, long messages and control characters are
// possible, so that no error is lost for its form. Errors have ErrFrame in their chain; it never panics.
func ParseErrorFrame(b []byte) (ErrorFrame, error) {
	h, err := parseHead(b)
	switch {
	case err != nil:
		return ErrorFrame{}, err
	case h.frameType != FrameError:
		return ErrorFrame{}, fmt.Errorf("%w: type %s, not an error frame", ErrFrame, h.frameType)
	case h.flags != 0:
		return ErrorFrame{}, fmt.Errorf("%w: flags 0x%02x in an error frame", ErrFrame, h.flags)
	}
	var e ErrorFrame
	rest := b[4:]
	if e.Seq, rest, err = uvarint(rest, "sequence"); err != nil {
		return ErrorFrame{}, err
	}
	if len(rest) < 2 {
		return ErrorFrame{}, fmt.Errorf("%w: ends in the status", ErrFrame)
	}
	e.Status, rest = binary.BigEndian.Uint16(rest), rest[2:]
	var retry uint64
	if retry, rest, err = uvarint(rest, "retry"); err != nil {
		return ErrorFrame{}, err
	}
	e.Retry = Retry(retry)
	if len(rest) == 0 || int(rest[0]) > len(rest)-1 {
		return ErrorFrame{}, fmt.Errorf("%w: ends in the code", ErrFrame)
	}
	n := 1 + int(rest[0])
	e.Code, rest = string(rest[1:n]), rest[n:]
	message, rest, err := lengthed(rest, "message length")
	if err != nil {
		return ErrorFrame{}, err
	}
	e.Message = string(message)
	if len(rest) > 0 {
		e.Detail = rest
	}
	return e, nil
}
