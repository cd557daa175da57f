package live

import (
	"net"
	"sync"
	"time"
)

// A patientConn gives each piece of what is written stall to go out, until its
// end is set: so a client may be slow but not stand still.
type patientConn struct {
	net.Conn
	stall time.Duration

	mu     sync.Mutex
	ending bool
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
