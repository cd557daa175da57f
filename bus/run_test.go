package bus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

// part records its starts and stops in a log that it shares with others.
type part struct {
	name string
	log  *[]string
	fail error
	busy time.Duration
}

func (p part) Start(context.Context) error {
	*p.log = append(*p.log, "start "+p.name)
	return p.fail
}

func (p part) Stop(ctx context.Context) error {
	*p.log = append(*p.log, "stop "+p.name)
	select {
	case <-time.After(p.busy):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestRunStartsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := bus.Run(ctx, time.Second, part{name: "a", log: &log}, part{name: "b", log: &log}); err != nil {
			t.Fatal(err)
		}
		if want := []string{"start a", "start b", "stop b", "stop a"}; !slices.Equal(log, want) {
			t.Errorf("got %v, want %v", log, want)
		}
	})
}

func TestRunStopsWhatStartedWhenOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		boom := errors.New("boom")
		err := bus.Run(t.Context(), time.Second, part{name: "a", log: &log}, part{name: "b", log: &log, fail: boom}, part{name: "c", log: &log})
		if !errors.Is(err, boom) {
			t.Errorf("got %v, want boom", err)
		}
		if want := []string{"start a", "start b", "stop a"}; !slices.Equal(log, want) {
			t.Errorf("got %v, want %v", log, want)
		}
	})
}

func TestRunSharesTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := bus.Run(ctx, time.Second, part{name: "a", log: &log}); err != nil || len(log) != 0 {
			t.Errorf("canceled before the start: got %v and %v, want nothing done", err, log)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		err := bus.Run(ctx, time.Second, part{name: "a", log: &log, busy: time.Hour}, part{name: "b", log: &log, busy: time.Hour})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the grace", err)
		}
		if took := time.Since(start); took != time.Minute+time.Second {
			t.Errorf("took %v, want one grace for all", took)
		}
	})
}
