//go:build unix

package e2e_test

import (
	"testing"
	"time"
)

// amplification is how often a call of a load was executed on average.
func amplification(book ledger, name string, h history) float64 {
	return float64(book.executions(name)) / float64(len(h.calls))
}

// A service that always fails is not flooded by the tries of its callers: not
// if its errors may be tried again, and not if the calls may run twice.
func TestChaosRetries(t *testing.T) {
	l := openLab(t, startNode(t, "--ephemeral"))
	w := l.worker("a", "-concurrency", "50000")
	const plan = "1000:4s"
	loads := map[string]*generator{
		"safe":   l.load("safe", time.Second, "-request", `"fail":"unavailable","safe":true`, "-plan", plan),
		"silent": l.load("silent", 400*time.Millisecond, "-request", `"millis":3000`, "-method", "Work.Again", "-idempotent", "-plan", plan),
	}
	histories := map[string]history{}
	for name, g := range loads {
		histories[name] = g.complete()
	}
	book := l.ledger()
	for name, what := range map[string]string{"safe": "errors that may be tried again", "silent": "no answers, to calls that may run twice"} {
		h := histories[name]
		factor := amplification(book, name, h)
		report(t, "a service that always fails: at most 1.1 executions for each call; "+what, factor <= 1.1 && len(h.ok().calls) == 0, "ledger", "%.3f of %d calls, %s", factor, len(h.calls), h)
	}

	// The control: among calls that mostly succeed the tries are not bounded so,
	// and the ledger sees executions that come twice.
	h := l.load("slow", 400*time.Millisecond, "-request", `"millis":150`, "-method", "Work.Again", "-idempotent", "-plan", "100:1s").complete()
	book = l.ledger()
	if n := len(book.twice("slow")); n == 0 || amplification(book, "slow", h) <= 1.1 {
		t.Errorf("of %d calls slower than the time for one try %d were executed twice, %.2f times each: the ledger misses some", len(h.calls), n, amplification(book, "slow", h))
	}
	stopAll(t, w)
}
