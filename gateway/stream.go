package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

type lifetimeKey struct{}

// A lifetime is that of a server: at its end the streams are told.
type lifetime struct {
	told context.Context
	tell context.CancelCauseFunc
}

func newLifetime() *lifetime {
	l := &lifetime{}
	l.told, l.tell = context.WithCancelCause(context.Background())
	return l
}

func (l *lifetime) end() {
	l.tell(bus.Errorf(bus.Unavailable, "the gateway is stopping; come back in a moment"))
}

func (l *lifetime) ended() bool { return l.told.Err() != nil }

// Stream says that the answer to a request lasts as long as it lasts: only a
// single write or flush that the client leaves unread for 30 s fails, and the
// body of the request comes as slowly as the room allows. A room calls it before it writes the answer's header, or takes the connection over.
//
// The context that it returns ends with the request, when the server begins to
// drain, and when the caller's token expires; then its cause is a *bus.Error of
// code unavailable or unauthenticated that the room passes on. cancel must be
// called at the end of the stream.
func Stream(w http.ResponseWriter, r *http.Request) (ctx context.Context, cancel context.CancelFunc) {
	if x := exchangeOf(r.Context()); x != nil {
		x.streaming.Store(true)
	}
	// A writer that knows no deadlines has none to lift.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	_ = control.SetReadDeadline(time.Time{})
	ctx, end := context.WithCancelCause(r.Context())
	var stops []func() bool
	if l, ok := r.Context().Value(lifetimeKey{}).(*lifetime); ok {
		stops = append(stops, context.AfterFunc(l.told, func() { end(context.Cause(l.told)) }))
	}
	if c := callerOf(r.Context()); c != nil {
		over := time.AfterFunc(time.Until(c.Expires), func() {
			end(bus.Errorf(bus.Unauthenticated, "the token has expired"))
		})
		stops = append(stops, over.Stop)
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		end(nil)
	}
}
