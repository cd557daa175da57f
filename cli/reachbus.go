package cli

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/netip"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/pubsub"
	"github.com/mbus-dev/mbus/rpc"
)

// A busReach is the way over the bus itself.
type busReach struct {
	session *session
	conn    *bus.Conn
	client  *rpc.Client
	free    func()
}

func (b *busReach) close() { b.free() }

func (b *busReach) list(ctx context.Context) ([]string, error) { return discovery.List(ctx, b.conn) }

func (b *busReach) get(ctx context.Context, service string) ([]discovery.Service, error) {
	services, err := discovery.Get(ctx, b.conn, service)
	if errors.Is(err, bus.NotFound) {
		e := *bus.AsError(err)
		e.End = bus.Nobody
		return nil, &e
	}
	return services, err
}

// register says of a loopback address whose it is: that of the host where the
// command runs. The sidecar of that host then serves the app.
func (b *busReach) register(ctx context.Context, service discovery.Service, ttl time.Duration) error {
	for i := range service.Nodes {
		n := &service.Nodes[i]
		if ip, err := netip.ParseAddr(n.Address); err != nil || !ip.IsLoopback() || n.Metadata["host"] != "" {
			continue
		}
		metadata := maps.Clone(n.Metadata)
		if metadata == nil {
			metadata = make(map[string]string, 1)
		}
		metadata["host"] = sidecar.HostID()
		n.Metadata = metadata
	}
	return discovery.Register(ctx, b.conn, service, ttl)
}

func (b *busReach) deregister(ctx context.Context, service discovery.Service) error {
	return discovery.Deregister(ctx, b.conn, service)
}

func (b *busReach) call(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	return b.client.Do(ctx, req)
}

func (b *busReach) open(ctx context.Context, req *rpc.Request) (conversation, error) {
	stream, err := b.client.Open(ctx, req)
	if err != nil {
		return nil, err // and no nil stream in an interface
	}
	return stream, nil
}

// ping asks as every NATS service answers.
func (b *busReach) ping(ctx context.Context, service string, n discovery.Node) error {
	name, id := service, instanceID(service, n.ID)
	if n.Address+".>" == wire.NodeWildcard(name, id) {
		name, id = wire.Escape(name), wire.EscapeID(id)
	}
	_, err := b.conn.Request(ctx, wire.SrvSubject(wire.VerbPing, name, id), nil, nil)
	return err
}

func (b *busReach) publish(ctx context.Context, topic string, body []byte, headers []header, confirmed bool) error {
	var opts []pubsub.PublishOption
	for _, h := range headers {
		opts = append(opts, pubsub.WithHeader(h.key, h.value))
	}
	if confirmed {
		opts = append(opts, pubsub.WithConfirm())
	}
	return pubsub.Publish(ctx, b.conn, topic, body, opts...)
}

func (b *busReach) settle(ctx context.Context) error { return b.conn.Flush(ctx) }

func (b *busReach) maxEvent() int { return b.conn.MaxPayload() }

func (b *busReach) subscribe(ctx context.Context, topic, group string, started func(), f func(*nats.Msg)) (uint64, error) {
	sub, err := b.conn.Subscribe(ctx, topic, group, bus.Limits{}, f)
	if err != nil {
		return 0, err
	}
	started()
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastEvents)
	defer cancel()
	err = sub.Drain(last)
	return sub.Dropped(), err
}

func (b *busReach) watch(ctx context.Context, services []string, snapshot bool) iter.Seq2[watchLine, error] {
	return func(yield func(watchLine, error) bool) {
		var opts []discovery.WatchOption
		if len(services) > 0 {
			opts = append(opts, discovery.WithService(services...))
		}
		view, err := discovery.Watch(ctx, b.conn, opts...)
		if err != nil {
			yield(watchLine{}, err)
			return
		}
		defer view.Close()
		limited, cancel := b.session.within(ctx)
		defer cancel()
		select {
		case <-view.Ready():
		case <-limited.Done():
			if err := stopped(ctx, context.Cause(limited)); err != nil {
				yield(watchLine{}, err)
			}
			return
		}
		w := &watcher{view: view, known: map[string]discovery.Instance{}, yield: yield}
		w.run(ctx, snapshot)
	}
}

// A watcher yields what changes in a view. It knows what it has yielded, so that
// it can make up for changes that it was too slow for.
type watcher struct {
	view  *discovery.View
	known map[string]discovery.Instance // by service and id
	yield func(watchLine, error) bool
}

// run stops when nobody wants more; so do the methods below, with false.
func (w *watcher) run(ctx context.Context, snapshot bool) {
	instances, seq := w.view.Snapshot()
	for _, i := range instances {
		if !snapshot {
			w.known[watchKey(i)] = i
		} else if !w.tell(discovery.Create, i, time.Now()) {
			return
		}
	}
	for change := range w.view.ChangesAfter(ctx, seq) {
		if change.Action == discovery.Resync {
			if !w.catchUp(change.At) {
				return
			}
		} else if !w.tell(change.Action, change.Instance, change.At) {
			return
		}
	}
}

// catchUp yields the difference between what was yielded and what is there.
func (w *watcher) catchUp(at time.Time) bool {
	instances, _ := w.view.Snapshot()
	gone := maps.Clone(w.known)
	for _, i := range instances {
		action := discovery.Update
		if _, ok := gone[watchKey(i)]; !ok {
			action = discovery.Create
		}
		delete(gone, watchKey(i))
		if !w.tell(action, i, at) {
			return false
		}
	}
	for _, i := range gone {
		if !w.tell(discovery.Delete, i, at) {
			return false
		}
	}
	return true
}

func watchKey(i discovery.Instance) string { return i.Service + " " + i.ID }

func (w *watcher) tell(action discovery.Action, i discovery.Instance, at time.Time) bool {
	if action == discovery.Delete {
		delete(w.known, watchKey(i))
	} else {
		w.known[watchKey(i)] = i
	}
	for _, service := range discovery.Services([]discovery.Instance{i}, nil) {
		if !w.yield(watchLine{action, service, stamp(at)}, nil) {
			return false
		}
	}
	return true
}
