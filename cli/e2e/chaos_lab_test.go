//go:build unix

package e2e_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A lab is a node, workers on it and loads, and what they write down. When the
// test fails the directory with all of that is kept.
type lab struct {
	t      *testing.T
	b      *broker
	dir    string
	random *rand.Rand
	since  time.Time
	// ahead is by how much the clocks of workers are, by id, if they are.
	ahead map[string]time.Duration
}

func openLab(t *testing.T, b *broker) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "mbus-chaos-*")
	if err != nil {
		t.Fatal(err)
	}
	seed := seed(t)
	name := fnv.New64()
	_, _ = name.Write([]byte(t.Name()))
	l := &lab{t: t, b: b, dir: dir, random: rand.New(rand.NewPCG(seed, name.Sum64())), since: time.Now(), ahead: map[string]time.Duration{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d; timeline, histories and ledgers are kept in %s", seed, dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	l.event("seed %d", seed)
	return l
}

// seed decides about the moments of the faults; SEED repeats a run.
func seed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("SEED")
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SEED: %v", err)
	}
	return n
}

// faults is how often a scenario makes its fault: ROUNDS times in the long form.
func faults(t testing.TB, short, usual int) int {
	t.Helper()
	if !long() {
		return short
	}
	text := os.Getenv("ROUNDS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ROUNDS is %q, want a number from 1", text)
	}
	return n
}

// event writes a line of the timeline.
func (l *lab) event(format string, args ...any) {
	l.t.Helper()
	line := fmt.Sprintf("%8.3f  %s\n", time.Since(l.since).Seconds(), fmt.Sprintf(format, args...))
	f, err := os.OpenFile(filepath.Join(l.dir, "timeline"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(line); err != nil {
		l.t.Fatal(err)
	}
}

// pass lets time pass while the load runs.
func (l *lab) pass(d time.Duration) { <-time.After(d) }

// standstill is the longest time that this process has not been let run before a
// measurement of seconds is void: it was the machine that was silent.
const standstill = 400 * time.Millisecond

// unlessStill repeats a round, twice at most, in which the machine stood still.
// A round returns false, without a verdict, if it was void; the last must not.
func unlessStill(round func(last bool) bool) {
	for n := 1; !round(n == 3); n++ {
	}
}

// beat measures how long this process is kept from running until it is asked.
func (l *lab) beat() (void func() bool) {
	quit, worst := make(chan struct{}), make(chan time.Duration, 1)
	go func() { // ends when it is asked, or with the test
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		last, most := time.Now(), time.Duration(0)
		for {
			select {
			case <-tick.C:
			case <-quit:
				worst <- most
				return
			case <-l.t.Context().Done():
				return
			}
			most, last = max(most, time.Since(last)), time.Now()
		}
	}()
	return func() bool {
		close(quit)
		still := <-worst
		l.event("this process was kept from running for up to %v", still.Round(time.Millisecond))
		return still > standstill
	}
}

// moment is a random time.
func (l *lab) moment(from, to time.Duration) time.Duration {
	return from + time.Duration(l.random.Int64N(int64(to-from)))
}

// worker starts an instance and waits until it is announced.
func (l *lab) worker(id string, args ...string) *process {
	l.t.Helper()
	return l.launch(id, l.b, of(worker, l.workerArgs(id, args...)...))
}

// launch starts an instance in a way of its own.
func (l *lab) launch(id string, b *broker, c command) *process {
	l.t.Helper()
	p := b.start(l.t, c)
	p.await(l.t, startup, `"ready":true`)
	l.event("worker %s is there, pid %d", id, p.pid())
	return p
}

func (l *lab) workerArgs(id string, args ...string) []string {
	return append([]string{"-id", id, "-ledger", filepath.Join(l.dir, "ledger-"+id)}, args...)
}

// A generator is a running load.
type generator struct {
	*process
	lab     *lab
	name    string
	timeout time.Duration
	ahead   time.Duration // its clock
}

const callTimeout = 5 * time.Second

// load starts a load and waits until it begins.
func (l *lab) load(name string, timeout time.Duration, args ...string) *generator {
	l.t.Helper()
	return l.generate(of(load, l.loadArgs(name, timeout, args...)...), name, timeout, 0)
}

// generate starts a load in a way of its own.
func (l *lab) generate(c command, name string, timeout, ahead time.Duration) *generator {
	l.t.Helper()
	g := &generator{l.b.start(l.t, c), l, name, timeout, ahead}
	g.await(l.t, startup, `"ready":true`)
	l.event("load %s begins: %q", name, c.args)
	return g
}

func (l *lab) loadArgs(name string, timeout time.Duration, args ...string) []string {
	return append([]string{"-prefix", name, "-history", filepath.Join(l.dir, "history-"+name), "-timeout", timeout.String()}, args...)
}

// end stops a load, if it still runs, and returns its calls.
func (g *generator) end() history {
	g.lab.t.Helper()
	if g.running() {
		g.signal(g.lab.t, syscall.SIGTERM)
	}
	return g.complete()
}

// complete waits for the end of a load.
func (g *generator) complete() history {
	g.lab.t.Helper()
	g.wait(g.lab.t, 5*time.Minute)
	if g.code() != 0 {
		g.lab.t.Fatalf("the load %s ended with exit code %d: %s", g.name, g.code(), g.stderr.String())
	}
	g.lab.event("load %s has ended", g.name)
	h := history{timeout: g.timeout, calls: readLines[call](g.lab.t, filepath.Join(g.lab.dir, "history-"+g.name))}
	for i := range h.calls {
		c := &h.calls[i]
		c.Due, c.Sent, c.End = c.Due-int64(g.ahead), c.Sent-int64(g.ahead), c.End-int64(g.ahead)
	}
	if len(h.calls) == 0 {
		g.lab.t.Fatalf("the load %s made no call", g.name)
	}
	g.lab.t.Logf("%s: %s", g.name, h)
	return h
}

// stopAll stops workers in the orderly way.
func stopAll(t *testing.T, workers ...*process) {
	t.Helper()
	for _, w := range workers {
		w.stop(t, 15*time.Second)
	}
}

func joined(list []string) string {
	const most = 5
	if len(list) > most {
		list = append(list[:most:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return strings.Join(list, "; ")
}
