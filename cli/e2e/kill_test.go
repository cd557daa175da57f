//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
)

// A watcher is a Go program's view of a bus, and when it saw whom go.
type watcher struct {
	view *discovery.View

	mu   sync.Mutex
	gone map[string]time.Time // by instance id
}

func watch(t *testing.T, conn *bus.Conn) *watcher {
	t.Helper()
	view, err := discovery.Watch(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{view: view, gone: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for change := range view.Changes(ctx) {
			if change.Action == discovery.Delete {
				w.mu.Lock()
				w.gone[change.Instance.ID] = time.Now()
				w.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		view.Close()
	})
	return w
}

// sees waits until the view has an instance.
func (w *watcher) sees(t *testing.T, id string) {
	t.Helper()
	eventually(t, startup, id+" in a view", func() error {
		if _, ok := w.view.Get(greeter.Service, id); !ok {
			return errors.New("it is not there")
		}
		return nil
	})
}

// missed waits until an instance is gone and tells when it went.
func (w *watcher) missed(t *testing.T, within time.Duration, id string) (at time.Time) {
	t.Helper()
	eventually(t, within, "the end of "+id+" in a view", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		var ok bool
		if at, ok = w.gone[id]; !ok {
			return errors.New("it is still there")
		}
		return nil
	})
	return at
}

func TestKilledServiceIsGoneWithinAHundredMilliseconds(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"at rest": false, "at work": true} {
		t.Run(name, func(t *testing.T) { killedIsGone(t, busy) })
	}
}

// killedIsGone kills instances of the greeter. One that is busy has messages
// that it has not read, and its end resets the connection.
func killedIsGone(t *testing.T, busy bool) {
	b := startNode(t, "--ephemeral")
	survivor := b.startGreeter(t, "survivor")
	if busy {
		b.start(t, of(mbus, "bench", greeter.Service, greeter.Hello.Name, "--rate", "500", "--duration", "1h"))
	}
	command := b.start(t, of(mbus, "registry", "watch", "--snapshot", "--output", "json"))
	command.await(t, startup, `"create"`, "survivor")
	conn := b.connect(t)
	program := watch(t, conn)
	client := rpc.NewClient(conn, rpc.ClientConfig{})

	var seenByCommand, seenByProgram []time.Duration
	for round := range rounds(5) {
		id := fmt.Sprintf("victim-%d", round)
		victim := b.startGreeter(t, id)
		command.await(t, startup, `"create"`, id)
		program.sees(t, id)

		at := victim.kill(t)
		// Whoever calls now is answered by the other one.
		for range 10 {
			if err := callAfter(t, at, client); err != nil {
				t.Errorf("a call after the kill: %v", err)
			}
		}
		_, read := command.await(t, startup, `"delete"`, id)
		seenByCommand = append(seenByCommand, read.Sub(at))
		seenByProgram = append(seenByProgram, program.missed(t, startup, id).Sub(at))
	}
	keepsPromise(t, "kill -9 seen by mbus registry watch", 100*time.Millisecond, time.Second, seenByCommand)
	keepsPromise(t, "kill -9 seen by discovery.Watch", 100*time.Millisecond, time.Second, seenByProgram)

	failsAsUnavailable(t, survivor.kill(t), client)
	failsInTheCommand(t, b, "unavailable")
}

// Without a registrar nobody is told; the beats that are missing tell.
func TestKilledServiceIsGoneWithinTenSecondsWithoutARegistrar(t *testing.T) {
	t.Parallel()
	b := startBareBroker(t)
	survivor, victim := b.startGreeter(t, "survivor"), b.startGreeter(t, "victim")
	command := b.start(t, of(mbus, "registry", "watch", "--snapshot", "--output", "json"))
	command.await(t, startup, `"create"`, "survivor")
	command.await(t, startup, `"create"`, "victim")
	conn := b.connect(t)
	program := watch(t, conn)
	program.sees(t, "survivor")
	program.sees(t, "victim")
	client := rpc.NewClient(conn, rpc.ClientConfig{})

	at := victim.kill(t)
	for range 10 {
		if err := callAfter(t, at, client); err != nil {
			t.Errorf("a call after the kill: %v", err)
		}
	}
	_, read := command.await(t, startup, `"delete"`, "victim")
	for who, took := range map[string]time.Duration{
		"mbus registry watch": read.Sub(at), "discovery.Watch": program.missed(t, startup, "victim").Sub(at),
	} {
		t.Logf("kill -9 seen by %s: %v", who, took)
		if took > 10*time.Second {
			t.Errorf("kill -9 seen by %s after %v, want at most 10s", who, took)
		}
		// The control of the test above: it would not pass by beats alone.
		if took < 100*time.Millisecond {
			t.Errorf("kill -9 seen by %s after %v: somebody tells, this is no bare broker", who, took)
		}
	}
	failsAsUnavailable(t, survivor.kill(t), client)
	failsInTheCommand(t, b, "greeter")
}

// callAfter calls the greeter after a kill. A call that is sent before the
// broker has seen the end of the connection is in flight to the dead process,
// and lost; that may happen for a quarter of a second.
func callAfter(t *testing.T, kill time.Time, client *rpc.Client) error {
	t.Helper()
	for {
		begin := time.Now()
		err := hello(t.Context(), client)
		if !errors.Is(err, bus.Timeout) || begin.Sub(kill) > 250*time.Millisecond {
			if took := time.Since(begin); took > time.Second {
				t.Errorf("a call took %v (%v), want an end at once", took, err)
			}
			return err
		}
		t.Logf("a call that began %v after the kill was lost", begin.Sub(kill))
	}
}

// failsAsUnavailable calls the greeter, of which the last instance has been
// killed.
func failsAsUnavailable(t *testing.T, kill time.Time, client *rpc.Client) {
	t.Helper()
	if err := callAfter(t, kill, client); !errors.Is(err, bus.Unavailable) || !errors.Is(err, bus.Nobody) {
		t.Errorf("a call to a service that was there a moment ago: %v; want unavailable, since nobody listens", err)
	}
}

func failsInTheCommand(t *testing.T, b *broker, word string) {
	t.Helper()
	r := run(t, b.mbus("query", greeter.Service, greeter.Hello.Name, "{}"))
	if r.code != 5 || !strings.Contains(r.stderr, word) || r.took > 3*time.Second {
		t.Errorf("mbus query to nobody: exit code %d after %v and %q, want 5 at once and the word %s", r.code, r.took, r.stderr, word)
	}
}

// A frozen service is alive for the broker, and only the missing beats tell:
// the control that a kill is not seen by accident.
func TestFrozenServiceIsNotTakenForDeadAtOnce(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	frozen := b.startGreeter(t, "frozen")
	program := watch(t, b.connect(t))
	program.sees(t, "frozen")
	frozen.signal(t, syscall.SIGSTOP)
	at := time.Now()
	took := program.missed(t, startup, "frozen").Sub(at)
	t.Logf("SIGSTOP seen after %v", took)
	if took < time.Second {
		t.Errorf("SIGSTOP was seen after %v, which no missing beat can tell", took)
	}
	frozen.signal(t, syscall.SIGCONT)
	program.sees(t, "frozen")
}
