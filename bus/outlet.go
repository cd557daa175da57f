package bus

import (
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

const (
	// outletRoom is how much waits for the socket before whoever sends more does
	// so.
	outletRoom = 64 << 10
	// maxKeptOut bounds the buffers kept for what is sent next.
	maxKeptOut = 512 << 10
	// worthYield messages or more in one write make up for any yield before it.
	worthYield = 8
)

// An outlet sends messages beside NATS on the same connection. NATS holds its
// lock while it writes to the socket, and under load everybody who sends comes
// to wait for it; here they only put their message behind the others, and one
// goroutine writes what has gathered. What NATS writes goes out behind what was
// sent here before.
type outlet struct {
	kick chan struct{} // has room for one
	turn chan struct{} // holds one, which who writes takes

	mu     sync.Mutex
	open   bool
	ended  bool
	buf    []byte
	spare  []byte
	number int // of messages in buf
}

// send sends a message, or reports false if NATS has to. The reply subject is
// reply, and after it the token of key unless that is 0.
func (t *tap) send(subject, reply string, key uint64, data []byte) bool {
	o := &t.out
	o.mu.Lock()
	for o.open && len(o.buf) >= outletRoom {
		o.mu.Unlock()
		_ = t.flush() // NATS finds out that the connection is broken
		o.mu.Lock()
	}
	if !o.open {
		o.mu.Unlock()
		return false
	}
	b := append(o.buf, "PUB "...)
	b = append(append(b, subject...), ' ')
	if reply != "" {
		b = append(b, reply...)
		if key != 0 {
			b = appendToken(b, key)
		}
		b = append(b, ' ')
	}
	b = append(strconv.AppendInt(b, int64(len(data)), 10), "\r\n"...)
	o.buf = append(append(b, data...), "\r\n"...)
	o.number++
	if o.number == 1 {
		select {
		case o.kick <- struct{}{}:
		default: // it is kicked already
		}
	}
	o.mu.Unlock()
	return true
}

// write writes what is sent, until the connection is closed.
func (t *tap) write() {
	for range t.out.kick {
		t.yielder.yield(t.gathered)
		if t.flush() != nil {
			return
		}
	}
}

// gathered is how many messages wait to be written.
func (t *tap) gathered() int {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	return t.out.number
}

// flush writes what waits.
func (t *tap) flush() error {
	<-t.out.turn
	defer func() { t.out.turn <- struct{}{} }()
	_, err := t.writeBehind(nil)
	return err
}

// writeBehind writes what waits and then b. Whoever calls it has the turn.
func (t *tap) writeBehind(b []byte) (int, error) {
	o := &t.out
	o.mu.Lock()
	buf := o.buf
	o.buf, o.spare, o.number = o.spare[:0], nil, 0
	o.mu.Unlock()
	all := b
	if len(buf) > 0 {
		buf = append(buf, b...)
		all = buf
	}
	n := 0
	var err error
	if len(all) > 0 {
		switch n, err = t.yielder.Conn.Write(all); {
		case err == nil:
			n = len(b)
		case len(buf) > 0:
			// It may end inside a message, of which NATS knows nothing; it connects
			// anew.
			n, _ = 0, t.yielder.Close()
		}
	}
	if cap(buf) <= maxKeptOut {
		o.mu.Lock()
		o.spare = buf
		o.mu.Unlock()
	}
	return n, err
}

// publish sends beside NATS where it can.
func (c *Conn) publish(subject, reply string, header nats.Header, data []byte) error {
	if header == nil && c.sendBeside(subject, reply, 0, data) {
		return nil
	}
	return c.publishByNATS(subject, reply, header, data)
}

// sendBeside sends a message past NATS, or reports false. What NATS was given
// before and has not written yet is not overtaken.
func (c *Conn) sendBeside(subject, reply string, key uint64, data []byte) bool {
	t := c.beside.Load()
	if t == nil || len(data) > c.MaxPayload() || subject == "" || !plain(subject) || !plain(reply) {
		return false
	}
	if n, err := c.nc.Buffered(); n != 0 || err != nil {
		return false
	}
	if int64(len(data)) > c.nc.MaxPayload() { // of a broker that the Conn has yet to hear of
		return false
	}
	return t.send(subject, reply, key, data)
}

// plain reports whether nothing in a subject ends it.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' {
			return false
		}
	}
	return true
}
