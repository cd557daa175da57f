package main

import (
	"context"

	"github.com/mbus-dev/mbus/embedded"
)

// broker is the role of the NATS broker that all contenders on NATS share: the
// one of a node, without JetStream, which none of them uses.
func broker() func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true, Logger: logger()})
		if err != nil {
			return nil, err
		}
		return &role{address: node.URL(), stop: func() { stop(node.Stop) }}, nil
	}
}
