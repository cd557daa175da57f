package live

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// ServeWebSocket opens a stream of any kind over a WebSocket. With a Body in req,
// which may be empty but not nil, that is all the caller sends; without one the
// client's frames are the messages. The package documentation has the frames and
// the close codes.
func (s *Server) ServeWebSocket(w http.ResponseWriter, r *http.Request, req *rpc.Request) {
	if err := checkHandshake(w.Header(), r); err != nil {
		s.refuse(w, r, err)
		return
	}
	t, ok := s.begin(w, r)
	if !ok {
		return
	}
	defer t.end()
	k, err := t.accept(s.rules(subprotocolJSON, subprotocolMsgpack))
	if err != nil {
		s.cfg.Logger.Debug().Err(err).Msg("a WebSocket could not be made")
		return
	}
	c := &conversation{t: t, sock: k, req: req, mode: strings.ToLower(k.ws.Subprotocol()), opened: make(chan struct{})}
	c.packed.Store(c.mode == subprotocolMsgpack)
	c.serve()
}

// A conversation is a stream of the bus on a WebSocket.
type conversation struct {
	t    *talk
	sock *socket
	req  *rpc.Request
	mode string // the subprotocol

	opened chan struct{} // closed once stream is there
	stream *rpc.RawStream
	packed atomic.Bool // the client reads msgpack
	half   bool        // the client has sent its last message
}

func (c *conversation) serve() {
	defer c.t.hurry(c.sock)()
	c.sock.serve(c.receive)
	err := c.relay()
	c.t.cancel() // what the reader does ends before it is waited for
	c.sock.close(err, func(err error) []byte { return bytes.TrimSpace(failureLine(c.t.failed(c.stream, err))) })
}

// relay opens the stream and sends its messages to the client. It returns why
// the conversation is over, nil for a good end.
func (c *conversation) relay() error {
	first := codec.JSON
	if c.packed.Load() {
		first = codec.Msgpack
	}
	type opening struct {
		stream *rpc.RawStream
		err    error
	}
	open := make(chan opening, 1)
	go func() {
		stream, err := c.t.s.open(c.t.ctx, c.req, first)
		open <- opening{stream, err}
	}()
	var early error
	var o opening
	select {
	case o = <-open:
	case early = <-c.sock.over:
		c.t.cancel()
		o = <-open // at once
	case <-c.t.told.Done():
		early = c.t.parting()
		c.t.cancel()
		o = <-open // at once
	}
	if o.err != nil {
		if early != nil {
			return early
		}
		return o.err
	}
	c.stream = o.stream
	close(c.opened)
	p := pull(c.stream)
	var only sync.WaitGroup
	defer only.Wait()
	defer p.stop() // ends what only waits for
	if early != nil {
		return early
	}
	if c.req.Body != nil {
		only.Go(func() { sendOnly(c.stream, c.req) })
	}
	for p.next(); ; {
		select {
		case m := <-p.got:
			switch {
			case m.err == io.EOF: //nolint:errorlint // it is never wrapped
				return c.end()
			case m.err != nil:
				return m.err
			}
			if err := c.send(m); err != nil {
				return err
			}
			p.next()
		case err := <-c.sock.over:
			return err
		case <-c.t.told.Done():
			return c.t.parting()
		}
	}
}

// send sends one message of the service to the client.
func (c *conversation) send(m received) error {
	if c.packed.Load() {
		body, err := asMsgpack(m.codec, m.body)
		if err != nil {
			return err
		}
		return c.sent(c.sock.binary(body))
	}
	body, err := asJSON(m.codec, m.body)
	if err != nil {
		return err
	}
	return c.sent(c.sock.text(body))
}

func (c *conversation) sent(err error) error {
	if err != nil {
		return &closing{websocket.StatusPolicyViolation, closeSlow}
	}
	return nil
}

// receive takes a message of the client. It waits while the service has as many
// waiting as it takes.
func (c *conversation) receive(kind websocket.MessageType, body []byte) error {
	select {
	case <-c.opened:
	case <-c.t.ctx.Done():
		return nil
	}
	k, err := c.judge(kind, body)
	switch {
	case err != nil:
		return err
	case k != 0:
		if c.mode == "" {
			c.packed.Store(k == codec.Msgpack)
		}
		_ = c.stream.Send(k, body) // what it misses, Recv tells
	case !c.half:
		c.half = true
		if c.req.Body == nil {
			_ = c.stream.CloseSend() // as Send
		}
	}
	return nil
}

// judge says what a frame is: a message in a codec, or, with none, the end of
// them.
func (c *conversation) judge(kind websocket.MessageType, body []byte) (codec.Codec, error) {
	k := codec.Msgpack
	switch {
	case kind == websocket.MessageText && len(body) == 0:
		return 0, nil
	case kind == websocket.MessageText && !utf8.Valid(body):
		return 0, &closing{websocket.StatusInvalidFramePayloadData, "invalid UTF-8"}
	case kind == websocket.MessageText && c.mode == subprotocolMsgpack:
		return 0, &closing{websocket.StatusUnsupportedData, "text frames carry JSON; this socket is " + subprotocolMsgpack}
	case kind != websocket.MessageText && c.mode == subprotocolJSON:
		return 0, &closing{websocket.StatusUnsupportedData, "binary frames carry msgpack; this socket is " + subprotocolJSON}
	case c.req.Body != nil:
		return 0, bus.Errorf(bus.InvalidArgument, "the request of this stream was in its URL or body; it takes no messages")
	case c.half:
		return 0, bus.Errorf(bus.InvalidArgument, "a message came after the empty text frame, which is the end of them")
	case kind == websocket.MessageText:
		k = codec.JSON
	}
	return k, codec.Guard(k, body)
}
