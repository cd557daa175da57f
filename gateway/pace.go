package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	bodyHeadStart = 10 * time.Second
	bodyMinRate   = 1 << 10 // bytes a second, after the head start
)

// A pacedBody is the body of a request, which has to come at a minimal rate. That
// of a [Stream] has as long as the room gives it.
type pacedBody struct {
	io.ReadCloser
	exchange *exchange
	start    time.Time
	read     int64
	until    time.Time
}

// pace bounds the time that the body of r may take, also one that the room does
// not read: the server reads it then, to find the next request behind it.
func (x *exchange) pace(r *http.Request) {
	if _, here := r.Body.(*wholeBody); r.Body != nil && r.Body != http.NoBody && !here {
		b := &pacedBody{ReadCloser: r.Body, exchange: x, start: x.start}
		b.bound()
		r.Body = b
	}
}

func (b *pacedBody) bound() {
	if b.exchange.streaming.Load() {
		return
	}
	until := b.start.Add(bodyHeadStart + time.Duration(b.read)*time.Second/bodyMinRate)
	if until.Sub(b.until) > time.Second {
		b.until = until
		_ = b.exchange.control().SetReadDeadline(until) // a body without a connection is there already
	}
}

// Read reads on, and fails with 408 when the body comes too slowly.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.bound()
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !b.exchange.streaming.Load() {
		return n, status(http.StatusRequestTimeout, "the body comes at less than %d bytes a second", bodyMinRate)
	}
	if err == io.EOF && !b.until.IsZero() {
		// What comes after the body may take its time.
		b.until = time.Time{}
		_ = b.exchange.control().SetReadDeadline(time.Time{}) // as in bound
	}
	return n, err
}
