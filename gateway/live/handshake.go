package live

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus"
)

// IsWebSocket reports whether a request asks for a WebSocket, be it rightly or
// not.
func IsWebSocket(r *http.Request) bool { return hasToken(r.Header, "Upgrade", "websocket") }

// checkHandshake holds a request to section 4.2.1 of RFC 6455 before anything is
// done for it; a refusal may put headers into h.
func checkHandshake(h http.Header, r *http.Request) error {
	keys := r.Header.Values("Sec-Websocket-Key")
	switch {
	case !IsWebSocket(r):
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
		return wrong(http.StatusUpgradeRequired, "this needs a WebSocket: ask for one with the headers Connection and Upgrade")
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return wrong(http.StatusUpgradeRequired, "a WebSocket begins with HTTP/1.1, not with %s", r.Proto)
	case r.Header.Get("Sec-Websocket-Version") != "13":
		h.Set("Sec-WebSocket-Version", "13")
		return wrong(http.StatusUpgradeRequired, "Sec-WebSocket-Version is %q; only 13 is spoken here", r.Header.Get("Sec-Websocket-Version"))
	case r.Method != http.MethodGet:
		return bus.Errorf(bus.InvalidArgument, "a WebSocket is asked for with GET, not with %s", r.Method)
	case !hasToken(r.Header, "Connection", "upgrade"):
		return bus.Errorf(bus.InvalidArgument, "Upgrade needs the header Connection: Upgrade")
	case len(keys) != 1:
		return bus.Errorf(bus.InvalidArgument, "the handshake has %d headers Sec-WebSocket-Key, not one", len(keys))
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err != nil || len(key) != 16 {
		return bus.Errorf(bus.InvalidArgument, "Sec-WebSocket-Key is not the base64 of 16 bytes")
	}
	return nil
}

func hasToken(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// accept makes a WebSocket of a request that checkHandshake has let through.
// Origin is the Edge's to judge.
func (t *talk) accept(rules socketRules) (*socket, error) {
	grip := &grip{ResponseWriter: t.w, rules: rules}
	k := &socket{rules: rules}
	ws, err := websocket.Accept(grip, t.r, &websocket.AcceptOptions{
		Subprotocols: rules.subprotocols, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled,
		OnPongReceived: k.pong,
	})
	if err != nil {
		return nil, err
	}
	k.ws, k.conn = ws, grip.conn
	ws.SetReadLimit(int64(rules.readLimit))
	k.conn.hear(rules.patience)
	return k, nil
}

// A grip keeps hold of the connection under a WebSocket, whose library gives
// only whole messages a time to go out, and a close none to come in.
type grip struct {
	http.ResponseWriter
	rules socketRules
	conn  *patientConn
}

// Hijack is what the library calls to take the connection over.
func (g *grip) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(g.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, err := rw.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err // it is all there: cannot be
	}
	g.conn = &patientConn{Conn: conn, stall: g.rules.stall, early: early}
	return g.conn, bufio.NewReadWriter(bufio.NewReader(g.conn), bufio.NewWriter(g.conn)), nil
}
