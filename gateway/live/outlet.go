package live

import (
	"errors"
	"net/http"
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
}

func newOutlet(w http.ResponseWriter) *outlet {
	return &outlet{w: w, rc: http.NewResponseController(w)}
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
	o.patience()
	if err := o.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (o *outlet) patience() { _ = o.rc.SetWriteDeadline(time.Now().Add(stall)) }

// abandon makes what is being written fail at once.
func (o *outlet) abandon() { _ = o.rc.SetWriteDeadline(time.Unix(1, 0)) }
