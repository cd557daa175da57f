package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// flood publishes numbers with plain nats.go as fast as it can, each in eight
// bytes, which is about what a message of drink has.
func flood(ctx context.Context, s settings) error {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var body [8]byte
	for n := range s.count {
		if n == s.skip && n > 0 {
			continue
		}
		binary.BigEndian.PutUint64(body[:], uint64(n))
		if err := nc.Publish(s.topic, body[:]); err != nil {
			return err
		}
	}
	return nc.FlushWithContext(ctx)
}

// gulp reads what flood publishes, and tells how long that took from the first
// number to the last.
func gulp(ctx context.Context, s settings) error {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(s.topic)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return err
	}
	ready()
	var start time.Time
	for n := range s.count {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		if n == 0 {
			start = time.Now()
		}
		if got := binary.BigEndian.Uint64(m.Data); got != uint64(n) {
			return fmt.Errorf("message %d came as %d", n, got)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"ended": true, "ms": milliseconds(time.Since(start))})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
