package rpc

import (
	"context"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus/codec"
)

// Call calls a method and decodes the answer. req is anything that encodes to
// what the method takes, usually a pointer to a struct; nil sends an empty body.
//
// The first call of a service goes out plainly, as JSON. Meanwhile the client
// asks the instances what they speak; if all of them speak frames, later calls
// are frames and, where both types allow it, msgpack.
//
// Where Res is []byte, the answer is what came, undecoded; where req is a
// []byte, it is sent as application/octet-stream. Where both are protobuf
// messages they are sent as protobuf.
func Call[Res any](ctx context.Context, c *Client, service, method string, req any, opts ...CallOption) (*Res, error) {
	o := collect(opts)
	plan := planOfType[Res](c.plan)
	r := c.outgoing.get()
	defer func() { c.outgoing.put(r) }()
	r.Request = Request{
		Service: service, Method: method, Instance: o.instance(service), Meta: o.meta, ID: o.id,
		Key: o.key, Idempotent: o.idempotent, Retries: o.retries, Hedge: o.hedge, cancellable: ctx.Done() != nil, Timeout: o.timeout,
	}
	r.Codec = o.codec
	if r.Codec == 0 {
		r.Codec = c.choose(&r.Request, req, plan)
	}
	if req != nil {
		room := c.buffers.get() // nobody may keep the body for longer than the call
		defer c.buffers.put(room)
		var err error
		if r.Codec == codec.Raw { // bytes are sent from where they are
			r.Body, err = c.plan.Marshal(r.Codec, req)
		} else if r.Body, err = c.plan.Append(room.b, r.Codec, req); err == nil {
			room.b = r.Body
		}
		if err != nil {
			return nil, c.explain(err, &r.Request, c.conn.Now())
		}
	}
	if len(c.cfg.Middleware) == 0 { // which might keep the answer, and with it all of the call
		r.from.room = &r.answer
	}
	start := c.conn.Now()
	res, err := c.do(ctx, r, start)
	if err != nil {
		return nil, err
	}
	out := new(Res)
	if err := c.decode(res, out, plan); err != nil {
		return nil, c.explain(badReply("%w", err), &r.Request, start)
	}
	return out, nil
}

// choose picks the codec for a request, given the plan of its answer's type.
func (c *Client) choose(r *Request, req any, answer codec.Codec) codec.Codec {
	plan := codec.Msgpack // an empty body is right in every codec
	if req != nil {
		plan = planOfValue(c.plan, req)
	}
	switch {
	case plan == codec.Raw, plan == codec.Protobuf && answer == codec.Protobuf:
		return plan
	case plan == codec.Msgpack && answer == codec.Msgpack && c.peers.get(r.Service).frames():
		return plan
	}
	return codec.JSON
}

// decode reads an answer into what out points to, whose type is sent in the
// codec plan between mbus programs.
func (c *Client) decode(res *Response, out any, plan codec.Codec) error {
	k, body := res.Codec, res.Body
	if !k.Valid() {
		k = codec.JSON // middleware may have answered
	}
	switch {
	case plan == codec.Raw:
		k = codec.Raw
	case k == codec.Msgpack && plan != codec.Msgpack && len(body) > 0:
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		if err != nil {
			return err
		}
		k, body = codec.JSON, text
	}
	return c.plan.Unmarshal(k, body, out)
}

// A CallOption changes one call.
type CallOption func(*callOptions)

type callOptions struct {
	timeout    time.Duration
	node       string
	meta       Metadata
	id         string
	idempotent bool
	retries    *int
	hedge      bool
	codec      codec.Codec
	key        string
}

func collect(opts []CallOption) callOptions {
	if len(opts) == 0 {
		return callOptions{}
	}
	o := new(callOptions)
	for _, opt := range opts {
		opt(o)
	}
	return *o
}

// WithTimeout bounds the call, with all its tries; a context that ends earlier
// still ends it. Without it, and without a deadline in the context, the
// client's Timeout counts; so it does when d is 0 or less.
func WithTimeout(d time.Duration) CallOption {
	return func(o *callOptions) { o.timeout = d }
}

// WithNode sends the call to one instance: its id, or <service>-<id> as
// listings show it.
func WithNode(id string) CallOption {
	return func(o *callOptions) { o.node = id }
}

// WithMeta adds one entry of metadata.
func WithMeta(name, value string) CallOption {
	return func(o *callOptions) {
		if o.meta == nil {
			o.meta = make(Metadata)
		}
		o.meta[name] = value
	}
}

// WithID names the call, for handlers that keep a ledger of what they have
// done.
func WithID(id string) CallOption {
	return func(o *callOptions) { o.id = id }
}

// WithIdempotent says that the handler may run twice with the effect of running
// once. Then a call without an answer is sent again after each quarter of its
// time (with the usual three retries), and after a lost broker; the first answer
// counts. Methods that every instance of the service declares to be idempotent
// need it only until the client has learnt that, which its first call prompts.
func WithIdempotent() CallOption {
	return func(o *callOptions) { o.idempotent = true }
}

// WithRetries replaces the Retries of the client for this call: 0 sends it once.
func WithRetries(n int) CallOption {
	return func(o *callOptions) { o.retries = &n }
}

// WithHedge asks for what ClientConfig.Hedge says, for this call.
func WithHedge() CallOption {
	return func(o *callOptions) { o.hedge = true }
}

// WithCodec sends the request in this codec, whatever the service speaks. It is
// for what Call cannot know, such as a service that takes msgpack and is not
// made with mbus.
func WithCodec(c codec.Codec) CallOption {
	return func(o *callOptions) { o.codec = c }
}

// WithKey sends calls with the same key to the same instance, as long as it is
// there, where the client's Selector is consistent-hash. The key does not
// travel.
func WithKey(key string) CallOption {
	return func(o *callOptions) { o.key = key }
}

func (o *callOptions) instance(service string) string {
	return strings.TrimPrefix(o.node, service+"-")
}

// A Method is a contract that a service and its callers share: declare it once
// and the compiler keeps both sides to it.
//
//	var Hello = rpc.Method[HelloRequest, HelloResponse]{Service: "go.micro.srv.greeter", Name: "Say.Hello"}
type Method[Req, Res any] struct {
	Service string
	Name    string
	// Idempotent says that a call may run twice with the effect of running
	// once: the method declares it, and its callers count on it.
	Idempotent bool
	// Timeout bounds a call that has neither a deadline nor a WithTimeout. 0
	// means that of the client.
	Timeout time.Duration
}

// Handle registers f as this method of s, whose name must be the Service of the
// contract: another name panics.
func (m Method[Req, Res]) Handle(s *Server, f func(context.Context, *Req) (*Res, error), opts ...HandleOption) {
	if s.cfg.Name != m.Service {
		panic("rpc: " + m.Name + " is a method of " + m.Service + ", not of " + s.cfg.Name)
	}
	if m.Idempotent {
		opts = append(opts[:len(opts):len(opts)], Idempotent())
	}
	Handle(s, m.Name, f, opts...)
}

// Call calls the method.
func (m Method[Req, Res]) Call(ctx context.Context, c *Client, req *Req, opts ...CallOption) (*Res, error) {
	return Call[Res](ctx, c, m.Service, m.Name, req, m.options(ctx, opts)...)
}

// CallAll calls the method on every instance; see [CallAll].
func (m Method[Req, Res]) CallAll(ctx context.Context, c *Client, req *Req, opts ...CallOption) Answers[Res] {
	return CallAll[Res](ctx, c, m.Service, m.Name, req, m.options(ctx, opts)...)
}

// options puts what the contract says before what the caller says.
func (m Method[Req, Res]) options(ctx context.Context, opts []CallOption) []CallOption {
	own := make([]CallOption, 0, len(opts)+2)
	if m.Idempotent {
		own = append(own, WithIdempotent())
	}
	if _, bounded := ctx.Deadline(); m.Timeout > 0 && !bounded {
		own = append(own, WithTimeout(m.Timeout))
	}
	return append(own, opts...)
}
