//go:build unix

package e2e_test

import (
	"testing"
	"time"
)

// A call goes through three services, and the last one needs longer than the
// caller gives it: all of them give up when the caller does.
func TestChaosChain(t *testing.T) {
	t.Parallel()
	l := openLab(t, startNode(t, "--ephemeral"))
	var workers []*process
	for _, name := range []string{"first", "second", "third"} {
		workers = append(workers, l.worker(name, "-service", name))
	}
	h := l.load("slow", 400*time.Millisecond, "-service", "first", "-method", "Work.Chain",
		"-request", `"chain":["second","third"],"millis":3000`, "-plan", "40:3s").complete()
	book := l.ledger()
	const how = "three services, each calls the next"
	var ends, cancels []time.Duration
	running := 0
	for _, c := range h.calls {
		if !c.timedOut() || len(book[c.ID]) > 1 {
			t.Errorf("%v, executed %d times; want a timeout", c, len(book[c.ID]))
		}
		ends = append(ends, time.Duration(c.End-c.Sent)-h.timeout)
		for _, x := range book[c.ID] {
			if x.cancelled == 0 {
				running++
				continue
			}
			cancels = append(cancels, time.Duration(x.cancelled-c.Sent)-h.timeout)
		}
	}
	report(t, "the last of three services gives up within 50 ms of the caller", running == 0 && len(cancels) > 0 && median(cancels) <= 50*time.Millisecond, how,
		"half of %d after %v, the others by %v; %d went on", len(cancels), median(cancels).Round(100*time.Microsecond), longest(cancels).Round(100*time.Microsecond), running)
	report(t, "a call through three services ends when its time is over", median(ends).Abs() <= 50*time.Millisecond, how,
		"half of %d after %v, the others by %v", len(ends), median(ends).Round(100*time.Microsecond), longest(ends).Round(100*time.Microsecond))
	late := book.tooLate(h)
	report(t, "no handler at the end of a chain begins after the time of its call", len(late) == 0, how+", ledger", "%d of %d %s", len(late), len(h.calls), joined(late))

	// The control: a call that has the time runs to its end.
	one := l.load("patient", callTimeout, "-service", "first", "-method", "Work.Chain", "-request", `"chain":["second","third"],"millis":500`, "-plan", "2:1s").complete()
	if book := l.ledger(); len(one.failed().calls) > 0 || book.executions("patient") < len(one.calls) {
		t.Errorf("patient calls through the chain: %s, %d executions", one, book.executions("patient"))
	}
	stopAll(t, workers...)
}
