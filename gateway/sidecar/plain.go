package sidecar

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// callPlain calls an app in the plainer form: a POST to /METHOD whose body is
// the request, and whose status says how it went.
func callPlain(ctx context.Context, transport http.RoundTripper, target netip.AddrPort, req *rpc.Request, limit int) (*rpc.Response, error) {
	body, kind := req.Body, req.Codec
	if kind == codec.JSON || kind == codec.Msgpack {
		var err error
		if body, err = jsonOf(req); err != nil {
			return nil, err
		}
		kind = codec.JSON
	}
	r, err := newCall(ctx, target, "/"+req.Method, bytes.NewReader(body), req)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", kind.ContentType())
	a, err := exchange(transport, r, limit)
	if err != nil {
		return nil, err
	}
	if a.status < 200 || a.status > 299 {
		return nil, a.failed()
	}
	return a.readPlain()
}

// readPlain reads an answer by its content type. Without one it is JSON if it
// looks like it; what is of no type that the bus has are bytes.
func (a *answer) readPlain() (*rpc.Response, error) {
	kind, err := codec.Parse(a.header.Get("Content-Type"))
	if err != nil {
		kind = codec.Raw
		if codec.Guard(codec.JSON, a.body) == nil {
			kind = codec.JSON
		}
	}
	body := a.body
	switch {
	case len(body) == 0 && kind == codec.JSON:
		body = []byte("null")
	case kind == codec.JSON, kind == codec.Msgpack:
		if err := codec.Guard(kind, body); err != nil {
			return nil, bus.Errorf(bus.DataLoss, "the answer of the app: %s", bus.AsError(err).Message)
		}
	}
	return &rpc.Response{Codec: kind, Body: body}, nil
}
