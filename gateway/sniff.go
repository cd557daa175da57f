package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"sync/atomic"
)

const (
	maxSniffedLine  = 9 << 10 // of a request; longer ones are refused by their length
	maxSniffedField = 256     // enough for the two fields that count
)

// A sniffer is a connection of HTTP/1 that looks at the headers on their way to
// net/http, which hides what it resolves by itself: a request with both
// Content-Length and Transfer-Encoding, and Transfer-Encoding in HTTP/1.0. Who
// stands in front may have taken the other of the two, so such a request is made
// one that net/http refuses with 400, and the connection ends with it.
//
// It need only agree with net/http on where a request ends if net/http accepts
// it.
type sniffer struct {
	net.Conn
	released atomic.Bool // the bytes are no HTTP any more

	at    sniffing
	line  []byte // what came of a line so far
	over  bool   // the line is longer than what is kept of it
	body  int64  // bytes left of it
	head  sniffedHead
	after []byte // what net/http reads next, instead of what came
	ended bool

	short *shortcut // nil without one
	// How many requests net/http has been shown, and how many it has done with.
	shown, done uint64
}

type sniffing int

const (
	sniffRequest sniffing = iota
	sniffHeader
	sniffBody
	sniffNothing // what follows is not looked at: the connection ends with this request
)

type sniffedHead struct {
	http10      bool
	length      int64
	hasLength   bool
	hasEncoding bool
	framing     bool // the last field was one of the two
	bad         bool
}

// A secureSniffer is one over TLS. Only it may have ConnectionState: net/http takes
// a connection with this method for one of TLS, whatever the state is.
type secureSniffer struct {
	*sniffer
	tls *tls.Conn
}

// ConnectionState is that of TLS, for net/http.
func (s secureSniffer) ConnectionState() tls.ConnectionState { return s.tls.ConnectionState() }

// release ends the looking, when the connection becomes something else.
func (s *sniffer) release() {
	s.released.Store(true)
	if s.short != nil {
		s.short.release()
	}
}

// shorten gives the connection a shortcut, before its first byte is read.
func (s *sniffer) shorten(ctx context.Context, all *shortcuts) {
	s.short = all.open(ctx, s.Conn, nil)
}

// shorten is that of the sniffer.
func (s secureSniffer) shorten(ctx context.Context, all *shortcuts) {
	state := s.tls.ConnectionState()
	s.short = all.open(ctx, s.Conn, &state)
}

// rested says that net/http has answered a request and waits for the next.
func (s *sniffer) rested() { s.done++ }

// between reports whether the next byte begins a request: net/http has done with all
// that it was shown.
func (s *sniffer) between() bool {
	return s.at == sniffRequest && len(s.line) == 0 && !s.over && s.shown == s.done && !s.ended
}

// Close closes the connection, after the answer that is on its way.
func (s *sniffer) Close() error {
	if s.short != nil && !s.short.close() {
		return nil
	}
	return s.Conn.Close()
}

// CloseWrite ends what the client reads, while it may still be sending.
func (s *sniffer) CloseWrite() error { return closeWrite(s.Conn) }

// Read reads what net/http is to see.
func (s *sniffer) Read(p []byte) (int, error) {
	if len(s.after) > 0 {
		n := copy(p, s.after)
		s.after = s.after[n:]
		return n, nil
	}
	if s.ended {
		return 0, io.EOF
	}
	var n int
	var err error
	if s.short != nil && len(p) >= minShortcut && s.between() {
		n, err = s.short.read(p)
	} else {
		n, err = s.Conn.Read(p)
	}
	if n == 0 || s.released.Load() {
		return n, err
	}
	if cut, bad := s.scan(p[:n]); bad {
		s.ended, s.after = true, []byte(":\r\n\r\n") // no field has this name
		if cut == 0 {
			return s.Read(p)
		}
		return cut, nil
	}
	return n, err
}

// scan follows the requests in data. When one is bad it returns where its last,
// empty line begins.
func (s *sniffer) scan(data []byte) (cut int, bad bool) {
	for i := 0; i < len(data); {
		switch s.at {
		case sniffNothing:
			return 0, false
		case sniffBody:
			n := min(s.body, int64(len(data)-i))
			s.body -= n
			i += int(n)
			if s.body == 0 {
				s.at = sniffRequest
			}
			continue
		}
		end := bytes.IndexByte(data[i:], '\n')
		if end < 0 {
			s.keep(data[i:])
			return 0, false
		}
		s.keep(data[i : i+end])
		if s.endOfLine() {
			return i, true
		}
		i += end + 1
	}
	return 0, false
}

func (s *sniffer) keep(part []byte) {
	room := maxSniffedField
	if s.at == sniffRequest {
		room = maxSniffedLine
	}
	if room -= len(s.line); len(part) > room {
		part, s.over = part[:room], true
	}
	s.line = append(s.line, part...)
}

// endOfLine takes in a line that has come whole, and reports whether it ends the
// header of a request that is to be refused.
func (s *sniffer) endOfLine() bool {
	line := bytes.TrimSuffix(s.line, []byte("\r"))
	over := s.over
	s.line, s.over = s.line[:0], false
	if s.at == sniffRequest {
		switch {
		case over:
			s.at = sniffNothing
		case len(line) > 0: // empty ones between requests are skipped, as some clients send them
			s.head = sniffedHead{http10: bytes.HasSuffix(line, []byte(" HTTP/1.0"))}
			s.at = sniffHeader
		}
		return false
	}
	if len(line) > 0 {
		s.head.field(line, over)
		return false
	}
	h := &s.head
	s.shown++
	switch {
	case h.bad, h.hasEncoding && (h.hasLength || h.http10):
		return true
	case h.hasEncoding: // the edge closes the connection after the answer
		s.at = sniffNothing
	case h.length > 0:
		s.at, s.body = sniffBody, h.length
	default:
		s.at = sniffRequest
	}
	return false
}

// field takes in a field of the header.
func (h *sniffedHead) field(line []byte, over bool) {
	if line[0] == ' ' || line[0] == '\t' {
		// A folded line belongs to the field before it. Nobody honest folds these.
		h.bad = h.bad || h.framing
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	h.framing = false
	switch {
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.hasEncoding, h.framing = true, true
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 63)
		switch {
		case err != nil || over:
			h.bad = true
		case !h.hasLength:
			h.length = int64(n)
		case h.length != int64(n):
			h.bad = true
		}
		h.hasLength, h.framing = true, true
	}
}
