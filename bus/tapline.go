package bus

import (
	"bytes"
	"strconv"
)

// A msgLine is the head of a message: MSG <subject> <sid> [reply] <size>.
type msgLine struct {
	subject, reply []byte
	sid            uint64
	size           int
}

// parseMsg reads the line of a message from the subject on.
func parseMsg(line []byte) (m msgLine, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	i := bytes.IndexByte(line, ' ')
	if i <= 0 {
		return m, false
	}
	m.subject, line = line[:i], line[i+1:]
	if i = bytes.IndexByte(line, ' '); i <= 0 {
		return m, false
	}
	if m.sid, ok = parseUint(line[:i]); !ok {
		return m, false
	}
	line = line[i+1:]
	if i = bytes.IndexByte(line, ' '); i > 0 {
		m.reply, line = line[:i], line[i+1:]
	}
	size, ok := parseUint(line)
	m.size = int(size)
	return m, ok
}

// lastNumber is the one that a line ends with.
func lastNumber(line []byte) (int, bool) {
	line = bytes.TrimRight(line, "\r\n")
	n, ok := parseUint(line[bytes.LastIndexByte(line, ' ')+1:])
	return int(n), ok
}

// parseUint reads a number of at most nine digits, which is more than there are
// bytes in a message or subscriptions on a connection.
func parseUint(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

// A writeScan follows the operations that NATS writes.
type writeScan struct {
	begun bool
	skip  int // bytes of a message that are still to come
}

// learn notes those subscriptions in what NATS writes whose messages it takes. A connection that does not
// begin with CONNECT is not in plain text, and what cannot be followed ends the
// learning: then NATS gets everything. learn reports whether the replies were
// among the subscriptions.
func (t *tap) learn(b []byte) (replies bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(b) == 0 {
		return false
	}
	if !t.seen.begun {
		t.seen.begun = true
		if !bytes.HasPrefix(b, []byte("CONNECT ")) {
			t.blind.Store(true)
			return false
		}
	}
	for len(b) > 0 {
		if n := min(t.seen.skip, len(b)); n > 0 {
			t.seen.skip -= n
			b = b[n:]
			continue
		}
		eol := bytes.IndexByte(b, '\n')
		if eol < 0 {
			t.blind.Store(true)
			return false
		}
		line := b[:eol+1]
		b = b[eol+1:]
		switch {
		case bytes.HasPrefix(line, []byte("PUB ")), bytes.HasPrefix(line, []byte("HPUB ")):
			size, ok := lastNumber(line)
			if !ok {
				t.blind.Store(true)
				return false
			}
			t.seen.skip = size + 2
		case bytes.HasPrefix(line, []byte("SUB ")):
			fields := bytes.Split(bytes.TrimRight(line, "\r\n"), []byte(" "))
			if len(fields) != 4 {
				continue
			}
			key := groupKey{string(fields[1]), string(fields[2])}
			to := target{replies: key == groupKey{subject: t.mux.prefix + "*"}}
			replies = replies || to.replies
			if !to.replies {
				to.group = t.lane.find(key)
			}
			if to != (target{}) && len(t.subs) < maxKnown {
				t.subs[string(fields[3])] = to
			}
		}
	}
	return replies
}
