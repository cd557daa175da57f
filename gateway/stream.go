package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

type lifetimeKey struct{}

// A lifetime ends twice: streams are told at its end, and everything that is
// left at its cut.
type lifetime struct {
	told, severed context.Context
	tell, sever   context.CancelCauseFunc
}

func newLifetime() *lifetime {
	l := &lifetime{}
	l.told, l.tell = context.WithCancelCause(context.Background())
	l.severed, l.sever = context.WithCancelCause(context.Background())
	return l
}

func (l *lifetime) end() {
	l.tell(bus.Errorf(bus.Unavailable, "the gateway is stopping; come back in a moment"))
}

func (l *lifetime) ended() bool { return l.told.Err() != nil }

func (l *lifetime) cut() { l.sever(context.Canceled) }

// Stream says that the answer to a request lasts as long as it lasts: the
// bounds on the time of a whole request no longer count. A room calls it before
// it writes the answer's header, or takes the connection over.
//
// The context that it returns ends with the request, and when the server begins
// to drain; then its cause is a *bus.Error of code unavailable that the room
// passes on. cancel must be called at the end of the stream.
func Stream(w http.ResponseWriter, r *http.Request) (ctx context.Context, cancel context.CancelFunc) {
	// A writer that knows no deadlines has none to lift.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	ctx, end := context.WithCancelCause(r.Context())
	l, ok := r.Context().Value(lifetimeKey{}).(*lifetime)
	if !ok {
		return ctx, func() { end(nil) }
	}
	stop := context.AfterFunc(l.told, func() { end(context.Cause(l.told)) })
	return ctx, func() { stop(); end(nil) }
}
