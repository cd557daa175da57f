package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// minShortcut is the least room for a request. net/http reads a byte at a time
	// while it serves one, and that must not become the next.
	minShortcut = 2 << 10
	// watchAfter is how long a request may take before somebody looks whether its
	// client is still there.
	watchAfter = 10 * time.Millisecond
	// maxKeptReply bounds the memory that a connection keeps for its next answer.
	maxKeptReply = 16 << 10
)

// Shortcuts are what the connections of a server have in common.
type shortcuts struct {
	handler  http.Handler
	requests *requests // of the server

	dated atomic.Pointer[dated]

	mu    sync.Mutex
	conns map[*shortcut]struct{} // those that are open; the intake bounds them
}

// A dated is the time of a second as answers have it.
type dated struct {
	second int64
	text   string
}

func (s *shortcuts) date(now time.Time) string {
	d := s.dated.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &dated{second, now.UTC().Format(http.TimeFormat)}
		s.dated.Store(d)
	}
	return d.text
}

// drain closes the connections that wait for a request, and lets the others end
// with their answer. net/http takes them for new ones that have said nothing yet.
func (s *shortcuts) drain() {
	for _, c := range s.all() {
		c.drain()
	}
}

// cut ends all requests, and closes all connections.
func (s *shortcuts) cut() {
	for _, c := range s.all() {
		c.cut()
	}
}

func (s *shortcuts) all() []*shortcut {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*shortcut, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// A shortcut serves the plain requests of a connection of HTTP/1 on the goroutine
// on which net/http waits for a request, and in its buffer: one read, one write and
// no other goroutine, where net/http has several of each. The first request that is
// not plain goes to net/http, with all that follows until it has been answered.
//
// A client that leaves is noticed where a request takes longer than 10 ms.
type shortcut struct {
	conn   net.Conn // below the sniffer
	shared *shortcuts
	ctx    context.Context // of the connection
	blank  *http.Request   // what all requests have in common

	// Of the goroutine that reads.
	latest    repetition
	header    http.Header // of answers
	out, kept []byte      // for the next answer
	idle      time.Time   // the deadline of reads
	early     []byte      // what came while the client was watched
	failed    error       // of reading, likewise
	watcher   *time.Timer

	mu        sync.Mutex
	waiting   bool // for a request
	served    bool // has served one
	last      bool // ends with the answer to come
	closed    bool
	life      *turnContext  // of the request that is being served
	watched   chan struct{} // closed when the watching has ended, nil without any
	unwatched bool          // the handler has returned
	until     time.Time     // the deadline of writes
	limited   bool          // it is the room's
}

// open returns the shortcut of a connection. ctx is what net/http has for it.
func (s *shortcuts) open(ctx context.Context, conn net.Conn, secured *tls.ConnectionState) *shortcut {
	c := &shortcut{conn: conn, shared: s, header: make(http.Header)}
	c.ctx = context.WithValue(ctx, http.LocalAddrContextKey, conn.LocalAddr())
	c.blank = &http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, TLS: secured, RemoteAddr: conn.RemoteAddr().String(),
	}
	c.watcher = time.AfterFunc(time.Hour, c.watch)
	c.watcher.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	return c
}

// release forgets a connection that is closed, or no HTTP any more.
func (c *shortcut) release() {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	delete(c.shared.conns, c)
}

// close says that the connection is to be closed. It reports whether that can be
// now: an answer that is on its way comes first, unless the server is cut.
func (c *shortcut) close() bool {
	c.mu.Lock()
	c.last = true
	now := c.life == nil || c.ctx.Err() != nil
	c.closed = c.closed || now
	c.mu.Unlock()
	if now {
		c.release()
	}
	return now
}

// drain closes the connection if it waits for another request.
func (c *shortcut) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = true
	if c.served && c.waiting {
		c.closed = true
		_ = c.conn.Close() // net/http finds that it cannot read
	}
}

// cut ends the request and the connection.
func (c *shortcut) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last = true; c.life != nil {
		c.life.cancel()
	}
	_ = c.conn.Close() // it is thrown away
}

// read serves requests until something comes that is for net/http.
func (c *shortcut) read(p []byte) (int, error) {
	c.wait(true)
	for {
		n, err := c.next(p)
		if n == 0 || err != nil {
			c.wait(false)
			return n, err
		}
		request, ok := c.latest.read(p[:n])
		if !ok {
			c.wait(false)
			if c.served { // what follows has the time of a header, and its answer that of the room
				_ = c.conn.SetReadDeadline(time.Now().Add(readHeaderLimit)) // as in end
				_ = c.limit(time.Time{})                                    // likewise
			}
			return n, nil
		}
		if !c.serve(&request) {
			return 0, io.EOF // net/http closes the connection without a word
		}
	}
}

func (c *shortcut) wait(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = on
}

func (c *shortcut) next(p []byte) (int, error) {
	if n := copy(p, c.early); n > 0 {
		c.early = c.early[n:]
		return n, nil
	}
	if c.failed != nil {
		return 0, c.failed
	}
	return c.conn.Read(p)
}

// serve answers a request, and reports whether there may be another.
func (c *shortcut) serve(p *plain) bool {
	c.shared.requests.begin()
	defer c.shared.requests.end() // with the answer
	t := &turn{life: turnContext{parent: c.ctx}}
	if !c.begin(&t.life) {
		return false
	}
	whole := false
	defer func() {
		if !whole { // net/http sees the panic, and closes the connection
			c.end(&t.life, false)
		}
	}()
	w := &t.reply
	w.turn, w.short, w.header, w.head, w.out, w.kept = t, c, c.header, p.method == http.MethodHead, c.out, c.kept
	c.shared.handler.ServeHTTP(w, t.request(c.blank, p))
	c.unwatch() // before the client may send more
	again := w.finish()
	clear(c.header)
	c.out, c.kept = keptReply(w.out), keptReply(w.kept)
	whole = true
	return c.end(&t.life, again)
}

func keptReply(b []byte) []byte {
	if cap(b) > maxKeptReply {
		return nil
	}
	return b[:0]
}

// begin begins a request, unless the connection is closed.
func (c *shortcut) begin(life *turnContext) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if c.closed {
		return false
	}
	c.served, c.life, c.unwatched = true, life, false
	if c.limited { // by the room of another request
		c.limited, c.until = false, time.Time{}
	}
	c.watcher.Reset(watchAfter)
	return true
}

// end ends a request, and reports whether there may be another.
func (c *shortcut) end(life *turnContext, again bool) bool {
	life.cancel()
	c.unwatch() // a handler may have panicked
	c.mu.Lock()
	again = again && !c.last
	c.waiting, c.life = again, nil
	c.mu.Unlock()
	if idle := time.Now().Add(idleLimit); again && idle.Sub(c.idle) > time.Second {
		c.idle = idle
		_ = c.conn.SetReadDeadline(idle) // a connection without deadlines cannot be waited for in vain
	}
	return again
}

// watch notices when the client leaves during a request.
func (c *shortcut) watch() {
	c.mu.Lock()
	if c.life == nil || c.unwatched || c.watched != nil {
		c.mu.Unlock()
		return
	}
	watched := make(chan struct{})
	c.watched = watched
	_ = c.conn.SetReadDeadline(time.Time{}) // as in end
	c.mu.Unlock()
	defer close(watched)
	var one [1]byte
	n, err := c.conn.Read(one[:])
	c.early = append(c.early, one[:n]...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !c.unwatched { // else nobody wants to hear more
		c.failed = err
		c.life.cancel()
	}
}

// unwatch ends the watching.
func (c *shortcut) unwatch() {
	c.watcher.Stop()
	c.mu.Lock()
	watched := c.watched
	c.watched, c.unwatched = nil, true
	c.mu.Unlock()
	if watched != nil {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // so that it returns
		<-watched
		c.idle = time.Time{}
	}
}

// bound gives the client writeLimit to take what is written now, unless the room
// has set a limit. One deadline serves the writes of a second.
func (c *shortcut) bound() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.limited && c.until.Sub(now) <= writeLimit-time.Second {
		c.until = now.Add(writeLimit)
		_ = c.conn.SetWriteDeadline(c.until) // as in end
	}
}

// limit sets the deadline of writes; the zero time leaves it to bound.
func (c *shortcut) limit(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.limited = t, !t.IsZero()
	return c.conn.SetWriteDeadline(t)
}
