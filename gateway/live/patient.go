package live

import (
	"io"
	"net"
	"sync"
	"time"
)

// maxUnheard is how much of what a client still sends is read at the end.
const maxUnheard = 4 << 20

// A patientConn is the connection under a WebSocket. It gives each piece of what
// is written stall to go out, until its end is set: so a client may be slow but
// not stand still. What is read has passed the guard.
type patientConn struct {
	net.Conn
	stall time.Duration
	early []byte // read already, together with the handshake
	guard frameGuard

	mu     sync.Mutex
	ending bool

	closing sync.Once
	closed  error // what Close returns
}

// Read reads what the guard lets pass.
func (c *patientConn) Read(p []byte) (int, error) {
	var n int
	var err error
	if len(c.early) > 0 {
		n = copy(p, c.early)
		c.early = c.early[n:]
	} else {
		n, err = c.Conn.Read(p)
	}
	if good, wrong := c.guard.scan(p[:n]); wrong != nil {
		if good > 0 {
			return good, nil
		}
		return 0, wrong
	}
	return n, err
}

// Write writes p in pieces.
func (c *patientConn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		c.mu.Lock()
		if !c.ending {
			_ = c.SetWriteDeadline(time.Now().Add(c.stall)) // fails only on a closed connection
		}
		c.mu.Unlock()
		n, err := c.Conn.Write(p[done:min(done+piece, len(p))])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// hear sets how long the client may send nothing.
func (c *patientConn) hear(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		_ = c.SetReadDeadline(time.Now().Add(d)) // fails only on a closed connection
	}
}

// end gives everything on the connection until at to be done.
func (c *patientConn) end(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.ending = true
		_ = c.SetDeadline(at) // fails only on a closed connection
	}
}

// abandon makes everything on the connection fail at once.
func (c *patientConn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	_ = c.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
}

// Close closes the connection. A client that has not said its own close may still
// be sending, and a connection that is closed over bytes that nobody has read is
// reset, which takes our close and its reason from the client. So what it sends is
// read until it ends, for farewell at most.
func (c *patientConn) Close() error {
	c.closing.Do(func() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && !c.guard.ended.Load() {
			c.end(time.Now().Add(farewell))
			if half.CloseWrite() == nil {
				_, _ = io.CopyN(io.Discard, c.Conn, maxUnheard) // it ends as it likes
			}
		}
		c.closed = c.Conn.Close()
	})
	return c.closed
}
