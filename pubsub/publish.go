package pubsub

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// A PublishOption changes one Publish.
type PublishOption func(*publishing)

type publishing struct {
	codec   codec.Codec
	header  nats.Header
	confirm bool
	body    []byte // encoded, where that is needed
	topic   string // the last one that was checked
}

// WithCodec encodes the event with c instead of JSON, and names it in the
// Content-Type header where a reader could not tell: MessagePack goes without a
// header unless it begins as JSON might, which the numbers 0 to 127 and -17 do.
func WithCodec(c codec.Codec) PublishOption {
	return func(p *publishing) { p.codec = c }
}

// WithHeader adds a header to the event.
func WithHeader(key, value string) PublishOption {
	return func(p *publishing) { p.set(key, value) }
}

// WithConfirm makes Publish wait until the broker has taken the event, which
// costs a round trip, and report a missing right as permission_denied. It says
// nothing of subscribers.
func WithConfirm() PublishOption {
	return func(p *publishing) { p.confirm = true }
}

// A publisher is what all events of a connection share.
type publisher struct {
	planned sync.Once
	plan    *codec.Plan
	headers [codec.Raw + 1]nats.Header // Content-Type of each codec; only read
	kept    sync.Pool                  // NATS copies what it publishes, so a body is free again at once
}

type publisherKey struct{}

func publisherOf(conn *bus.Conn) *publisher {
	p := conn.Shared(publisherKey{}, func() any {
		p := new(publisher)
		for c := codec.JSON; c.Valid(); c++ {
			p.headers[c] = nats.Header{wire.HeaderContentType: {c.ContentType()}}
		}
		return p
	}).(*publisher)
	p.planned.Do(func() { p.plan = codec.PlanOf(conn) })
	return p
}

// maxKept bounds the body that is kept for the next event.
const maxKept = 64 << 10

func (p *publisher) begin(opts []PublishOption) *publishing {
	e, ok := p.kept.Get().(*publishing)
	if !ok {
		e = new(publishing)
	}
	e.codec = codec.JSON
	for _, opt := range opts {
		opt(e)
	}
	return e
}

func (p *publisher) end(e *publishing) {
	if cap(e.body) <= maxKept {
		*e = publishing{body: e.body[:0], topic: e.topic}
		p.kept.Put(e)
	}
}

// name adds the Content-Type of the event, if it needs one, or has headers
// anyhow. Where it is the only one, all events share it: a header costs as much
// as the rest of an event.
func (p *publishing) name(by *publisher) {
	switch {
	case p.codec == codec.JSON:
	case p.header != nil:
		p.set(wire.HeaderContentType, p.codec.ContentType())
	case p.codec.NeedsType(p.body):
		p.header = by.headers[p.codec]
	}
}

func (p *publishing) set(key, value string) {
	if p.header == nil {
		p.header = nats.Header{}
	}
	p.header.Set(key, value)
}

// Publish sends an event to everyone who is subscribed to topic at this
// moment, as JSON unless an option says otherwise. A []byte is sent as it is,
// without a Content-Type. The error is a *bus.Error: invalid_argument for an
// illegal topic, internal for a value that cannot be encoded, too_large over
// the broker's limit, unavailable with End Broker when the broker is away.
func Publish[T any](ctx context.Context, conn *bus.Conn, topic string, value T, opts ...PublishOption) error {
	by := publisherOf(conn)
	p := by.begin(opts)
	defer by.end(p)
	if topic != p.topic || topic == "" {
		if err := wire.CheckTopic(topic); err != nil {
			return bus.Errorf(bus.InvalidArgument, "%w", err)
		}
		p.topic = topic
	}
	v := any(value)
	if bytes, verbatim := v.([]byte); verbatim {
		return p.publish(ctx, conn, topic, bytes)
	}
	encoded, err := by.plan.Append(p.body, p.codec, v)
	if err != nil {
		return err
	}
	p.body = encoded
	p.name(by)
	return p.publish(ctx, conn, topic, encoded)
}

func (p *publishing) publish(ctx context.Context, conn *bus.Conn, topic string, body []byte) error {
	if p.confirm {
		return conn.PublishConfirmed(ctx, topic, "", p.header, body)
	}
	return conn.Publish(ctx, topic, "", p.header, body)
}

// A Topic is a contract between publishers and subscribers: a name and the
// type of its events, in one value that both import.
//
//	var UserCreated = pubsub.Topic[User]{Name: "user.created"}
type Topic[T any] struct {
	// Name is the topic. For Subscribe and Chan it may be a pattern.
	Name string
}

// Publish is [Publish] on the topic.
func (t Topic[T]) Publish(ctx context.Context, conn *bus.Conn, value T, opts ...PublishOption) error {
	return Publish(ctx, conn, t.Name, value, opts...)
}

// Subscribe is [Subscribe] on the topic.
func (t Topic[T]) Subscribe(conn *bus.Conn, handler Handler[T], opts ...SubscribeOption) *Subscription {
	return Subscribe(conn, t.Name, handler, opts...)
}

// Chan is [Chan] on the topic.
func (t Topic[T]) Chan(ctx context.Context, conn *bus.Conn, ch chan<- T, opts ...SubscribeOption) (*Subscription, error) {
	return Chan(ctx, conn, t.Name, ch, opts...)
}
