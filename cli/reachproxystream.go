package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// failed is where the close codes of a call's error begin: 4000 and the HTTP
// status.
const failed websocket.StatusCode = 4400

// open opens a stream over a WebSocket, which carries every kind.
func (p *proxyReach) open(ctx context.Context, req *rpc.Request) (conversation, error) {
	query := url.Values{}
	if req.Instance != "" {
		query.Set("node", req.Instance)
	}
	if req.Key != "" {
		query.Set("key", req.Key)
	}
	u := *p.base
	u.Path, u.RawQuery = "/"+req.Service+"/"+req.Method, query.Encode()
	header := http.Header{}
	p.sign(header)
	for name, value := range req.Meta {
		header.Set(name, value)
	}
	ws, res, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: p.http, HTTPHeader: header, Subprotocols: []string{"mbus.json"}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, p.refusedStream(ctx, res, err)
	}
	ws.SetReadLimit(maxProxyAnswer)
	s := &proxyStream{ctx: ctx, ws: ws, service: req.Service, method: req.Method}
	return s, nil
}

// refusedStream is why there is no stream.
func (p *proxyReach) refusedStream(ctx context.Context, res *http.Response, err error) error {
	if res == nil || res.StatusCode < 400 {
		return p.unreached(ctx, err)
	}
	var body []byte
	if res.Body != nil {
		body, _ = io.ReadAll(io.LimitReader(res.Body, maxProxyAnswer))
		_ = res.Body.Close() // it was read
	}
	return proxyError(res, body)
}

// A proxyStream is a stream through a sidecar: each message is a text frame, and
// an empty one the end of those that are sent.
type proxyStream struct {
	ctx             context.Context // of the command, for which a conversation has none
	ws              *websocket.Conn
	service, method string

	half    sync.Once
	pending []byte // a message that was read to see whether another follows
	over    error  // what ends the stream behind the last message
}

// Send sends a message.
func (s *proxyStream) Send(_ codec.Codec, body []byte) error {
	if err := s.ws.Write(s.ctx, websocket.MessageText, body); err != nil {
		return io.EOF // receiving says why
	}
	return nil
}

// CloseSend says that no more messages come.
func (s *proxyStream) CloseSend() error {
	s.half.Do(func() { _ = s.ws.Write(s.ctx, websocket.MessageText, nil) }) // receiving says why not
	return nil
}

// Recv returns the next message, io.EOF after the last one.
func (s *proxyStream) Recv() (codec.Codec, []byte, error) {
	if body := s.pending; body != nil {
		s.pending = nil
		return codec.JSON, body, nil
	}
	if s.over != nil {
		return 0, nil, s.over
	}
	body, err := s.read()
	if err != nil {
		return 0, nil, s.ended(err)
	}
	f, ok := failureIn(body)
	if !ok {
		return codec.JSON, body, nil
	}
	// It looks like the error that comes before the close of a failed stream,
	// which a service may send as a message too.
	next, err := s.read()
	switch {
	case err == nil:
		s.pending = next
		return codec.JSON, body, nil
	case websocket.CloseStatus(err) >= failed:
		e := errorOfFailure(f)
		e.Service, e.Method = s.service, s.method
		return 0, nil, e
	case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
		s.over = s.ended(err)
		return codec.JSON, body, nil
	}
	return 0, nil, s.ended(err)
}

// read reads the next message. Behind an empty one there is only the trailer,
// which no command shows.
func (s *proxyStream) read() ([]byte, error) {
	_, body, err := s.ws.Read(s.ctx)
	for last := err == nil && len(body) == 0; last && err == nil; {
		_, _, err = s.ws.Read(s.ctx)
	}
	return body, err
}

// failureIn reads {"error":{…}}.
func failureIn(body []byte) (gateway.Failure, bool) {
	var line struct {
		Error gateway.Failure `json:"error"`
	}
	err := json.Unmarshal(body, &line)
	return line.Error, err == nil && line.Error.Code >= 400
}

// ended is what the end of a WebSocket means.
func (s *proxyStream) ended(err error) error {
	if s.ctx.Err() != nil {
		return bus.AsError(context.Cause(s.ctx))
	}
	end, ok := errors.AsType[websocket.CloseError](err)
	var e *bus.Error
	switch {
	case ok && end.Code == websocket.StatusNormalClosure:
		return io.EOF
	case ok && end.Code == websocket.StatusGoingAway:
		e = bus.Errorf(bus.Unavailable, "the sidecar is stopping")
		e.End = bus.Broker
	case ok && end.Code >= failed && end.Code < 4600:
		e = errorOfFailure(gateway.Failure{Code: int(end.Code) - 4000, Reason: end.Reason, Detail: "the stream failed"})
	case ok:
		e = bus.Errorf(bus.DataLoss, "the sidecar ended the stream: %s", end.Reason)
	case errors.Is(err, context.Canceled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e = bus.Errorf(bus.Unavailable, "the connection to the sidecar is lost")
		e.End = bus.Broker
	default:
		e = bus.Errorf(bus.Unavailable, "the connection to the sidecar is lost: %w", err)
		e.End = bus.Broker
	}
	e.Service, e.Method = s.service, s.method
	return e
}

// Close gives the stream up.
func (s *proxyStream) Close() error { return s.ws.CloseNow() }
