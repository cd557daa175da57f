package pubsub_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/pubsub"
)

func TestSubscriptionKeepsThePromisesOfARunner(t *testing.T) {
	bustest.Lifecycle(t, func(_ *bustest.Bus, conn *bus.Conn) bus.Runner {
		return pubsub.Subscribe(conn, "ping", func(ctx context.Context, e *pubsub.Event[string]) error {
			return conn.Publish(ctx, "pong", "", nil, e.Body)
		})
	},
		bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) {
			_ = pubsub.Publish(ctx, conn, "ping", "load")
		}),
		bustest.WithProbe(func(ctx context.Context, conn *bus.Conn) error {
			answers := make(chan *nats.Msg, 64)
			sub, err := conn.Subscribe(ctx, "pong", "", bus.Limits{}, func(m *nats.Msg) {
				select {
				case answers <- m:
				default:
				}
			})
			if err != nil {
				return err
			}
			defer func() { _ = sub.Drain(ctx) }()
			if err := pubsub.Publish(ctx, conn, "ping", "probe"); err != nil {
				return err
			}
			select {
			case <-answers:
				return nil
			case <-time.After(time.Second):
				return errors.New("no answer")
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
}
