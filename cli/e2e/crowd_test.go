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
	const services, instances = 200, 1000
	b := startNode(t, "--ephemeral")
	program := watch(t, b.connect(t))
	crowd := b.startCrowd(t, "-services", "200", "-instances", "5")

	began := time.Now()
	converged := eventually(t, startup, "all instances in a view", func() error {
		// The registrar of the node is one more.
		if n := program.view.Stats().Instances; n != instances+1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	newcomer, err := discovery.Watch(t.Context(), b.connect(t))
	if err != nil {
		t.Fatal(err)
	}
	defer newcomer.Close()
	joined := eventually(t, startup, "all instances in a new view", func() error {
		if n := newcomer.Stats().Instances; n != instances+1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	listed := eventually(t, startup, "all services in mbus list", func() error {
		if n := len(strings.Fields(succeed(t, b.mbus("list", "services")))); n != services+1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	got := succeed(t, b.mbus("get", "service", "crowd.srv.s117"))
	if n := strings.Count(got, "\ncrowd.srv.s117-"); n != instances/services {
		t.Errorf("mbus get shows %d instances, want %d:\n%s", n, instances/services, got)
	}
	all := time.Since(began)
	t.Logf("a view that was there: %v, a new view: %v, mbus list: %v, all in %v", converged, joined, listed, all)
	keepsPromise(t, "discovery of a thousand instances", 2*time.Second, 2*time.Second, []time.Duration{max(converged, joined, listed)})

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
		if m := memory(t, p); m > 100<<20 {
			t.Errorf("%s has %d MiB of memory, want less than 100", p.name, m>>20)
		}
	}
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
	worked := processorTime(t, p)
	call("Crowd.Burn", map[string]int{"millis": 1000})
	// On a busy machine it gets only a share of that second.
	if used := processorTime(t, p) - worked; used < 150*time.Millisecond {
		t.Errorf("a second of work is seen as %v", used)
	}
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
