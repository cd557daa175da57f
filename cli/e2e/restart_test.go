//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
)

func TestEverythingResumesWhenTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	b := startNode(t, "--store-dir", store, "--api-address", "off", "--sidecar-address", "off", "--web-address", "off")
	again := of(mbus, "node", "--listen", "127.0.0.1:"+b.port(t), "--store-dir", store, "--api-address", "off", "--sidecar-address", "off", "--web-address", "off")
	instances := []string{"one", "two"}
	for _, id := range instances {
		b.startGreeter(t, id)
	}
	b.startCrowd(t)
	conn := b.connect(t)
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	program := watch(t, conn)
	for _, id := range instances {
		program.sees(t, id)
	}

	var resumed, complete []time.Duration
	for range rounds(3) {
		endings := callsAtWork(t, client)
		b.node.kill(t)
		failFastWithoutBroker(t, b, client)
		for range cap(endings) {
			select {
			case err := <-endings:
				if !errors.Is(err, bus.Broker) {
					t.Errorf("a call that was at work when the broker died: %v, want End broker", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("a call that was at work when the broker died has not ended")
			}
		}

		b.node = start(t, again)
		accepting := awaitListener(t, b)
		eventually(t, startup, "a call after the restart", func() error { return hello(t.Context(), client) })
		for _, id := range instances {
			eventually(t, startup, "a call to "+id, func() error { return hello(t.Context(), client, rpc.WithNode(id)) })
		}
		resumed = append(resumed, time.Since(accepting))
		awaitComplete(t, b, instances)
		eventually(t, startup, "both in the view", func() error {
			if n := len(program.view.Instances(greeter.Service)); n != len(instances) {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		complete = append(complete, time.Since(accepting))
		b.node.await(t, startup, `"ready":true`)
	}
	keepsPromise(t, "calls to every instance after the port accepts", 500*time.Millisecond, 3*time.Second, resumed)
	keepsPromise(t, "discovery complete after the port accepts", 2*time.Second, 6*time.Second, complete)
}

func hello(ctx context.Context, client *rpc.Client, opts ...rpc.CallOption) error {
	_, err := greeter.Hello.Call(ctx, client, &greeter.HelloRequest{Name: "John"}, append(opts, rpc.WithTimeout(time.Second))...)
	return err
}

// callsAtWork begins calls that take half a minute and returns how they end.
func callsAtWork(t *testing.T, client *rpc.Client) <-chan error {
	t.Helper()
	const calls = 20
	before := crowdInFlight(t, client)
	endings := make(chan error, calls)
	for range calls {
		// The channel has room for all of them, and the test reads them.
		go func() {
			_, err := rpc.Call[struct{}](t.Context(), client, "crowd", "Crowd.Wait", map[string]int{"millis": 30_000}, rpc.WithTimeout(30*time.Second))
			endings <- err
		}()
	}
	eventually(t, startup, "calls at work", func() error {
		if n := crowdInFlight(t, client) - before; n < calls {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	return endings
}

// crowdInFlight is how many calls crowd has begun and not ended, with this one.
func crowdInFlight(t *testing.T, client *rpc.Client) int {
	t.Helper()
	stats, err := rpc.Call[struct {
		InFlight int `json:"in_flight"`
	}](t.Context(), client, "crowd", rpc.MethodStats, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stats.InFlight
}

func failFastWithoutBroker(t *testing.T, b *broker, client *rpc.Client) {
	t.Helper()
	for range 20 {
		begin := time.Now()
		err := hello(t.Context(), client)
		if took := time.Since(begin); !errors.Is(err, bus.Broker) || took > 500*time.Millisecond {
			t.Errorf("a call without a broker: %v after %v, want End broker at once", err, took)
		}
	}
	if r := run(t, b.mbus("query", greeter.Service, greeter.Hello.Name)); r.code != 3 || r.took > 3*time.Second {
		t.Errorf("mbus query without a broker: exit code %d after %v, want 3 at once", r.code, r.took)
	}
}

// awaitListener waits until the broker's port accepts and tells when it did.
func awaitListener(t *testing.T, b *broker) time.Time {
	t.Helper()
	eventually(t, startup, "the port of the broker", func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+b.port(t), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return time.Now()
}

// awaitComplete waits until list and get show everything.
func awaitComplete(t *testing.T, b *broker, instances []string) {
	t.Helper()
	eventually(t, startup, "all services in mbus list", func() error {
		r := run(t, b.mbus("list", "services"))
		if names := strings.Fields(r.stdout); !slices.Equal(names, []string{"crowd", greeter.Service, "mbus"}) {
			return fmt.Errorf("there are %q%s", names, r.stderr)
		}
		return nil
	})
	eventually(t, startup, "all instances in mbus get", func() error {
		r := run(t, b.mbus("get", "service", greeter.Service))
		for _, id := range instances {
			if !strings.Contains(r.stdout, greeter.Service+"-"+id) {
				return fmt.Errorf("%s is missing in\n%s%s", id, r.stdout, r.stderr)
			}
		}
		return nil
	})
}
