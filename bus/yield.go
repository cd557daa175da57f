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

// A yielder lets other goroutines run, unless that has taken long lately.
type yielder struct {
	made  time.Time
	until atomic.Int64 // no yield before this, after made
}

// yield lets others run. A long yield is worth it if it has gathered much, which
// gathered tells if it is not nil.
func (y *yielder) yield(gathered func() int) {
	now := time.Since(y.made)
	if int64(now) < y.until.Load() {
		return
	}
	runtime.Gosched()
	if took := time.Since(y.made) - now; took > longYield && (gathered == nil || gathered() < worthYield) {
		y.until.Store(int64(now + yieldRest*took))
	}
}

// A yieldingConn lets other goroutines run before it writes. NATS holds the
// connection's lock meanwhile, so whoever is about to publish comes to wait for
// that lock, and all of them ride the write after this one: under load there are
// several calls in a write in place of one, which is most of what a call costs.
type yieldingConn struct {
	net.Conn
	yielder
}

func yielding(conn net.Conn) *yieldingConn {
	return &yieldingConn{Conn: conn, yielder: yielder{made: time.Now()}}
}

func (c *yieldingConn) Write(b []byte) (int, error) {
	c.yield(nil)
	return c.Conn.Write(b)
}

// A yieldingDialer makes yielding connections of those of another dialer, and
// has them tapped.
type yieldingDialer struct {
	nats.CustomDialer
	tap func(net.Conn) net.Conn
}

// Dial connects to one broker address.
func (d yieldingDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.CustomDialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return d.tap(conn), nil
}

// SkipTLSHandshake passes on what NATS asks of a dialer that does TLS itself.
func (d yieldingDialer) SkipTLSHandshake() bool {
	own, ok := d.CustomDialer.(interface{ SkipTLSHandshake() bool })
	return ok && own.SkipTLSHandshake()
}

// A yieldingProvider does the same with those within the process.
type yieldingProvider struct {
	nats.InProcessConnProvider
	tap func(net.Conn) net.Conn
}

// InProcessConn connects to the broker in this process.
func (p yieldingProvider) InProcessConn() (net.Conn, error) {
	conn, err := p.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	return p.tap(conn), nil
}
