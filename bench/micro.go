package main

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// microCaller is the services framework of nats.go, with JSON bodies.
func microCaller() contender {
	return contender{name: "micro", title: "nats.go/micro, JSON", broker: true, streams: noStreams, serve: serveMicro, dial: dialMicro}
}

func serveMicro(ctx context.Context, broker string) (string, func(), error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return "", nil, err
	}
	srv, err := micro.AddService(nc, micro.Config{Name: "bench", Version: "1.0.0"})
	if err != nil {
		return "", nil, err
	}
	if err := srv.AddEndpoint("Call", micro.HandlerFunc(func(r micro.Request) {
		var m message
		if err := json.Unmarshal(r.Data(), &m); err != nil {
			_ = r.Error("400", err.Error(), nil)
			return
		}
		_ = r.RespondJSON(&m) // the caller misses it
	}), micro.WithEndpointSubject("bench.micro")); err != nil {
		return "", nil, err
	}
	return "", func() { _ = srv.Stop(); nc.Close() }, nc.FlushWithContext(ctx)
}

func dialMicro(_ context.Context, broker, _ string) (*client, error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return nil, err
	}
	return &client{
		call: func(size int) func(context.Context) error {
			req := &message{Text: text(size)}
			return func(context.Context) error {
				body, err := json.Marshal(req)
				if err != nil {
					return err
				}
				res, err := nc.Request("bench.micro", body, patience)
				if err != nil {
					return err
				}
				var got message
				err = json.Unmarshal(res.Data, &got)
				return checked(len(got.Text), size, err)
			}
		},
		close: nc.Close,
	}, nil
}
