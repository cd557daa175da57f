//go:build gomicro

package main

import (
	"context"
	"time"

	natstransport "github.com/go-micro/plugins/v4/transport/nats"
	gobroker "go-micro.dev/v4/broker"
	goclient "go-micro.dev/v4/client"
	goregistry "go-micro.dev/v4/registry"
	goselector "go-micro.dev/v4/selector"
	goserver "go-micro.dev/v4/server"
	gotransport "go-micro.dev/v4/transport"
)

// goMicroCaller is go-micro with its transport over NATS and JSON, its codec by
// default. The client is told the address, so no registry is asked, and the
// broker of the server, which would listen for events over HTTP, is one in
// memory. The rest is as it is by default: a connection carries one call at a
// time, and of those that are free again a client keeps a hundred.
//
// Only a program built with this tag has go-micro, whose packages make it 9 MB
// larger and have state from the start: the other one leaves the contender to it,
// so that no process of anybody else carries them.
func goMicroCaller() contender {
	return contender{
		name: "go-micro", title: "go-micro over NATS", broker: true, streams: "a stream of it is a connection of its own",
		serve: serveGoMicro, dial: dialGoMicro,
	}
}

const goMicroService = "bench.go-micro"

// Echo is the service of go-micro, which wants exported names.
type Echo struct{}

// EchoMessage is a message for it.
type EchoMessage struct {
	Text string `json:"text"`
}

// Call answers with what it got.
func (Echo) Call(_ context.Context, req, res *EchoMessage) error {
	*res = *req
	return nil
}

// serveGoMicro returns once the service answers: its Start does not wait for its
// subscription.
func serveGoMicro(ctx context.Context, broker string) (string, func(), error) {
	srv := goserver.NewServer(
		goserver.Name(goMicroService), goserver.Transport(natstransport.NewTransport(gotransport.Addrs(broker))),
		goserver.Registry(goregistry.NewMemoryRegistry()), goserver.Broker(gobroker.NewMemoryBroker()),
	)
	if err := srv.Handle(srv.NewHandler(Echo{})); err != nil {
		return "", nil, err
	}
	if err := srv.Start(); err != nil {
		return "", nil, err
	}
	address, end := srv.Options().Address, func() { _ = srv.Stop() }
	c, err := dialGoMicro(ctx, broker, address)
	if err != nil {
		end()
		return "", nil, err
	}
	defer c.close()
	for call := c.call(small); ; pause(time.Millisecond) {
		err := call(ctx)
		switch {
		case err == nil:
			return address, end, nil
		case ctx.Err() != nil:
			end()
			return "", nil, err
		}
	}
}

func dialGoMicro(_ context.Context, broker, address string) (*client, error) {
	none := goregistry.NewMemoryRegistry()
	c := goclient.NewClient(
		goclient.Transport(natstransport.NewTransport(gotransport.Addrs(broker))),
		goclient.Selector(goselector.NewSelector(goselector.Registry(none))),
	)
	at := goclient.WithAddress(address)
	return &client{
		call: func(size int) func(context.Context) error {
			body := &EchoMessage{Text: text(size)}
			return func(ctx context.Context) error {
				var got EchoMessage
				err := c.Call(ctx, c.NewRequest(goMicroService, "Echo.Call", body), &got, at)
				return checked(len(got.Text), size, err)
			}
		},
		close: func() { _ = c.Init(goclient.PoolSize(1)) }, // another pool, which closes the connections of this one
	}, nil
}
