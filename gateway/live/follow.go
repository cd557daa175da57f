package live

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/pubsub"
)

const (
	maxTopics = 16
	maxGroup  = 128
)

// A following is the subscriptions of one reader, with the one queue that all of
// them fill.
type following struct {
	*queue
	conn *bus.Conn
	subs []*pubsub.Subscription
}

// follow subscribes to topics, in the queue group that the request names.
func (t *talk) follow(named []string) (*following, error) {
	topics, err := topicsOf(named)
	if err != nil {
		return nil, err
	}
	group := t.r.URL.Query().Get("queue")
	if err := checkGroup(group); err != nil {
		return nil, err
	}
	for _, topic := range topics {
		if err := t.s.bus.MaySubscribe(t.r.Context(), topic); err != nil {
			return nil, err
		}
	}
	if err := t.s.bus.Reachable(); err != nil {
		return nil, err // else it would wait for ten seconds
	}
	f := &following{conn: t.s.bus.Conn}
	f.queue = newQueue(f.epoch())
	for _, topic := range topics {
		if err := f.add(t.ctx, topic, group); err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

func (f *following) add(ctx context.Context, topic, group string) error {
	var sub *pubsub.Subscription
	sub = pubsub.Subscribe(f.conn, topic, func(_ context.Context, e *pubsub.Event[[]byte]) error {
		if sub.Stats().Dropped > 0 { // before this one
			f.fail()
			return nil
		}
		f.push(f.epoch(), event{topic: e.Topic, header: e.Header, body: e.Body})
		return nil
	}, pubsub.WithGroup(group), pubsub.WithBuffer(queueEvents, queueBytes))
	if err := sub.Start(ctx); err != nil {
		return err
	}
	f.subs = append(f.subs, sub)
	return nil
}

// stop ends the subscriptions. Nothing is pushed afterwards.
func (f *following) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, sub := range f.subs {
		_ = sub.Stop(ctx) // its only error is that ctx has ended
	}
}

// changed is closed when the connection to the broker is next lost or made
// again, which is when to look.
func (f *following) changed() <-chan struct{} { return f.conn.Changed() }

// epoch is how often NATS has connected anew. It counts before it subscribes
// again, so no event overtakes the count.
func (f *following) epoch() uint64 { return f.conn.NATS().Stats().Reconnects }

func topicsOf(named []string) ([]string, error) {
	var topics []string
	for _, topic := range named {
		if topic != "" && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	switch {
	case len(topics) == 0:
		return nil, bus.Errorf(bus.InvalidArgument, "no topic: say ?topic=NAME")
	case len(topics) > maxTopics:
		return nil, bus.Errorf(bus.InvalidArgument, "%d topics; one reader may follow %d", len(topics), maxTopics)
	}
	return topics, nil
}

func checkGroup(group string) error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar }
	if len(group) > maxGroup || strings.ContainsFunc(group, bad) {
		return bus.Errorf(bus.InvalidArgument, "queue %.40q: at most %d bytes without spaces", group, maxGroup)
	}
	return nil
}
