package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/pubsub"
)

// An event is what the subscribers read.
type event struct {
	N  int   `json:"n"`
	At int64 `json:"at"`
}

// A reading is what one subscriber has got.
type reading struct {
	Received uint64  `json:"received"`
	Dropped  uint64  `json:"dropped"`
	Disorder int     `json:"disorder"`
	P99      float64 `json:"p99_ms"`

	sub       *pubsub.Subscription
	latencies []time.Duration
	next      int
}

// read runs the subscribers until the process is asked to end, then prints one
// line with what each has got.
func read(ctx context.Context, log zerolog.Logger, s settings) error {
	readings := make([]*reading, s.readers)
	var hurry atomic.Bool
	for i := range readings {
		conn, err := bus.Connect(ctx, bus.Config{Name: fmt.Sprintf("reader %d", i), Logger: log})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		r := &reading{}
		r.sub = pubsub.Subscribe(conn, s.topic, func(ctx context.Context, e *pubsub.Event[event]) error {
			if e.Value.N < r.next {
				r.Disorder++
			}
			r.next = e.Value.N + 1
			r.latencies = append(r.latencies, time.Since(time.Unix(0, e.Value.At)))
			if hurry.Load() {
				return nil
			}
			return work(ctx, int(s.slow.Milliseconds()))
		})
		if err := r.sub.Start(ctx); err != nil {
			return err
		}
		readings[i] = r
	}
	fmt.Println(`{"ready":true}`)
	<-ctx.Done()
	// What waits in the buffers is read now, so that received and dropped are
	// all there was.
	hurry.Store(true)
	for _, r := range readings {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err := r.sub.Stop(short)
		cancel()
		if err != nil {
			return err
		}
		stats := r.sub.Stats()
		r.Received, r.Dropped = stats.Received, stats.Dropped
		slices.Sort(r.latencies)
		if n := len(r.latencies); n > 0 {
			r.P99 = float64(r.latencies[n*99/100].Microseconds()) / 1000
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"readings": readings})
}
