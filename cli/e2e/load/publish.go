package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/pubsub"
)

type event struct {
	N  int   `json:"n"`
	At int64 `json:"at"`
}

// publish publishes at the rate of the phases and prints what came of it.
func publish(ctx context.Context, s settings, phases []phase) error {
	conn, err := bus.Connect(ctx, bus.Config{Name: "publisher"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ready()
	published, failed := 0, 0
	begin := time.Now()
	pace(ctx, phases, func(n int, _ phase, _ time.Time) {
		if err := pubsub.Publish(ctx, conn, s.topic, event{n, time.Now().UnixNano()}); err != nil {
			failed++
			return
		}
		published++
	})
	rate := float64(published) / time.Since(begin).Seconds()
	if err := conn.Flush(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"published": published, "failed": failed, "rate": rate})
}
