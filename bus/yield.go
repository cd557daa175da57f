package bus

import (
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// In a process whose goroutines compute, a yield may last as long as the
// scheduler lets them. One of more than longYield is followed by none for
// yieldRest times as long, so that this costs a hundredth at most.
const (
	longYield = 5 * time.Millisecond
	yieldRest = 100
)

// A yieldingConn lets other goroutines run before it writes. NATS holds the
// connection's lock meanwhile, so whoever is about to publish comes to wait for
// that lock, and all of them ride the write after this one: under load there are
// several calls in a write in place of one, which is most of what a call costs.
type yieldingConn struct {
	net.Conn
	made  time.Time
	until atomic.Int64 // no yield before this, after made
}

func yielding(conn net.Conn) net.Conn { return &yieldingConn{Conn: conn, made: time.Now()} }

func (c *yieldingConn) Write(b []byte) (int, error) {
	if now := time.Since(c.made); int64(now) >= c.until.Load() {
		runtime.Gosched()
		if took := time.Since(c.made) - now; took > longYield {
			c.until.Store(int64(now + yieldRest*took))
		}
	}
	return c.Conn.Write(b)
}

// A yieldingDialer makes yielding connections of those of another dialer.
type yieldingDialer struct{ nats.CustomDialer }

// Dial connects to one broker address.
func (d yieldingDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.CustomDialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return yielding(conn), nil
}

// SkipTLSHandshake passes on what NATS asks of a dialer that does TLS itself.
func (d yieldingDialer) SkipTLSHandshake() bool {
	own, ok := d.CustomDialer.(interface{ SkipTLSHandshake() bool })
	return ok && own.SkipTLSHandshake()
}

// A yieldingProvider makes yielding connections of those within the process.
type yieldingProvider struct{ nats.InProcessConnProvider }

// InProcessConn connects to the broker in this process.
func (p yieldingProvider) InProcessConn() (net.Conn, error) {
	conn, err := p.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	return yielding(conn), nil
}
