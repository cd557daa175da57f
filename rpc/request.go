package rpc

import (
	"bytes"
	"context"
	"time"

	"github.com/mbus-dev/mbus/bus/codec"
)

// A Request is a call as bytes: what middleware, gateways and raw handlers
// see. The typed functions are made of it. A raw handler has the one it is given
// until it returns; Clone keeps it.
type Request struct {
	// Service and Method name what is called.
	Service string
	Method  string
	// Instance is the id of one instance. A caller leaves it empty to let the
	// bus choose; a handler finds its own server's id here.
	Instance string
	// Codec is the encoding of Body. Zero means JSON.
	Codec codec.Codec
	// Body belongs to the call: in a handler it is valid until the handler
	// returns. Clone keeps it.
	Body []byte
	// Meta is the metadata of the caller, nil if there is none.
	Meta Metadata
	// From is the service that calls, as it says itself: nothing verifies it.
	From string
	// ID names the call, for handlers that keep a ledger of what they have
	// done. It is empty unless the caller chose one.
	ID string
	// Attempt counts the tries of this call from 1.
	Attempt int
	// Idempotent says that the handler may run twice: a call without an answer
	// may be tried again. A caller need not say it of a method that declares it.
	// Only the caller's side reads it, and the next five.
	Idempotent bool
	// Retries replaces that of ClientConfig, if it is not nil.
	Retries *int
	// Hedge asks for what ClientConfig.Hedge says, for this call.
	Hedge bool
	// InParts says that the caller reads an answer that travels in parts as it
	// comes, from the Parts of the Response.
	InParts bool
	// Timeout bounds the call as WithTimeout does; with InParts only up to the
	// beginning of the answer, which then lasts as long as the context. 0 means
	// that of the client.
	Timeout time.Duration
	// Key is what the Selector consistent-hash goes by: calls with the same key
	// go to the same instance. It does not travel.
	Key string
	// Stream says that the call opens a stream: Body is empty, and of the
	// Response only its being there counts. On the server's side middleware
	// surrounds the whole stream, on the caller's side its opening.
	Stream bool

	// cancellable says that the caller may give up before its time is over,
	// and that this is worth telling.
	cancellable bool
	depth       int     // how many calls it stands in
	room        *buffer // in a handler: for the answer, if nobody can keep that for longer than the call
	origin      *origin // on the caller's side
}

// Clone returns a copy that shares nothing with r.
func (r *Request) Clone() *Request {
	c := *r
	c.Body = bytes.Clone(r.Body)
	c.Meta = r.Meta.clone()
	return &c
}

// A Response is an answer as bytes.
type Response struct {
	// Codec is the encoding of Body. Zero means JSON.
	Codec codec.Codec
	// Body belongs to whoever gets the Response.
	Body []byte
	// Meta is the metadata of the answer, nil if there is none.
	Meta Metadata
	// Parts is the body in place of Body, of an answer that travels in parts to
	// a caller that has asked for it with InParts; nil for all others. It must
	// be closed. A handler that answers with Parts fails.
	Parts *Parts
}

type requestKey struct{}

// RequestFrom returns the request that a handler serves, for its metadata and
// what else is not in the body. It returns nil outside a handler. The request
// must not be changed, and its Body is valid until the handler returns.
func RequestFrom(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}
