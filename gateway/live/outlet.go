package live

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// piece is the most bytes that a client has stall to take.
const piece = 16 << 10

// An outlet writes to a client that may be slow. Each piece has stall to go out:
// whoever takes something stays, however slow, and whoever takes nothing is cut
// off.
type outlet struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool

	mu    sync.Mutex
	until time.Time // if it is set, of everything
	gone  bool
}

// outlet returns an outlet that ends with the conversation. release must be called
// before the handler returns: nothing may touch its ResponseWriter afterwards.
func (t *talk) outlet() (o *outlet, release func()) {
	o = &outlet{w: t.w, rc: http.NewResponseController(t.w)}
	cut := context.AfterFunc(t.s.severed, o.abandon)
	told := context.AfterFunc(t.told, o.hasten)
	return o, func() {
		cut()
		told()
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.gone && !o.until.IsZero() {
			_ = o.rc.SetWriteDeadline(time.Time{}) // the connection may serve another request
		}
		o.gone = true
	}
}

// lasting lifts what the server allows a whole request to take: the request has
// been read, and from here the connection is only watched for its end.
func (o *outlet) lasting() {
	_ = o.rc.SetReadDeadline(time.Time{}) // not every ResponseWriter has deadlines
}

// begin sends the head of the answer.
func (o *outlet) begin(contentType string) error {
	if o.begun {
		return nil
	}
	o.begun = true
	h := o.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	o.w.WriteHeader(http.StatusOK)
	return o.flush()
}

func (o *outlet) write(p []byte) error {
	defer o.rest()
	for len(p) > 0 {
		n := min(len(p), piece)
		o.patience()
		if _, err := o.w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return o.flush()
}

func (o *outlet) flush() error {
	defer o.rest()
	o.patience()
	if err := o.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (o *outlet) patience() { o.deadline(time.Now().Add(stall)) }

// rest lifts the deadline until the next write: HTTP/2 ends a stream whose time
// is over even if nothing is written.
func (o *outlet) rest() { o.deadline(time.Time{}) }

func (o *outlet) deadline(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return
	}
	if !o.until.IsZero() && (at.IsZero() || at.After(o.until)) {
		at = o.until
	}
	_ = o.rc.SetWriteDeadline(at) // not every ResponseWriter has deadlines
}

// hasten bounds all that is still written, the farewell included.
func (o *outlet) hasten() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.gone {
		o.until = time.Now().Add(farewell)
		_ = o.rc.SetWriteDeadline(o.until) // as in deadline
	}
}

// abandon makes what is being written fail at once, and what is written later.
func (o *outlet) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return
	}
	o.gone = true
	_ = o.rc.SetWriteDeadline(time.Unix(1, 0)) // as in deadline
}
