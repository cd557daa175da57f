package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// A holder is one way to hold many units open.
type holder struct {
	contender string // whose row it is
	title     string
	kind      string // kindStreams or kindConnections
	// serve starts the service at the other end, dial what opens the units, as
	// in contender.
	serve func(ctx context.Context, broker string) (address string, stop func(), err error)
	dial  func(ctx context.Context, broker, address string) (func(ctx context.Context, n int) (unit, error), error)
}

const (
	kindStreams     = "open streams"
	kindConnections = "client connections"
)

// name is the holder's in commands.
func (h holder) name() string {
	if h.kind == kindStreams {
		return h.contender + "-streams"
	}
	return h.contender + "-connections"
}

// holders are in the order of their rows. The first of each kind is the floor.
func holders() []holder {
	return []holder{
		rawStreams(), mbusStreams(), grpcStreams(),
		{
			contender: "raw", title: "plain nats.go", kind: kindConnections, serve: serveRaw,
			dial: func(_ context.Context, broker, _ string) (func(context.Context, int) (unit, error), error) {
				return func(ctx context.Context, _ int) (unit, error) {
					c, err := dialRaw(ctx, broker, "")
					if err != nil {
						return nil, err
					}
					return c.call(small), nil
				}, nil
			},
		},
		{
			contender: "mbus", title: "mbus", kind: kindConnections, serve: serveMbus("default"),
			dial: func(_ context.Context, broker, _ string) (func(context.Context, int) (unit, error), error) {
				return func(ctx context.Context, _ int) (unit, error) {
					c, err := mbusDefault().dial(ctx, broker, "")
					if err != nil {
						return nil, err
					}
					return c.call(small), nil
				}, nil
			},
		},
	}
}

func findHolder(name string) (holder, error) {
	for _, h := range holders() {
		if h.name() == name {
			return h, nil
		}
	}
	return holder{}, fmt.Errorf("nothing holds %q open", name)
}

const holdService = "bench.hold"

// mbusStreams are streams in both directions, as anybody would open them.
func mbusStreams() holder {
	return holder{
		contender: "mbus", title: "mbus", kind: kindStreams,
		serve: func(ctx context.Context, broker string) (string, func(), error) {
			conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
			if err != nil {
				return "", nil, err
			}
			srv := rpc.NewServer(conn, rpc.ServerConfig{Name: holdService, Logger: logger()})
			rpc.HandleStream(srv, "Hold.Echo", func(_ context.Context, s *rpc.Stream[message, message]) error {
				for m, err := range s.All() {
					if err != nil {
						return err
					}
					if err := s.Send(m); err != nil {
						return err
					}
				}
				return nil
			})
			return "", func() { stop(cut(srv.Stop), conn.Close) }, srv.Start(ctx)
		},
		dial: func(ctx context.Context, broker, _ string) (func(context.Context, int) (unit, error), error) {
			conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
			if err != nil {
				return nil, err
			}
			c := rpc.NewClient(conn, rpc.ClientConfig{Logger: logger()})
			req := &message{Text: text(small)}
			return func(ctx context.Context, _ int) (unit, error) {
				s, err := rpc.OpenStream[message, message](context.WithoutCancel(ctx), c, holdService, "Hold.Echo")
				if err != nil {
					return nil, err
				}
				return func(context.Context) error {
					if err := s.Send(req); err != nil {
						return err
					}
					res, err := s.Recv()
					if err != nil {
						return err
					}
					return checked(len(res.Text), small, nil)
				}, nil
			}, nil
		},
	}
}

// cut stops what would wait for streams that nobody ends.
func cut(part func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return part(ctx)
	}
}

// rawStreams is what a stream is at least with plain nats.go: a subscription at
// each end, so that both can send. Nothing holds a sender up, and nobody learns
// that the other end is gone.
func rawStreams() holder {
	return holder{
		contender: "raw", title: "plain nats.go", kind: kindStreams,
		serve: func(ctx context.Context, broker string) (string, func(), error) {
			nc, err := nats.Connect(broker)
			if err != nil {
				return "", nil, err
			}
			var opened atomic.Int64
			if _, err := nc.Subscribe(holdService, func(m *nats.Msg) {
				uplink := holdService + "." + strconv.FormatInt(opened.Add(1), 10)
				if _, err := nc.Subscribe(uplink, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err == nil {
					_ = nc.PublishRequest(m.Reply, uplink, nil) // who opened it misses what fails
				}
			}); err != nil {
				return "", nil, err
			}
			return "", nc.Close, nc.FlushWithContext(ctx)
		},
		dial: func(_ context.Context, broker, _ string) (func(context.Context, int) (unit, error), error) {
			nc, err := nats.Connect(broker)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context, _ int) (unit, error) {
				inbox := nats.NewInbox()
				came := make(chan *nats.Msg, 1)
				if _, err := nc.Subscribe(inbox, func(m *nats.Msg) { came <- m }); err != nil {
					return nil, err
				}
				ask := func(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
					if err := nc.PublishRequest(subject, inbox, body); err != nil {
						return nil, err
					}
					select {
					case m := <-came:
						return m, nil
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					}
				}
				accepted, err := ask(ctx, holdService, nil)
				if err != nil {
					return nil, err
				}
				uplink, body := accepted.Reply, []byte(text(small))
				return func(ctx context.Context) error {
					m, err := ask(ctx, uplink, body)
					if err != nil {
						return err
					}
					return checked(len(m.Data), small, nil)
				}, nil
			}, nil
		},
	}
}

// grpcStreams are streams in both directions on one connection of gRPC.
func grpcStreams() holder {
	echo := &grpc.StreamDesc{StreamName: "Echo", ServerStreams: true, ClientStreams: true}
	return holder{
		contender: "grpc", title: "gRPC-go", kind: kindStreams,
		serve: func(ctx context.Context, _ string) (string, func(), error) {
			desc := *echo
			desc.Handler = func(_ any, s grpc.ServerStream) error {
				if err := s.SendHeader(nil); err != nil { // it is accepted
					return err
				}
				for {
					m := new(wrapperspb.StringValue)
					if err := s.RecvMsg(m); err != nil {
						return nil //nolint:nilerr // it is the end of the stream
					}
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}
			return serveGRPCOf(ctx, &grpc.ServiceDesc{ServiceName: "bench.Hold", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{desc}})
		},
		dial: func(_ context.Context, _, address string) (func(context.Context, int) (unit, error), error) {
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return nil, err
			}
			req := wrapperspb.String(text(small))
			return func(ctx context.Context, _ int) (unit, error) {
				s, err := conn.NewStream(context.WithoutCancel(ctx), echo, "/bench.Hold/Echo")
				if err != nil {
					return nil, err
				}
				if _, err := s.Header(); err != nil {
					return nil, err
				}
				return func(context.Context) error {
					res := new(wrapperspb.StringValue)
					if err := errors.Join(s.SendMsg(req), s.RecvMsg(res)); err != nil {
						return err
					}
					return checked(len(res.Value), small, nil)
				}, nil
			}, nil
		},
	}
}
