//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// A thousand instances are little work: they are found at once, and idle
// processes stay idle and small.
func TestThousandInstancesAreFoundAndCostLittle(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	const services, instances = 200, 1000
	b := startNode(t, "--ephemeral")
	program := watch(t, b.connect(t))
	crowd := b.startCrowd(t, "-services", "200", "-instances", "5")

	converged := eventually(t, startup, "all instances in a view", func() error {
		// The registrar of the node is one more.
		if n := program.view.Stats().Instances; n != instances+1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	var joined, listed []time.Duration
	for range rounds(3) {
		joined = append(joined, joins(t, b, instances+1))
		listed = append(listed, eventually(t, startup, "all services in mbus list", func() error {
			if n := len(strings.Fields(succeed(t, b.mbus("list", "services")))); n != services+1 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		}))
	}
	const promise, most = 2 * time.Second, 8 * time.Second
	keepsPromise(t, "a thousand instances in a view that was there", promise, promise, []time.Duration{converged})
	keepsPromise(t, "a thousand instances in mbus list", promise, most, listed)
	// Whose answer a busy machine has lost is known by the next beat.
	keepsPromise(t, "a thousand instances in a new view", promise+time.Second, most, joined)
	got := succeed(t, b.mbus("get", "service", "crowd.srv.s117"))
	if n := strings.Count(got, "\ncrowd.srv.s117-"); n != instances/services {
		t.Errorf("mbus get shows %d instances, want %d:\n%s", n, instances/services, got)
	}

	// The start is over once nothing is left to do; what a while costs after
	// that is the cost of being there.
	for name, p := range map[string]*process{"the node": b.node, "the crowd": crowd} {
		eventually(t, startup, name+" at rest", func() error {
			if share := processorShare(t, 500*time.Millisecond, p); share[0] > 0.1 {
				return fmt.Errorf("it uses %.0f %% of a processor", 100*share[0])
			}
			return nil
		})
	}
	shares := processorShare(t, 10*time.Second, b.node, crowd)
	for i, p := range []*process{b.node, crowd} {
		t.Logf("%s: %.1f %% of a processor, %d MiB", p.name, 100*shares[i], memory(t, p)>>20)
		if shares[i] > 0.1 {
			t.Errorf("%s uses %.1f %% of a processor at rest, want less than 10", p.name, 100*shares[i])
		}
		// The promise is 100 MiB. How much of its garbage a process holds at a
		// given moment depends on how busy the machine was.
		if m := memory(t, p); m > 120<<20 {
			t.Errorf("%s has %d MiB of memory, want less than 120", p.name, m>>20)
		}
	}
}

// joins tells how long a new view takes to know so many instances.
func joins(t *testing.T, b *broker, instances int) time.Duration {
	t.Helper()
	begin := time.Now()
	view, err := discovery.Watch(t.Context(), b.connect(t))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	eventually(t, startup, "all instances in a new view", func() error {
		if n := view.Stats().Instances; n != instances {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	return time.Since(begin)
}

// processorShare is how much of one processor each process uses for a while.
func processorShare(t *testing.T, while time.Duration, processes ...*process) []float64 {
	t.Helper()
	begin := time.Now()
	before := make([]time.Duration, len(processes))
	for i, p := range processes {
		before[i] = processorTime(t, p)
	}
	<-time.After(while)
	shares := make([]float64, len(processes))
	for i, p := range processes {
		shares[i] = float64(processorTime(t, p)-before[i]) / float64(time.Since(begin))
	}
	return shares
}

// The control of the measurements: work and memory are seen.
func TestMeasurementsSeeWorkAndMemory(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral")
	p := b.startCrowd(t)
	client := rpc.NewClient(b.connect(t), rpc.ClientConfig{Timeout: 20 * time.Second})
	call := func(method string, amount map[string]int) {
		t.Helper()
		if _, err := rpc.Call[struct{}](t.Context(), client, "crowd", method, amount); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	// On a busy machine it gets only a share of that second.
	eventually(t, time.Minute, "a second of work", func() error {
		worked := processorTime(t, p)
		call("Crowd.Burn", map[string]int{"millis": 1000})
		if used := processorTime(t, p) - worked; used < 150*time.Millisecond {
			return fmt.Errorf("it is seen as %v", used)
		}
		return nil
	})
	resetPeak(t, p)
	before := memory(t, p)
	call("Crowd.Hold", map[string]int{"mib": 64})
	if grown := peakMemory(t, p) - before; grown < 60<<20 {
		t.Errorf("64 MiB are seen as %d MiB", grown>>20)
	}
	// And a call that lasts is one that can be cancelled.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := rpc.Call[struct{}](ctx, client, "crowd", "Crowd.Wait", map[string]int{"millis": 10_000}); !errors.Is(err, bus.Timeout) {
		t.Errorf("a call without an answer in time: %v", err)
	}
}
