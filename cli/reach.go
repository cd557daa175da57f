package cli

import (
	"context"
	"iter"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// A reach is the way from a command to services, events and the registry: over
// the bus, or with --proxy-address over HTTP to a sidecar. The errors of both
// are *bus.Errors with the same codes and ends.
type reach interface {
	// list returns the names of all services.
	list(ctx context.Context) ([]string, error)
	// get returns what is known of a service. Nobody listens to one that is not
	// known, whoever says so.
	get(ctx context.Context, service string) ([]discovery.Service, error)
	// register makes nodes known, for ever with ttl 0.
	register(ctx context.Context, service discovery.Service, ttl time.Duration) error
	// deregister takes nodes back.
	deregister(ctx context.Context, service discovery.Service) error
	// watch yields changes of the registry, of all services if none is named,
	// until ctx ends; with snapshot first what is there. --timeout bounds the
	// wait for the beginning.
	watch(ctx context.Context, services []string, snapshot bool) iter.Seq2[watchLine, error]

	// call calls a method.
	call(ctx context.Context, req *rpc.Request) (*rpc.Response, error)
	// ping asks an instance that has no Debug.Health whether it is there.
	ping(ctx context.Context, service string, n discovery.Node) error
	// open opens a stream.
	open(ctx context.Context, req *rpc.Request) (conversation, error)

	// publish publishes an event. With confirmed it returns once the broker has
	// it and all before it.
	publish(ctx context.Context, topic string, body []byte, headers []header, confirmed bool) error
	// settle returns once the broker has all events that were published.
	settle(ctx context.Context) error
	// maxEvent is the most bytes of an event.
	maxEvent() int
	// subscribe hands events to f, one after another, until ctx ends; what has
	// come by then still goes to f, for a moment. started runs once it listens.
	// The number is that of events lost because f was slow.
	subscribe(ctx context.Context, topic, group string, started func(), f func(*nats.Msg)) (lost uint64, err error)

	// close frees what the reach holds.
	close()
}

// A conversation is an open stream, as *rpc.RawStream is one.
type conversation interface {
	Send(c codec.Codec, body []byte) error
	CloseSend() error
	Recv() (codec.Codec, []byte, error)
	Close() error
}

var (
	_ reach        = (*busReach)(nil)
	_ reach        = (*proxyReach)(nil)
	_ conversation = (*rpc.RawStream)(nil)
	_ conversation = (*proxyStream)(nil)
)

// reach returns the way that the options ask for. The caller closes it.
func (s *session) reach(ctx context.Context) (reach, error) {
	if s.opts.ProxyAddress != "" {
		return s.newProxyReach()
	}
	conn, done, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	client, release := s.client(ctx, conn)
	return &busReach{session: s, conn: conn, client: client, free: func() { release(); done() }}, nil
}
