package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	handshakeLimit = 5 * time.Second
	// acceptPause is after a failed accept, which mostly means that the process
	// has no file descriptors left.
	acceptPause = 20 * time.Millisecond
)

// An intake is the listener that http.Server sees: it bounds the connections,
// makes the TLS handshakes beside each other, and puts a sniffer before HTTP/1.
type intake struct {
	net.Listener
	tls     *tls.Config // nil without TLS
	max     int
	perPeer int
	trusted proxies // may have any number of connections
	log     zerolog.Logger

	ready chan net.Conn
	life  context.Context // ends with the intake
	end   context.CancelFunc
	once  sync.Once
	work  sync.WaitGroup

	mu      sync.Mutex
	open    int
	peers   map[netip.Addr]int
	refused atomic.Uint64
}

func newIntake(l net.Listener, config *tls.Config, s *ServerConfig, log zerolog.Logger) *intake {
	t := &intake{
		Listener: l, tls: config, max: s.MaxConns, perPeer: s.MaxConnsPerClient, trusted: s.Proxies, log: log,
		ready: make(chan net.Conn), peers: make(map[netip.Addr]int),
	}
	t.life, t.end = context.WithCancel(context.Background())
	t.work.Go(t.run)
	return t
}

// Accept returns the next connection that may speak HTTP.
func (t *intake) Accept() (net.Conn, error) {
	select {
	case c := <-t.ready:
		return c, nil
	case <-t.life.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the intake, and the handshakes that are under way.
func (t *intake) Close() error {
	err := net.ErrClosed
	t.once.Do(func() {
		t.end()
		err = t.Listener.Close()
		t.work.Wait()
	})
	return err
}

func (t *intake) run() {
	for failed := uint64(0); ; {
		c, err := t.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if failed++; failed&(failed-1) == 0 { // as in admit
				t.log.Warn().Err(err).Uint64("failed", failed).Msg("connections could not be taken")
			}
			select {
			case <-time.After(acceptPause):
			case <-t.life.Done():
				return
			}
			continue
		}
		tracked, ok := t.admit(c)
		if !ok {
			_ = c.Close() // it is thrown away
			continue
		}
		if t.tls == nil {
			t.hand(&sniffer{Conn: tracked})
			continue
		}
		t.work.Go(func() { t.handshake(tracked) })
	}
}

func (t *intake) hand(c net.Conn) {
	select {
	case t.ready <- c:
	case <-t.life.Done():
		_ = c.Close() // it is thrown away
	}
}

// admit counts a connection, unless there are too many.
func (t *intake) admit(c net.Conn) (net.Conn, bool) {
	peer := netip.Addr{}
	if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		peer = at.Addr().Unmap()
	}
	// On this machine, and behind a proxy, an address is no client.
	counted := peer.IsValid() && !peer.IsLoopback() && !t.trusted.trust(peer)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= t.max || counted && t.peers[peer] >= t.perPeer {
		if n := t.refused.Add(1); n&(n-1) == 0 { // the first, the second, the fourth, …
			t.log.Warn().Uint64("refused", n).Int("open", t.open).Msg("connections are refused, as too many are open")
		}
		return nil, false
	}
	t.open++
	if counted {
		t.peers[peer]++
	}
	return &countedConn{Conn: c, done: func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open--
		if counted {
			if t.peers[peer]--; t.peers[peer] == 0 {
				delete(t.peers, peer)
			}
		}
	}}, true
}

// countedConn is a connection that is counted until it is closed.
type countedConn struct {
	net.Conn
	once sync.Once
	done func()
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}

// CloseWrite ends what the client reads, while it may still be sending.
func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite closes one half of a connection. net/http and WebSockets do it before
// they close the other, so that the last answer is read and no reset takes it away.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (t *intake) handshake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(t.life, handshakeLimit)
	defer cancel()
	c := tls.Server(raw, t.tls)
	err := c.HandshakeContext(ctx)
	if err != nil {
		t.log.Debug().Err(err).Str("remote", raw.RemoteAddr().String()).Msg("a TLS handshake has failed")
		if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && plainHTTP(e.RecordHeader) {
			_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = raw.Write([]byte("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nthis is https\n"))
		}
		_ = raw.Close() // it is thrown away
		return
	}
	switch c.ConnectionState().NegotiatedProtocol {
	case "h2":
		t.hand(c) // net/http wants to see this very type
	case "", "http/1.1":
		t.hand(secureSniffer{&sniffer{Conn: c}, c})
	default: // a challenge of ACME is over with the handshake
		_ = c.Close() // it is thrown away
	}
}

// plainHTTP reports whether the first bytes are a request without TLS.
func plainHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	}
	return false
}
