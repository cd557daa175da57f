package main

import (
	"context"

	"github.com/livekit/psrpc"
	"github.com/livekit/psrpc/pkg/bus/natsbus"
	psclient "github.com/livekit/psrpc/pkg/client"
	"github.com/livekit/psrpc/pkg/info"
	"github.com/livekit/psrpc/pkg/rand"
	psserver "github.com/livekit/psrpc/pkg/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// psrpcCaller is LiveKit's RPC over NATS, as its generator sets a method up
// that has no options. Its channels are made larger than by default, since it
// drops what does not fit.
func psrpcCaller() contender {
	return contender{name: "psrpc", title: "psrpc", broker: true, serve: servePsrpc, dial: dialPsrpc}
}

const psrpcRoom = 4096

func psrpcService(id string) *info.ServiceDefinition {
	sd := &info.ServiceDefinition{Name: "Bench", ID: id}
	sd.RegisterMethod("Call", false, false, true, false)
	sd.RegisterMethod("Feed", false, false, true, false)
	return sd
}

func servePsrpc(ctx context.Context, broker string) (string, func(), error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return "", nil, err
	}
	srv := psserver.NewRPCServer(psrpcService(rand.NewServerID()), natsbus.New(nc), psrpc.WithServerChannelSize(psrpcRoom))
	if err := psserver.RegisterHandler(srv, "Call", nil, func(_ context.Context, m *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return m, nil
	}, nil); err != nil {
		return "", nil, err
	}
	if err := psserver.RegisterStreamHandler(srv, "Feed", nil, func(s psrpc.ServerStream[*wrapperspb.StringValue, *wrapperspb.StringValue]) error {
		req, ok := <-s.Channel()
		if !ok {
			return s.Err()
		}
		f, err := feedFrom(req.Value)
		if err != nil {
			return err
		}
		m := wrapperspb.String(text(f.Size))
		for range f.Count {
			if err := s.Send(m); err != nil {
				return err
			}
		}
		return s.Close(nil)
	}, nil); err != nil {
		return "", nil, err
	}
	return "", func() { srv.Close(true); nc.Close() }, nc.FlushWithContext(ctx)
}

func dialPsrpc(_ context.Context, broker, _ string) (*client, error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return nil, err
	}
	c, err := psclient.NewRPCClientWithStreams(psrpcService(rand.NewClientID()), natsbus.New(nc), psrpc.WithClientChannelSize(psrpcRoom))
	if err != nil {
		return nil, err
	}
	return &client{
		call: func(size int) func(context.Context) error {
			req := wrapperspb.String(text(size))
			return func(ctx context.Context) error {
				res, err := psclient.RequestSingle[*wrapperspb.StringValue](ctx, c, "Call", nil, req)
				if err != nil {
					return err
				}
				return checked(len(res.Value), size, nil)
			}
		},
		transfer: func(ctx context.Context, size, count int) error {
			s, err := psclient.OpenStream[*wrapperspb.StringValue, *wrapperspb.StringValue](ctx, c, "Feed", nil)
			if err != nil {
				return err
			}
			if err := s.Send(wrapperspb.String(feed{count, size}.String())); err != nil {
				return err
			}
			got := 0
			for m := range s.Channel() {
				if err := checked(len(m.Value), size, nil); err != nil {
					return err
				}
				got++
			}
			return arrived(got, count, nil)
		},
		close: func() { c.Close(); nc.Close() },
	}, nil
}
