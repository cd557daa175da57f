package live

import (
	"encoding/binary"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// maxFragments is the most frames that one message may come in.
const maxFragments = 16384

const (
	opContinuation = 0x0
	opClose        = 0x8

	maxControl = 125
)

// A frameGuard watches the frames of a client for what the library lets pass:
// lengths in a longer form than they need, messages in frames without end, and a
// close whose reason is not UTF-8. RFC 6455 wants an end of the first and the
// last, in sections 5.2 and 8.1.
type frameGuard struct {
	head      [14]byte
	have      int // bytes of head
	opcode    byte
	mask      []byte // none, or the last four bytes of head
	left      uint64 // bytes of the payload that are still to come
	reason    []byte // of a close: its payload so far
	fragments int
	broken    error
	ended     atomic.Bool // the client has said its close
}

// scan looks at the next bytes and returns how many of them may be read. With an
// error those are what comes before the frame that is wrong.
func (g *frameGuard) scan(p []byte) (int, error) {
	if g.broken != nil {
		return 0, g.broken
	}
	start := 0 // of the frame, in p
	for i := 0; i < len(p); {
		if g.left == 0 && g.have == 0 {
			start = i
		}
		if g.left == 0 {
			g.head[g.have] = p[i]
			g.have++
			i++
			if g.have == g.need() {
				g.broken = g.begin()
			}
		} else {
			n := int(min(g.left, uint64(len(p)-i)))
			if g.opcode == opClose {
				g.reason = append(g.reason, p[i:i+n]...)
			}
			i += n
			g.left -= uint64(n)
			if g.left == 0 {
				g.broken = g.end()
			}
		}
		if g.broken != nil {
			return start, g.broken
		}
	}
	return len(p), nil
}

// need is how many bytes the head has, as far as is known.
func (g *frameGuard) need() int {
	n := 2
	if g.have >= 2 {
		switch g.head[1] & 0x7f {
		case 126:
			n += 2
		case 127:
			n += 8
		}
		if g.head[1]&0x80 != 0 {
			n += 4
		}
	}
	return n
}

// begin judges a frame by its whole head.
func (g *frameGuard) begin() error {
	g.opcode, g.reason = g.head[0]&0xf, nil
	least := uint64(0)
	switch short := uint64(g.head[1] & 0x7f); short {
	case 126:
		g.left, least = uint64(binary.BigEndian.Uint16(g.head[2:])), maxControl+1
	case 127:
		g.left, least = binary.BigEndian.Uint64(g.head[2:]), 1<<16
	default:
		g.left = short
	}
	if g.left < least || g.left > 1<<63-1 {
		return &closing{websocket.StatusProtocolError, "a length in the wrong form"}
	}
	g.mask = nil
	if g.head[1]&0x80 != 0 {
		g.mask = g.head[g.have-4 : g.have]
	}
	g.have = 0
	switch {
	case g.opcode == opClose && g.left > maxControl:
		g.opcode = opContinuation // the library refuses it
	case g.opcode == opClose && g.left == 0:
		return g.end()
	case g.opcode < opClose:
		g.fragments++
		if g.head[0]&0x80 != 0 {
			g.fragments = 0
		}
		if g.fragments > maxFragments {
			return &closing{websocket.StatusPolicyViolation, "too many fragments"}
		}
	}
	return nil
}

// end judges a frame by its payload.
func (g *frameGuard) end() error {
	if g.opcode != opClose {
		return nil
	}
	g.ended.Store(true)
	if len(g.reason) < 2 {
		return nil
	}
	if len(g.mask) == 4 {
		for i := range g.reason {
			g.reason[i] ^= g.mask[i%4]
		}
	}
	if !utf8.Valid(g.reason[2:]) {
		return &closing{websocket.StatusInvalidFramePayloadData, "invalid UTF-8"}
	}
	return nil
}
