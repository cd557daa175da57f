package live

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
)

// farewell is how long a close handshake may take.
const farewell = 5 * time.Second

const (
	subprotocolJSON    = "mbus.json"
	subprotocolMsgpack = "mbus.msgpack"

	closeShutdown = "shutdown"
	closeLost     = "lost"
	closeSlow     = "too slow"
)

// socketRules are the times and limits of a WebSocket.
type socketRules struct {
	subprotocols []string
	readLimit    int
	ping         time.Duration
	patience     time.Duration // without a pong
	pongsOnly    bool          // what else comes is no sign of life
	stall        time.Duration
}

func (s *Server) rules(subprotocols ...string) socketRules {
	return socketRules{
		subprotocols: subprotocols, readLimit: s.cfg.MaxMessage,
		ping: 20 * time.Second, patience: 60 * time.Second, stall: stall,
	}
}

// A closing is an end of a WebSocket that is none of a call.
type closing struct {
	code   websocket.StatusCode
	reason string
}

func (c *closing) Error() string { return c.reason }

var (
	// errGone says that the client has closed the connection, or broken off.
	errGone = errors.New("the client has gone")
	// errShutdown says that the server stops.
	errShutdown = errors.New("the gateway is stopping; connect again")
)

// A socket is a WebSocket with a goroutine that reads and one that pings. One
// other goroutine writes, and calls close in the end.
type socket struct {
	ws    *websocket.Conn
	conn  *patientConn
	rules socketRules

	// over holds the first reason to end that came from the client's side.
	over chan error
	quit chan struct{} // closed by close: what still comes is thrown away
	work sync.WaitGroup
}

// serve begins to hand messages to f, one after another. While f runs nothing
// more is read. An error of f ends the reading.
func (k *socket) serve(f func(websocket.MessageType, []byte) error) {
	k.over, k.quit = make(chan error, 1), make(chan struct{})
	k.work.Go(func() { k.read(f) })
	k.work.Go(k.pings)
}

func (k *socket) read(f func(websocket.MessageType, []byte) error) {
	for broken := false; ; {
		if !k.rules.pongsOnly {
			k.conn.hear(k.rules.patience)
		}
		// The deadlines are those of the connection: a context that ends would
		// cut it without a word.
		kind, body, err := k.ws.Read(context.Background())
		if err != nil {
			k.ended(readError(err))
			return
		}
		select {
		case <-k.quit:
			broken = true
		default:
		}
		if broken {
			continue // until the client closes
		}
		if err := f(kind, body); err != nil {
			k.ended(err)
			broken = true
		}
	}
}

// readError is what the end of reading means. What the library has not answered
// with a close of its own is answered by this.
func readError(err error) error {
	if c, ok := errors.AsType[*closing](err); ok { // of the guard
		return c
	}
	var network net.Error
	switch {
	case websocket.CloseStatus(err) != -1, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errGone
	case errors.Is(err, websocket.ErrMessageTooBig):
		return &closing{websocket.StatusMessageTooBig, "message too big"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &closing{websocket.StatusPolicyViolation, "no pong"}
	case errors.Is(err, context.DeadlineExceeded): // a pong could not go out
		return &closing{websocket.StatusPolicyViolation, closeSlow}
	case errors.As(err, &network), errors.Is(err, io.ErrClosedPipe):
		return errGone
	}
	return &closing{websocket.StatusProtocolError, "protocol error"}
}

func (k *socket) ended(err error) {
	select {
	case k.over <- err:
	default: // the first reason counts
	}
}

func (k *socket) pong(context.Context, []byte) { k.conn.hear(k.rules.patience) }

func (k *socket) pings() {
	tick := time.NewTicker(k.rules.ping)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), k.rules.ping)
			err := k.ws.Ping(ctx)
			cancel()
			// That no pong comes is seen where they are read, if that is what the
			// reader is at. A connection that is broken shows here.
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				k.ended(errGone)
				return
			}
		case <-k.quit:
			return
		}
	}
}

// text sends one message; so does binary. They wait for a client that is slow,
// and fail once it has taken nothing for the time of the rules.
func (k *socket) text(p []byte) error {
	return k.ws.Write(context.Background(), websocket.MessageText, p)
}

func (k *socket) binary(p []byte) error {
	return k.ws.Write(context.Background(), websocket.MessageBinary, p)
}

// close ends the conversation for a reason, which may be nil for a good end, and
// returns when its goroutines have ended. tell makes the last message for a call
// that has failed.
func (k *socket) close(reason error, tell func(error) []byte) {
	code, text := websocket.StatusNormalClosure, ""
	c, ok := errors.AsType[*closing](reason)
	switch {
	case ok:
		code, text = c.code, c.reason
	case reason == nil, errors.Is(reason, errGone):
	case errors.Is(reason, errShutdown):
		code, text = websocket.StatusGoingAway, closeShutdown
	default:
		_ = k.text(tell(reason)) // who does not take it gets no close either
		e := bus.AsError(reason)
		code, text = closeCode(e), e.Code.String()
	}
	close(k.quit)
	k.conn.end(time.Now().Add(farewell))
	_ = k.ws.Close(code, text) // fails if the client has gone, or does not answer
	_ = k.conn.Close()         // whatever the library made of it
	k.work.Wait()
}

// closeCode is 4000 and the HTTP status of an error.
func closeCode(e *bus.Error) websocket.StatusCode {
	status := e.Status
	if status < 400 || status > 599 {
		status = e.Code.Status()
	}
	return websocket.StatusCode(4000 + status)
}

// hurry bounds what is done on a WebSocket once its conversation is to end. The
// function it returns must be called at the end.
func (t *talk) hurry(k *socket) (release func()) {
	cut := context.AfterFunc(t.s.severed, k.conn.abandon)
	told := context.AfterFunc(t.told, func() { k.conn.end(time.Now().Add(farewell)) })
	return func() { cut(); told() }
}
