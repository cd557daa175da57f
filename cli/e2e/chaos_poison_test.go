//go:build unix

package e2e_test

import (
	"testing"
	"time"
)

// Calls that make their handler panic end with one error each; the process
// lives and the others do not notice.
func TestChaosPoison(t *testing.T) {
	l := openLab(t, startNode(t, "--ephemeral"))
	w := l.worker("a")
	good := l.load("good", callTimeout, "-request", `"millis":5`, "-plan", "200:3s")
	poison := l.load("poison", callTimeout, "-request", `"panic":true`, "-plan", "50:2s")
	h, bad, book := good.complete(), poison.complete(), l.ledger()
	odd := bad.where(func(c call) bool { return c.OK || c.Code != "internal" || len(book[c.ID]) != 1 })
	report(t, "poison: each panic is one internal error, executed once", len(odd.calls) == 0, "panics in the handler", "%d of %d otherwise %s", len(odd.calls), len(bad.calls), odd.list())
	report(t, "poison: the process lives", w.running(), "panics in the handler", "%v", w.running())
	report(t, "poison: others do not fail, nor wait over 100 ms", len(h.failed().calls) == 0 && h.typical(0.99) < 100*time.Millisecond, "history, in each half second", "p99 %v, over all %s", h.typical(0.99), h)
	// The control: a call that ends the process is seen.
	fatal := l.load("fatal", time.Second, "-request", `"die":true`, "-plan", "1:1s", "-retries", "-1").complete()
	w.wait(t, startup)
	if len(fatal.failed().calls) == 0 || w.running() {
		t.Error("the end of the process was not seen")
	}
}
