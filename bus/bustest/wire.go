package bustest

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// maxUnsent bounds what a client has written and the broker has not read.
	// At the bound the connection breaks. From muchUnsent on a writer gives way
	// to the broker, as long as that reads.
	maxUnsent  = 32 << 20
	muchUnsent = 1 << 20
	patience   = 1000
	// lingering is how long a closed connection still tries to get rid of it.
	lingering = time.Second
)

// A wire is a client's end of a connection whose Write never blocks. nats.go
// writes while it holds its lock; if the broker did not read just then, the
// next goroutine to want the lock would stop virtual time, and with it whatever
// the broker waits for.
type wire struct {
	net.Conn
	more chan struct{} // of one: there is something to do
	end  <-chan struct{}

	mu     sync.Mutex
	unsent []byte
	closed bool
	err    error
}

// unblock returns conn with a Write that does not block, in virtual time only.
func (b *Bus) unblock(conn net.Conn) net.Conn {
	if !b.virtual {
		return conn
	}
	w := &wire{Conn: conn, more: make(chan struct{}, 1), end: b.ending}
	b.wires.Go(w.run)
	return w
}

// run sends until the wire is closed or the test ends.
func (w *wire) run() {
	defer w.Conn.Close()
	var sending []byte
	for {
		w.mu.Lock()
		sending, w.unsent = w.unsent, sending[:0]
		closed := w.closed
		w.mu.Unlock()
		if len(sending) > 0 {
			if _, err := w.Conn.Write(sending); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
			continue
		}
		if closed {
			return
		}
		select {
		case <-w.more:
		case <-w.end:
			return
		}
	}
}

// Write keeps a copy of p to send.
func (w *wire) Write(p []byte) (int, error) {
	w.giveWay()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && len(w.unsent)+len(p) > maxUnsent {
		w.err = errors.New("the broker does not read")
		w.Conn.Close()
	}
	switch {
	case w.closed:
		return 0, net.ErrClosed
	case w.err != nil:
		return 0, w.err
	}
	w.unsent = append(w.unsent, p...)
	w.wake()
	return len(p), nil
}

// giveWay lets others run while there is much to send and it gets less. It must
// not block; see wire.
func (w *wire) giveWay() {
	last := 0
	for idle := 0; idle < patience; idle++ {
		w.mu.Lock()
		now := len(w.unsent)
		w.mu.Unlock()
		if now < muchUnsent {
			return
		}
		if now < last {
			idle = 0
		}
		last = now
		runtime.Gosched()
	}
}

// Read reads what the broker has sent.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.closed {
			err = net.ErrClosed
		}
	}
	return n, err
}

// Close ends reading at once, and writing when everything is sent or has not
// been read for a second.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.wake()
	return errors.Join(
		w.Conn.SetReadDeadline(time.Unix(1, 0)),
		w.Conn.SetWriteDeadline(time.Now().Add(lingering)),
	)
}

// SetDeadline sets the deadline of reading; writing needs none.
func (w *wire) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }

// SetReadDeadline sets the deadline of reading, until Close.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: Write does not block.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) wake() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}
