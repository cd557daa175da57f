package gateway

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/gateway/token"
)

// writeLimit is how long a client may leave a write unread.
const writeLimit = 30 * time.Second

// maxLogged bounds what a client chooses in a log line.
const maxLogged = 256

type exchangeKey struct{}

// An exchange is one request and its answer. It is the ResponseWriter that a
// room gets.
type exchange struct {
	http.ResponseWriter
	turn *turn // nil if net/http serves the request; its reply bounds its writes itself

	id     string
	ids    [1]string // the id as the value of a header
	start  time.Time
	client netip.Addr // of the client behind trusted proxies
	secure bool       // it came by TLS, perhaps to a trusted proxy
	caller *token.Caller

	noted     atomic.Int32 // how far called is
	called    called
	streaming atomic.Bool

	status   int // 0 before the header
	bytes    int64
	deadline time.Time // of writes
	taken    bool      // the connection is the room's
}

// called is what a request has called on the bus.
type called struct{ service, method string }

// How far it is.
const (
	notNoted = iota
	beingNoted
	hasNoted
)

// exchangeFor returns the exchange of a request, and the request with it.
func exchangeFor(w http.ResponseWriter, r *http.Request) (*exchange, *http.Request) {
	if w, ok := w.(*reply); ok {
		if life, ok := r.Context().(*turnContext); ok && life.exchange == nil {
			x := &w.turn.exchange
			x.ResponseWriter, x.turn, life.exchange = w, w.turn, x
			return x, r
		}
	}
	x := &exchange{ResponseWriter: w}
	return x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
}

// control reaches the connection.
func (x *exchange) control() *http.ResponseController {
	return http.NewResponseController(x.ResponseWriter)
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// Note tells the access log which service and method a request is about, the
// first time that it is called for a request. Calls through Bus.Client note
// themselves.
func Note(ctx context.Context, service, method string) {
	if x := exchangeOf(ctx); x != nil && x.noted.CompareAndSwap(notNoted, beingNoted) {
		x.called = called{service, method}
		x.noted.Store(hasNoted)
	}
}

// ClientAddr returns the address of the client that ctx's request comes from:
// behind a trusted proxy the one that the proxy names. It is invalid outside a
// request.
func ClientAddr(ctx context.Context) netip.Addr {
	if x := exchangeOf(ctx); x != nil {
		return x.client
	}
	return netip.Addr{}
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader sends the header of the answer.
func (x *exchange) WriteHeader(status int) {
	if status >= 200 && x.status == 0 {
		x.status = status
		x.bound()
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the answer's body.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	x.bound()
	n, err := x.ResponseWriter.Write(p)
	x.unbound()
	x.bytes += int64(n)
	return n, err
}

// Flush sends what is buffered.
func (x *exchange) Flush() { _ = x.FlushError() } // the next write says what it says

// FlushError sends what is buffered.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	x.bound()
	err := x.control().Flush()
	x.unbound()
	return err
}

// Hijack gives the connection to the room.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := x.control().Hijack()
	if err == nil {
		x.taken = true
		if s, ok := conn.(interface{ release() }); ok {
			s.release()
		}
		if x.status == 0 {
			x.status = http.StatusSwitchingProtocols
		}
	}
	return conn, rw, err
}

// bound gives the client writeLimit to take what is written now. One deadline
// serves the writes of a second.
func (x *exchange) bound() {
	if x.turn != nil {
		return // the connection does so itself
	}
	now := time.Now()
	if x.deadline.Sub(now) > writeLimit-time.Second {
		return
	}
	x.deadline = now.Add(writeLimit)
	_ = x.control().SetWriteDeadline(x.deadline) // a writer without deadlines cannot be held up
}

// unbound lifts the deadline from the pause between the messages of a stream.
// HTTP/2 ends a stream whose deadline passes even if nothing is written.
func (x *exchange) unbound() {
	if x.turn == nil && x.streaming.Load() && !x.deadline.IsZero() {
		x.deadline = time.Time{}
		_ = x.control().SetWriteDeadline(time.Time{}) // as in bound
	}
}

// log writes the line of the access log.
func (x *exchange) log(log *zerolog.Logger, r *http.Request) {
	e := log.Info()
	if e == nil {
		return
	}
	e.Str("method", cut(r.Method)).Str("path", cut(r.URL.EscapedPath())).Str("proto", r.Proto).
		Int("status", x.status).Int64("bytes", x.bytes).
		Dur("duration", time.Since(x.start))
	var room [64]byte // without a string of it
	if remote, err := x.client.AppendText(room[:0]); err == nil && len(remote) > 0 {
		e.Bytes("remote", remote)
	} else {
		e.Str("remote", x.client.String())
	}
	e.Str("id", x.id)
	if x.noted.Load() == hasNoted {
		e.Str("service", cut(x.called.service)).Str("endpoint", cut(x.called.method))
	}
	if x.caller != nil {
		e.Str("user", cut(x.caller.Subject))
	}
	e.Msg("request")
}

func cut(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged] + "…"
	}
	return s
}
