package gateway

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/rpc"
)

// BusConfig configures a Bus. The zero value works.
type BusConfig struct {
	// From is the name that calls carry as their origin, such as "go.micro.api".
	From string
	// Selector chooses the instance of each call; the zero value leaves it to
	// the bus.
	Selector selector.Config
	// Rules say what the caller of a request may do, as its token says who that
	// is. Nil allows everything.
	Rules *token.Rules
	// MaxBody is the most bytes of a request or an answer. 0 means 64 MiB. The
	// large answers that have to be whole here have four times as much at once.
	MaxBody int
	// Logger gets what no caller can be told. The zero value is silent.
	Logger zerolog.Logger
}

// A Bus is the side of a gateway that faces the bus: a client for calls and
// streams, and a live list of who is there. Rooms in one process share it. It is
// a bus.Runner; its methods may be called from any goroutine once it has
// started.
type Bus struct {
	// Conn is the connection.
	Conn *bus.Conn
	// Client makes the calls of all rooms: what it refuses nobody gets.
	Client *rpc.Client

	rules     *token.Rules
	logger    zerolog.Logger
	gathering gathering

	view   atomic.Pointer[discovery.View]
	mu     sync.Mutex
	cancel context.CancelFunc
}

// NewBus returns a Bus on conn that knows nobody before Start.
func NewBus(conn *bus.Conn, cfg BusConfig) *Bus {
	b := &Bus{Conn: conn, rules: cfg.Rules, logger: cfg.Logger}
	b.gathering.limit = gatherFactor * defaultMaxBody
	if cfg.MaxBody > 0 {
		b.gathering.limit = gatherFactor * int64(cfg.MaxBody)
	}
	b.Client = rpc.NewClient(conn, rpc.ClientConfig{
		From: cfg.From, Selector: cfg.Selector, MaxBody: cfg.MaxBody, Logger: cfg.Logger,
		Middleware: []rpc.Middleware{b.guard},
	})
	return b
}

// Start begins to watch who is there. It does not wait for them: a gateway
// serves at once, and calls need no list.
func (b *Bus) Start(ctx context.Context) error {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	view, err := discovery.Watch(watching, b.Conn)
	if err != nil {
		cancel()
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.view.Store(view)
	b.cancel = cancel
	return nil
}

// Stop ends the watching and the client.
func (b *Bus) Stop(ctx context.Context) error {
	b.mu.Lock()
	view, cancel := b.view.Load(), b.cancel
	b.mu.Unlock()
	if view == nil {
		return nil
	}
	cancel()
	view.Close()
	return b.Client.Close(ctx)
}

// View is the live list of all services; nil before Start.
func (b *Bus) View() *discovery.View { return b.view.Load() }

// Reachable returns nil while there is a broker, and else the error that callers
// are to get. HTTP clients are told at once when to come back: a call that waited
// for the broker, as the rpc client lets those that may be made twice, would hold
// their connection until its time is up. Client asks by itself, before each call.
func (b *Bus) Reachable() error {
	if b.Conn.Connected() {
		return nil
	}
	e := bus.Errorf(bus.Unavailable, "the broker is away")
	e.End, e.Retry = bus.Broker, bus.RetrySafe
	return e
}

// Endpoint finds an endpoint that some live instance of a service has.
func (b *Bus) Endpoint(service, method string) (discovery.Endpoint, bool) {
	if view := b.View(); view != nil {
		for _, i := range view.Instances(service) {
			if e, ok := i.Endpoint(method); ok {
				return e, true
			}
		}
	}
	return discovery.Endpoint{}, false
}

// InstanceID is the id to call one instance by, from what a client calls its
// node or address: the id as the registry shows it, the instance's own id, its
// subject on the bus, or the host:port of a registered app. "" stays "".
func (b *Bus) InstanceID(service, node string) string {
	if of, id, _, ok := wire.ParseNode(node + ".x"); ok && of == service {
		return id
	}
	for _, i := range b.Apps(service) {
		if net.JoinHostPort(i.Address, strconv.Itoa(i.Port)) == node {
			return i.CallID()
		}
	}
	return strings.TrimPrefix(node, service+"-")
}

// Known reports whether a live instance of the service is there.
func (b *Bus) Known(service string) bool {
	view := b.View()
	return view != nil && len(view.Instances(service)) > 0
}

// Apps returns the instances of a service that were registered with an address
// and are reached by HTTP.
func (b *Bus) Apps(service string) []discovery.Instance {
	view := b.View()
	if view == nil {
		return nil
	}
	var apps []discovery.Instance
	for _, i := range view.Instances(service) {
		if i.Registered() {
			apps = append(apps, i)
		}
	}
	return apps
}
