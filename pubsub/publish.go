package pubsub

import (
	"context"

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
}

// WithCodec encodes the event with c, and names it in the Content-Type header,
// instead of JSON.
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

func collect(opts []PublishOption) publishing {
	if len(opts) == 0 {
		return publishing{codec: codec.JSON} // without an allocation
	}
	p := &publishing{codec: codec.JSON}
	for _, opt := range opts {
		opt(p)
	}
	return *p
}

// name adds the Content-Type of the event.
func (p *publishing) name(conn *bus.Conn) {
	if p.header != nil || !p.codec.Valid() {
		p.set(wire.HeaderContentType, p.codec.ContentType())
		return
	}
	// A header costs as much as the rest of an event. Where it is the only one,
	// all events of the connection share it.
	shared := conn.Shared(headersKey{}, func() any {
		var all headers
		for c := codec.JSON; c.Valid(); c++ {
			all[c] = nats.Header{wire.HeaderContentType: {c.ContentType()}}
		}
		return &all
	})
	p.header = shared.(*headers)[p.codec]
}

type headersKey struct{}

// headers are the Content-Type headers of all codecs. They are only read.
type headers [codec.Raw + 1]nats.Header

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
	p := collect(opts)
	if err := wire.CheckTopic(topic); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	body, verbatim := any(value).([]byte)
	if !verbatim {
		encoded, err := codec.PlanOf(conn).Marshal(p.codec, value)
		if err != nil {
			return err
		}
		body = encoded
		if p.codec != codec.JSON {
			p.name(conn)
		}
	}
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
