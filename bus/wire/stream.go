package wire

import (
	"encoding/binary"
	"fmt"
)

// Metadata of bodies that travel in parts.
const (
	MetaSize   = "Mbus-Size"   // bytes of the whole body, decimal, where it begins
	MetaCRC32C = "Mbus-Crc32c" // CRC-32C (Castagnoli) of the whole body, 8 hex digits, where it ends
)

// A Credit says up to where the peer may send, counted from the start of a stream: a later one repeats or widens an
// earlier one, so that a lost or doubled frame does no harm.
type Credit struct {
	Seq   uint64 // sequence of the last DATA frame allowed
	Bytes uint64 // payload bytes of all DATA frames together
}

// Open is the payload of a FrameOpen.
type Open struct {
	Window  Credit // what the server may send before it hears more
	Half    bool   // the caller sends nothing after this
	Call    bool   // the method is unary; what follows is its body in parts
	First   bool   // Message is there: it counts as the DATA frame 1
	Message []byte
}

const (
	openFirst = 1 << iota
	openHalf
	openCall
	openKnown = openFirst | openHalf | openCall
)

// Accept is the payload of a FrameAccept.
type Accept struct {
	Window Credit // what the caller may send; the first message of the Open is counted
	ID     string // of the instance
}

// Ping is the payload of a FramePing and of a FramePong. Their sequence is that of the last DATA frame received in order.
type Ping struct {
	Window Credit
	Sent   uint64 // sequence of the last DATA frame sent
}

// AppendCredit appends the payload of a FrameCredit to dst: two uvarints.
func AppendCredit(dst []byte, c Credit) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, c.Seq), c.Bytes)
}

// AppendOpen appends the payload of a FrameOpen to dst: the window, a uvarint of flags, the first message.
func AppendOpen(dst []byte, o *Open) []byte {
	var flags uint64
	if o.First {
		flags |= openFirst
	}
	if o.Half {
		flags |= openHalf
	}
	if o.Call {
		flags |= openCall
	}
	dst = binary.AppendUvarint(AppendCredit(dst, o.Window), flags)
	if o.First {
		dst = append(dst, o.Message...)
	}
	return dst
}

// AppendAccept appends the payload of a FrameAccept to dst: the window, and the id with its length as a uvarint.
func AppendAccept(dst []byte, a *Accept) []byte {
	return appendString(AppendCredit(dst, a.Window), a.ID)
}

// AppendPing appends the payload of a FramePing or FramePong to dst: three uvarints.
func AppendPing(dst []byte, p *Ping) []byte {
	return binary.AppendUvarint(AppendCredit(dst, p.Window), p.Sent)
}

// ParseOpen reads the payload of a FrameOpen. Message aliases b. Errors have ErrFrame in their chain.
func ParseOpen(b []byte) (Open, error) {
	var o Open
	rest, err := parseCredit(b, &o.Window)
	if err != nil {
		return Open{}, err
	}
	flags, rest, err := uvarint(rest, "flags of the stream")
	if err != nil {
		return Open{}, err
	}
	o.First, o.Half, o.Call = flags&openFirst != 0, flags&openHalf != 0, flags&openCall != 0
	switch {
	case flags&^openKnown != 0:
		return Open{}, fmt.Errorf("%w: unknown flags 0x%02x of a stream", ErrFrame, flags&^openKnown)
	case o.First:
		o.Message = rest
	case len(rest) > 0:
		return Open{}, fmt.Errorf("%w: %d bytes behind the flags of a stream without a first message", ErrFrame, len(rest))
	}
	return o, nil
}

// ParseAccept reads the payload of a FrameAccept. Errors have ErrFrame in their chain.
func ParseAccept(b []byte) (Accept, error) {
	var a Accept
	rest, err := parseCredit(b, &a.Window)
	if err != nil {
		return Accept{}, err
	}
	id, rest, err := lengthed(rest, "instance length")
	if err != nil {
		return Accept{}, err
	}
	a.ID = string(id)
	return a, ended(rest)
}

// ParseCredit reads the payload of a FrameCredit. Errors have ErrFrame in their chain.
func ParseCredit(b []byte) (Credit, error) {
	var c Credit
	rest, err := parseCredit(b, &c)
	if err != nil {
		return Credit{}, err
	}
	return c, ended(rest)
}

// ParsePing reads the payload of a FramePing or FramePong. Errors have ErrFrame in their chain.
func ParsePing(b []byte) (Ping, error) {
	var p Ping
	rest, err := parseCredit(b, &p.Window)
	if err != nil {
		return Ping{}, err
	}
	if p.Sent, rest, err = uvarint(rest, "sequence sent"); err != nil {
		return Ping{}, err
	}
	return p, ended(rest)
}

func parseCredit(b []byte, c *Credit) (rest []byte, err error) {
	if c.Seq, rest, err = uvarint(b, "credit of frames"); err != nil {
		return nil, err
	}
	c.Bytes, rest, err = uvarint(rest, "credit of bytes")
	return rest, err
}

func ended(rest []byte) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrFrame, len(rest))
	}
	return nil
}
