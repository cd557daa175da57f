package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// lastEvent is the event that ends a batch: whoever gets it says how many came
// before it.
const lastEvent = "the last one"

// A tally counts the events of one subscriber.
type tally struct {
	nc   *nats.Conn
	name string
	got  atomic.Int64
}

func (t *tally) add(text string) error {
	if text != lastEvent {
		t.got.Add(1)
		return nil
	}
	return t.nc.Publish("bench.done."+t.name, []byte(strconv.FormatInt(t.got.Swap(0), 10)))
}

// A publishing is what the publishers of events differ in.
type publishing struct {
	name        string
	nc          *nats.Conn
	subscribers string // how many there are
	// publish returns a function that publishes one event of this text.
	publish func(text string) func(ctx context.Context) error
	close   func()
}

// client publishes events and waits until all subscribers have all of them.
func (p publishing) client() (*client, error) {
	subscribers, err := strconv.Atoi(p.subscribers)
	if err != nil {
		return nil, err
	}
	done, err := p.nc.SubscribeSync("bench.done." + p.name)
	if err != nil {
		return nil, err
	}
	transfer := func(ctx context.Context, size, count int) error {
		one := p.publish(text(size))
		for range count {
			if err := one(ctx); err != nil {
				return err
			}
		}
		if err := p.publish(lastEvent)(ctx); err != nil {
			return err
		}
		for range subscribers {
			m, err := done.NextMsgWithContext(ctx)
			if err != nil {
				return fmt.Errorf("a subscriber did not get the last event: %w", err)
			}
			got, err := strconv.Atoi(string(m.Data))
			if err := arrived(got, count, err); err != nil {
				return err
			}
		}
		return nil
	}
	return &client{transfer: transfer, close: p.close}, nil
}
