//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// SIGTERM lets the calls at work finish and takes no more.
func TestStopFinishesTheCallsAtWork(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	p := b.startCrowd(t)
	client := rpc.NewClient(b.connect(t), rpc.ClientConfig{Timeout: 20 * time.Second})
	ending := waitAtWork(t.Context(), t, client, 2*time.Second)
	p.signal(t, syscall.SIGTERM)
	eventually(t, startup, "an end of taking calls", func() error {
		_, err := rpc.Call[struct{}](t.Context(), client, "crowd", "Crowd.Wait", nil)
		if !errors.Is(err, bus.Unavailable) {
			return errors.New("it still takes calls")
		}
		return nil
	})
	if !p.running() {
		t.Error("it ended before the call at work did")
	}
	if err := <-ending; err != nil {
		t.Errorf("the call that was at work: %v", err)
	}
	if p.wait(t, 10*time.Second); p.code() != 0 {
		t.Errorf("exit code %d, want 0", p.code())
	}
}

// A second SIGTERM does not wait for them.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	client := rpc.NewClient(b.connect(t), rpc.ClientConfig{Timeout: 20 * time.Second})
	var ends []time.Duration
	for range rounds(3) {
		p := b.startCrowd(t)
		ctx, cancel := context.WithCancel(t.Context())
		ending := waitAtWork(ctx, t, client, 10*time.Second)
		p.signal(t, syscall.SIGTERM)
		// It is draining when it takes no more calls.
		eventually(t, startup, "an end of taking calls", func() error {
			_, err := rpc.Call[struct{}](t.Context(), client, "crowd", "Crowd.Wait", nil)
			if !errors.Is(err, bus.Unavailable) {
				return errors.New("it still takes calls")
			}
			return nil
		})
		at := time.Now()
		p.signal(t, syscall.SIGTERM)
		p.wait(t, 5*time.Second)
		ends = append(ends, time.Since(at))
		if s := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGTERM {
			t.Errorf("it ended as %v, want by the second signal", p.cmd.ProcessState)
		}
		cancel()
		<-ending // nobody is left to answer
	}
	keepsPromise(t, "the end after a second SIGTERM", 200*time.Millisecond, time.Second, ends)
}

// waitAtWork begins a call that takes so long and returns how it ends. The call
// is at work when it returns.
func waitAtWork(ctx context.Context, t *testing.T, client *rpc.Client, lasting time.Duration) <-chan error {
	t.Helper()
	ending := make(chan error, 1) // read by the test
	go func() {
		_, err := rpc.Call[struct{}](ctx, client, "crowd", "Crowd.Wait", map[string]int64{"millis": lasting.Milliseconds()})
		ending <- err
	}()
	eventually(t, startup, "a call at work", func() error {
		// The question is itself one of them.
		if crowdInFlight(t, client) < 2 {
			return errors.New("only the question is")
		}
		return nil
	})
	return ending
}
