package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Version is the protocol version this package writes and reads.
const Version = 1

// Magic is the first byte of every frame. No JSON text and no msgpack value starts with it.
const Magic = 0xC1

// Bounds of the metadata of a frame; the plain spelling has the same.
const (
	MaxMetaPairs = 64       // pairs
	MaxMetaBytes = 16 << 10 // bytes of all keys and values together
)

// Expired in Frame.Timeout, or any negative time, says that no time is left.
const Expired time.Duration = -1

// ErrFrame is in the chain of errors for bytes that are not a valid frame of this version.
var ErrFrame = errors.New("invalid frame")

// ErrVersion is in the chain of errors for a frame of another protocol version.
var ErrVersion = errors.New("unknown frame version")

// FrameType says what a frame is.
type FrameType uint8

// The frame types of version 1.
const (
	FrameCall   FrameType = 1  // a request
	FrameReply  FrameType = 2  // its answer
	FrameError  FrameType = 3  // its failure; own layout, see ErrorFrame
	FrameOpen   FrameType = 4  // a request that opens a stream
	FrameAccept FrameType = 5  // the stream is open, frames go to the reply subject
	FrameData   FrameType = 6  // one message of a stream, or a part of one
	FrameCredit FrameType = 7  // what the peer may send
	FrameHalf   FrameType = 8  // no more data from this side
	FrameEnd    FrameType = 9  // the stream is over
	FrameCancel FrameType = 10 // stop
	FramePing   FrameType = 11 // are you there
	FramePong   FrameType = 12 // yes
	FrameBatch  FrameType = 13 // several frames in one message

	FrameStreamBatch FrameType = 14 // several messages of a stream
)

// String is the name of the type in lower case, "type(n)" for an unknown one.
func (t FrameType) String() string {
	switch t {
	case FrameCall:
		return "call"
	case FrameReply:
		return "reply"
	case FrameError:
		return "error"
	case FrameOpen:
		return "open"
	case FrameAccept:
		return "accept"
	case FrameData:
		return "data"
	case FrameCredit:
		return "credit"
	case FrameHalf:
		return "half"
	case FrameEnd:
		return "end"
	case FrameCancel:
		return "cancel"
	case FramePing:
		return "ping"
	case FramePong:
		return "pong"
	case FrameBatch:
		return "batch"
	case FrameStreamBatch:
		return "stream-batch"
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// Codec numbers of Frame.Codec.
const (
	CodecNone     uint8 = 0 // no payload, or one whose layout the type fixes
	CodecJSON     uint8 = 1
	CodecMsgpack  uint8 = 2
	CodecProtobuf uint8 = 3
	CodecRaw      uint8 = 4
)

// Flag bits, byte 3.
const (
	flagMeta    = 0x01
	flagTimeout = 0x02
	flagMore    = 0x04
	flagsKnown  = flagMeta | flagTimeout | flagMore
)

// Pair is one entry of the metadata. A key may occur several times; order is kept.
type Pair struct{ Key, Value string }

// Frame is one frame of any type but FrameError.
type Frame struct {
	Version uint8         // 0 is written as Version
	Type    FrameType     // any but FrameError
	More    bool          // the message goes on in the next frame
	Seq     uint64        // its meaning depends on the type
	Codec   uint8         // of the payload, one of the Codec constants; not checked by ParseFrame, so that the answer can name the codecs
	Timeout time.Duration // time left; 0 = not said; negative = none left (see Expired)
	Meta    []Pair        // see CheckMeta
	Payload []byte        // the rest of the frame
}

// Get returns the first value of key in the metadata, "" if there is none.
func (f *Frame) Get(key string) string {
	for i := range f.Meta {
		if f.Meta[i].Key == key {
			return f.Meta[i].Value
		}
	}
	return ""
}

// IsFrame reports whether a body starts as a frame does. A body with a Content-Type header is never a frame, whatever
// its first byte: check the header first.
func IsFrame(b []byte) bool { return len(b) > 0 && b[0] == Magic }

// TypeOf is the type byte of a frame of any version, 0 if b is not a frame. FrameError goes to ParseErrorFrame,
// everything else to ParseFrame.
func TypeOf(b []byte) FrameType {
	if !IsFrame(b) || len(b) < 4 {
		return 0
	}
	return FrameType(b[2])
}

// SeqOf is the sequence of a frame of this version, without a look at the rest of it; false if there is none.
func SeqOf(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != Magic || b[1] != Version {
		return 0, false
	}
	seq, n := binary.Uvarint(b[5:])
	return seq, n > 0
}

// CheckMeta returns nil if meta can travel: at most MaxMetaPairs pairs and MaxMetaBytes bytes, keys that are HTTP header
// names (RFC 9110 tokens), values without control characters other than tab. The rules are those of headers, so that
// metadata can leave a frame as headers without carrying further ones inside.
func CheckMeta(meta []Pair) error {
	if len(meta) > MaxMetaPairs {
		return fmt.Errorf("metadata: %d pairs, at most %d are allowed", len(meta), MaxMetaPairs)
	}
	size := 0
	for _, p := range meta {
		if size += len(p.Key) + len(p.Value); size > MaxMetaBytes {
			return fmt.Errorf("metadata: more than %d bytes of keys and values", MaxMetaBytes)
		}
		if !metaKey(p.Key) {
			return fmt.Errorf("metadata key %s: not a header name", quote(p.Key))
		}
		if !metaValue(p.Value) {
			return fmt.Errorf("metadata %s: the value contains a control character", quote(p.Key))
		}
	}
	return nil
}

func metaKey[T string | []byte](key T) bool {
	for i := range len(key) {
		c := key[i]
		if alnum(c) || c == '-' || c == '_' {
			continue
		}
		switch c {
		case '!', '#', '$', '%', '&', '\'', '*', '+', '.', '^', '`', '|', '~':
		default:
			return false
		}
	}
	return len(key) > 0
}

func metaValue[T string | []byte](value T) bool {
	for i := range len(value) {
		if c := value[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// AppendFrame appends the bytes of f to dst and returns the extended slice. It checks nothing: f.Type must not be
// FrameError, f.Meta must pass CheckMeta, or the peer will refuse the frame. The timeout is rounded up to milliseconds and
// cut to MaxTimeout.
func AppendFrame(dst []byte, f *Frame) []byte {
	version := f.Version
	if version == 0 {
		version = Version
	}
	var flags byte
	size := 16 + len(f.Payload)
	if len(f.Meta) > 0 {
		flags |= flagMeta
		for i := range f.Meta {
			size += len(f.Meta[i].Key) + len(f.Meta[i].Value) + 6
		}
	}
	if f.Timeout != 0 {
		flags |= flagTimeout
	}
	if f.More {
		flags |= flagMore
	}
	dst = slices.Grow(dst, size)
	dst = append(dst, Magic, version, byte(f.Type), flags, f.Codec)
	dst = binary.AppendUvarint(dst, f.Seq)
	if f.Timeout != 0 {
		dst = binary.AppendUvarint(dst, toMillis(f.Timeout))
	}
	if len(f.Meta) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(f.Meta)))
		for i := range f.Meta {
			dst = appendString(dst, f.Meta[i].Key)
			dst = appendString(dst, f.Meta[i].Value)
		}
	}
	return append(dst, f.Payload...)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// ParseFrame reads a frame of any type but FrameError. The payload aliases b; the rest is copied. With ErrVersion in the
// error's chain, Version, Type and More hold bytes 1 to 3 as they are; with ErrFrame, the frame is zero. It never panics,
// and allocates less than a small multiple of what b holds, whatever lengths b declares.
func ParseFrame(b []byte) (Frame, error) {
	head, err := parseHead(b)
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Version: head.version, Type: head.frameType, More: head.flags&flagMore != 0}
	switch {
	case head.version != Version:
		return f, fmt.Errorf("%w %d, want %d", ErrVersion, head.version, Version)
	case head.frameType == FrameError:
		return Frame{}, fmt.Errorf("%w: an error frame, which has a layout of its own", ErrFrame)
	case head.frameType < FrameCall || head.frameType > FrameStreamBatch:
		return Frame{}, fmt.Errorf("%w: unknown type %d", ErrFrame, head.frameType)
	case head.flags&^flagsKnown != 0:
		return Frame{}, fmt.Errorf("%w: unknown flags 0x%02x", ErrFrame, head.flags&^flagsKnown)
	case len(b) < 5:
		return Frame{}, fmt.Errorf("%w: ends before the codec", ErrFrame)
	}
	f.Codec = b[4]
	rest := b[5:]
	if f.Seq, rest, err = uvarint(rest, "sequence"); err != nil {
		return Frame{}, err
	}
	if head.flags&flagTimeout != 0 {
		var ms uint64
		if ms, rest, err = uvarint(rest, "timeout"); err != nil {
			return Frame{}, err
		}
		if f.Timeout = millis(ms); ms == 0 {
			f.Timeout = Expired
		}
	}
	if head.flags&flagMeta != 0 {
		if f.Meta, rest, err = parseMeta(rest); err != nil {
			return Frame{}, err
		}
	}
	f.Payload = rest
	return f, nil
}

// head is bytes 0 to 3, which are the same in every version.
type head struct {
	version   uint8
	frameType FrameType
	flags     byte
}

func parseHead(b []byte) (head, error) {
	if !IsFrame(b) {
		return head{}, fmt.Errorf("%w: the first byte is not 0x%02X", ErrFrame, Magic)
	}
	if len(b) < 4 {
		return head{}, fmt.Errorf("%w: %d bytes, the head alone has 4", ErrFrame, len(b))
	}
	return head{b[1], FrameType(b[2]), b[3]}, nil
}

// uvarint reads one minimal-length uvarint. A number has one spelling only, so that equal frames are equal bytes.
func uvarint(b []byte, what string) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, fmt.Errorf("%w: ends in the %s", ErrFrame, what)
	case n < 0:
		return 0, nil, fmt.Errorf("%w: the %s does not fit 64 bits", ErrFrame, what)
	case n > 1 && b[n-1] == 0:
		return 0, nil, fmt.Errorf("%w: the %s is longer than need be", ErrFrame, what)
	}
	return v, b[n:], nil
}

// parseMeta checks the whole metadata before it allocates: then two allocations hold it, the strings sharing one.
func parseMeta(b []byte) ([]Pair, []byte, error) {
	count, rest, err := uvarint(b, "metadata count")
	switch {
	case err != nil:
		return nil, nil, err
	case count == 0:
		return nil, nil, fmt.Errorf("%w: metadata flag without metadata", ErrFrame)
	case count > MaxMetaPairs:
		return nil, nil, fmt.Errorf("%w: %d metadata pairs, at most %d are allowed", ErrFrame, count, MaxMetaPairs)
	}
	pairs, size := rest, 0
	for range count {
		var key, value []byte
		if key, rest, err = lengthed(rest, "metadata key length"); err != nil {
			return nil, nil, err
		}
		if value, rest, err = lengthed(rest, "metadata value length"); err != nil {
			return nil, nil, err
		}
		if size += len(key) + len(value); size > MaxMetaBytes {
			return nil, nil, fmt.Errorf("%w: metadata of more than %d bytes", ErrFrame, MaxMetaBytes)
		}
		if !metaKey(key) {
			return nil, nil, fmt.Errorf("%w: metadata key %s is not a header name", ErrFrame, quote(string(key)))
		}
		if !metaValue(value) {
			return nil, nil, fmt.Errorf("%w: metadata %s contains a control character", ErrFrame, quote(string(key)))
		}
	}
	text := string(pairs[:len(pairs)-len(rest)])
	meta, at := make([]Pair, count), 0
	next := func() string {
		n, w := binary.Uvarint(pairs[at:])
		at += w + int(n)
		return text[at-int(n) : at]
	}
	for i := range meta {
		meta[i].Key = next()
		meta[i].Value = next()
	}
	return meta, rest, nil
}

// lengthed reads a uvarint length and that many bytes, which alias b. length names the field for errors as "<field> length":
// adding the word here would allocate with every field.
func lengthed(b []byte, length string) (field, rest []byte, err error) {
	n, rest, err := uvarint(b, length)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: %s of %d bytes, %d are left", ErrFrame, strings.TrimSuffix(length, " length"), n, len(rest))
	}
	return rest[:n:n], rest[n:], nil
}
