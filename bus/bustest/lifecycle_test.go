package bustest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// worker is a Runner that answers on subject, each request on a goroutine that
// takes some time. mutate breaks it in one way; "" is the correct one.
type worker struct {
	conn   *bus.Conn
	mutate string

	mu      sync.Mutex
	started bool
	ended   bool
	sub     *nats.Subscription
	work    sync.WaitGroup
	cancel  context.CancelFunc
}

const subject = "worker"

var errTwice = errors.New("started before")

func (w *worker) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended, w.started && w.mutate != "starts twice":
		return errTwice
	case w.started:
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	life := context.WithoutCancel(ctx)
	if w.mutate == "ends with the context of Start" {
		life = ctx
	}
	life, w.cancel = context.WithCancel(life)
	sub, err := w.conn.NATS().Subscribe(subject, func(m *nats.Msg) {
		if life.Err() != nil {
			return
		}
		w.work.Go(func() {
			select {
			case <-time.After(time.Second):
			case <-life.Done():
			}
			_ = m.Respond(nil)
		})
	})
	if err != nil {
		return err
	}
	if err := w.conn.Flush(ctx); err != nil {
		if w.mutate != "leaves a failed start behind" {
			_ = sub.Unsubscribe()
		}
		return err
	}
	w.sub, w.started = sub, true
	switch w.mutate {
	case "leaks a goroutine":
		closed := w.conn.Closed()
		go func() { <-closed }()
	case "dies with the broker":
		changed := w.conn.Changed()
		closed := w.conn.Closed()
		go func() {
			select {
			case <-changed:
				_ = sub.Unsubscribe()
			case <-closed:
			}
		}()
	}
	return nil
}

func (w *worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	started, again := w.started, w.ended
	w.ended = true
	w.mu.Unlock()
	switch {
	case !started && w.mutate == "cannot stop without start":
		return errors.New("not started")
	case again && w.mutate == "stops only once":
		return errors.New("stopped before")
	case !started:
		return nil
	}
	if w.mutate == "holds a lock while it drains" {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	if w.mutate != "keeps its subscription" {
		_ = w.sub.Unsubscribe()
	}
	done := make(chan struct{})
	go func() { w.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		if w.mutate == "ignores the context of Stop" {
			time.Sleep(time.Second)
		}
		w.cancel()
		<-done
	}
	w.cancel()
	return nil
}

func lifecycleOf(t *testing.T, mutate string) {
	call := func(ctx context.Context, conn *bus.Conn) error {
		_, err := conn.Request(ctx, subject, nil, nil)
		return err
	}
	bustest.Lifecycle(t, func(_ *bustest.Bus, conn *bus.Conn) bus.Runner {
		return &worker{conn: conn, mutate: mutate}
	},
		bustest.WithProbe(call),
		bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) { _ = call(ctx, conn) }),
	)
}

func TestLifecyclePassesACorrectRunner(t *testing.T) { lifecycleOf(t, "") }

func TestLifecycleFindsWhatIsWrong(t *testing.T) {
	for mutate, check := range map[string]string{
		"starts twice":                   "SecondStartIsAnError",
		"stops only once":                "StopTwice",
		"cannot stop without start":      "StopWithoutStart",
		"ends with the context of Start": "ServesAfterTheContextOfStartHasEnded",
		"leaves a failed start behind":   "CancelDuringStart",
		"ignores the context of Stop":    "StopWithAnEndedContext",
		"keeps its subscription":         "StopWithoutBroker",
		"dies with the broker":           "BrokerRestartWhileRunning",
		"leaks a goroutine":              "ManyStartsAndStopsLeaveNothing",
	} {
		t.Run(mutate, func(t *testing.T) {
			fails(t, "^TestBroken$/^"+check+"$", "lifecycle "+mutate, "--- FAIL: TestBroken/"+check)
		})
	}
}
