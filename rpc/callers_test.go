package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestAnEndpointCountsItsCallersAndNoMoreThanItMayKnow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			time.Sleep(3 * time.Millisecond)
			return hello(ctx, r)
		})
		serve(t, s)
		conn := b.Conn(t)
		say := func(from string) {
			c := rpc.NewClient(conn, rpc.ClientConfig{From: from})
			if _, err := rpc.Call[HelloResponse](t.Context(), c, greeter, "Say.Hello", &HelloRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		say("")
		for range 3 {
			say("go.micro.api")
		}
		for i := range 70 {
			say(fmt.Sprintf("caller-%d", i))
		}
		stats, err := rpc.Call[rpc.Stats](t.Context(), rpc.NewClient(conn, rpc.ClientConfig{}), greeter, rpc.MethodStats, &rpc.StatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			if e.Name != "Say.Hello" {
				continue
			}
			total := uint64(0)
			for _, n := range e.Callers {
				total += n
			}
			if e.Callers["go.micro.api"] != 3 || e.Callers[""] != 1 || e.Callers["other"] == 0 || len(e.Callers) > 65 || total != 74 {
				t.Errorf("%d callers with %d calls: %v", len(e.Callers), total, e.Callers)
			}
			if len(e.Latency) != 2 || e.Latency[1] != 74 || rpc.LatencyBucket(int(e.Latency[0])) != e.P50 {
				t.Errorf("latency %v beside a median of %v", e.Latency, e.P50)
			}
		}
	})
}
