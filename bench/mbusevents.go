package main

import (
	"context"

	"github.com/tinylib/msgp/msgp"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/pubsub"
)

// mbusEventsJSON publishes typed events as anybody would.
func mbusEventsJSON() contender {
	return mbusEvents("mbus-json", "mbus, JSON", func(text string) *message { return &message{text} }, func(m *message) string { return m.Text })
}

// mbusEventsMsgpack publishes typed events with a generated codec.
func mbusEventsMsgpack() contender {
	return mbusEvents("mbus-msgpack", "mbus, generated msgpack", func(text string) *packed { return &packed{text} },
		func(m *packed) string { return m.Text }, pubsub.WithCodec(codec.Msgpack))
}

// boundless is a buffer that drops nothing, as the floor has it too.
const boundless = 1 << 40

func mbusEvents[T any](name, title string, wrap func(string) *T, read func(*T) string, opts ...pubsub.PublishOption) contender {
	topic := "bench.events." + name
	return contender{
		name: name, title: title, broker: true, events: true,
		serve: func(ctx context.Context, broker string) (string, func(), error) {
			conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
			if err != nil {
				return "", nil, err
			}
			count := &tally{nc: conn.NATS(), name: name}
			sub := pubsub.Subscribe(conn, topic, func(_ context.Context, e *pubsub.Event[T]) error {
				return count.add(read(&e.Value))
			}, pubsub.WithBuffer(boundless, boundless))
			return "", func() { stop(sub.Stop, conn.Close) }, sub.Start(ctx)
		},
		dial: func(ctx context.Context, broker, subscribers string) (*client, error) {
			conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
			if err != nil {
				return nil, err
			}
			return publishing{
				name: name, nc: conn.NATS(), subscribers: subscribers, close: func() { stop(conn.Close) },
				publish: func(text string) func(context.Context) error {
					value := wrap(text)
					return func(ctx context.Context) error { return pubsub.Publish(ctx, conn, topic, value, opts...) }
				},
			}.client()
		},
	}
}

// A packed is a message with the methods that github.com/tinylib/msgp generates.
type packed struct {
	Text string `json:"text" msg:"text"`
}

// MarshalMsg appends the message to b.
func (p *packed) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.Require(b, msgp.MapHeaderSize+msgp.StringPrefixSize*2+4+len(p.Text))
	b = append(b, 0x81, 0xa4, 't', 'e', 'x', 't')
	return msgp.AppendString(b, p.Text), nil
}

// UnmarshalMsg reads a message from the start of b and returns the rest.
func (p *packed) UnmarshalMsg(b []byte) ([]byte, error) {
	fields, b, err := msgp.ReadMapHeaderBytes(b)
	for ; err == nil && fields > 0; fields-- {
		var field []byte
		if field, b, err = msgp.ReadMapKeyZC(b); err != nil {
			break
		}
		if string(field) == "text" {
			p.Text, b, err = msgp.ReadStringBytes(b)
		} else {
			b, err = msgp.Skip(b)
		}
	}
	return b, err
}
