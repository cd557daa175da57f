package main

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// rawCaller is the floor: the request and the answer of plain nats.go, served
// on the subscription's goroutine, without a codec.
func rawCaller() contender {
	return contender{name: "raw", title: "plain nats.go", broker: true, serve: serveRaw, dial: dialRaw}
}

func serveRaw(_ context.Context, broker string) (string, func(), error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return "", nil, err
	}
	if _, err := nc.QueueSubscribe("bench.raw", "q", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return "", nil, err
	}
	if _, err := nc.QueueSubscribe("bench.raw.feed", "q", func(m *nats.Msg) {
		f, err := feedFrom(string(m.Data))
		if err != nil {
			return
		}
		body := []byte(text(f.Size))
		for range f.Count {
			_ = nc.Publish(m.Reply, body) // the caller misses what fails
		}
	}); err != nil {
		return "", nil, err
	}
	return "", nc.Close, nc.Flush()
}

func dialRaw(_ context.Context, broker, _ string) (*client, error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return nil, err
	}
	return &client{
		call: func(size int) func(context.Context) error {
			body := []byte(text(size))
			return func(context.Context) error {
				m, err := nc.Request("bench.raw", body, patience)
				if err != nil {
					return err
				}
				return checked(len(m.Data), size, nil)
			}
		},
		transfer: func(ctx context.Context, size, count int) error {
			inbox := nats.NewInbox()
			done := make(chan struct{})
			var got atomic.Int64
			sub, err := nc.Subscribe(inbox, func(*nats.Msg) {
				if got.Add(1) == int64(count) {
					close(done)
				}
			})
			if err != nil {
				return err
			}
			defer func() { _ = sub.Unsubscribe() }()
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				return err
			}
			if err := nc.PublishRequest("bench.raw.feed", inbox, []byte(feed{count, size}.String())); err != nil {
				return err
			}
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return arrived(int(got.Load()), count, nil)
			}
		},
		close: nc.Close,
	}, nil
}

// rawEvents publishes with plain nats.go.
func rawEvents() contender {
	const name, subject = "raw-events", "bench.events.raw"
	return contender{
		name: name, title: "plain nats.go", broker: true, events: true,
		serve: func(ctx context.Context, broker string) (string, func(), error) {
			nc, err := nats.Connect(broker)
			if err != nil {
				return "", nil, err
			}
			count := &tally{nc: nc, name: name}
			sub, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = count.add(string(m.Data)) }) // the publisher misses it
			if err != nil {
				return "", nil, err
			}
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				return "", nil, err
			}
			return "", nc.Close, nc.FlushWithContext(ctx)
		},
		dial: func(_ context.Context, broker, subscribers string) (*client, error) {
			nc, err := nats.Connect(broker)
			if err != nil {
				return nil, err
			}
			return publishing{
				name: name, nc: nc, subscribers: subscribers, close: nc.Close,
				publish: func(text string) func(context.Context) error {
					body := []byte(text)
					return func(context.Context) error { return nc.Publish(subject, body) }
				},
			}.client()
		},
	}
}
