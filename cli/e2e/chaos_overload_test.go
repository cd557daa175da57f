//go:build unix

package e2e_test

import (
	"testing"
	"time"
)

// Two instances with eight calls at work each, and 20 ms for a call, do 800
// calls a second. They are asked for five times that.
func TestChaosOverload(t *testing.T) {
	lasting := 4 * time.Second
	if long() {
		lasting = 30 * time.Second
	}
	l := openLab(t, startNode(t, "--ephemeral"))
	workers := []*process{l.worker("a", "-concurrency", "8"), l.worker("b", "-concurrency", "8")}
	// The peak is what gets through just over the capacity.
	const before, peak, over, after = 0, 1, 2, 3
	g := l.load("call", time.Second, "-request", `"millis":20`, "-plan",
		"400:1s,1200:2s,4000:"+lasting.String()+",400:3s")
	health := l.load("health", time.Second, "-method", "Debug.Health", "-plan", "20:0s")
	h, asked := g.complete(), health.end()
	phase := func(n int) history { return h.where(func(c call) bool { return c.Phase == n }) }
	rate := func(h history, d time.Duration) float64 { return float64(len(h.ok().calls)) / d.Seconds() }

	top, held := rate(phase(peak), 2*time.Second), rate(phase(over), lasting)
	report(t, "5x overload: goodput is at least 80 % of the peak", held >= 0.8*top, "open loop 4000/s", "%.0f/s of %.0f/s, %.0f %%", held, top, 100*held/top)
	refused := phase(over).failed()
	others := refused.where(func(c call) bool { return c.Code != "resource_exhausted" })
	report(t, "5x overload: whatever is not done is refused", len(others.calls)*100 <= len(refused.calls), "history", "%s", refused)
	report(t, "5x overload: refusals take at most 50 ms at p99", refused.typical(0.99) <= 50*time.Millisecond, "history, in each half second",
		"%v, over all %v, of %d", refused.typical(0.99), refused.quantile(0.99), len(refused.calls))
	done, light := phase(over).ok(), phase(before).ok()
	report(t, "5x overload: p99 of what is done at most 3x that of light load", done.typical(0.99) <= 3*light.typical(0.99), "history, in each half second",
		"%v against %v, over all %v", done.typical(0.99), light.typical(0.99), done.quantile(0.99))
	end := phase(after).calls[0].Due
	for _, c := range phase(after).calls {
		end = min(end, c.Due)
	}
	settled := phase(after).where(func(c call) bool { return c.Due >= end+int64(2*time.Second) })
	report(t, "5x overload: back to 95 % within 2 s", len(settled.ok().calls)*100 >= 95*len(settled.calls), "open loop 400/s", "%d of %d", len(settled.ok().calls), len(settled.calls))
	book := l.ledger()
	report(t, "5x overload: Debug.Health answers within 100 ms", len(asked.failed().calls) == 0 && asked.quantile(0.5) <= 100*time.Millisecond, "history",
		"%d of %d failed, p50 %v, p99 %v %s", len(asked.failed().calls), len(asked.calls), asked.quantile(0.5), asked.quantile(0.99), asked.failed().list())
	once(t, "5x overload", book, "call", h)
	stopAll(t, workers...)
	endlessQueue(t)
}

// endlessQueue is the control: a service that lets every call wait does nothing
// in time any more, and the checker sees that.
func endlessQueue(t *testing.T) {
	l := openLab(t, startNode(t, "--ephemeral"))
	w := l.worker("a", "-concurrency", "100000", "-lanes", "8")
	h := l.load("call", 500*time.Millisecond, "-request", `"millis":20`, "-plan", "300:1s,2000:2s").complete()
	rate := func(phase int, d time.Duration) float64 {
		return float64(len(h.where(func(c call) bool { return c.OK && c.Phase == phase }).calls)) / d.Seconds()
	}
	if peak, held := rate(0, time.Second), rate(1, 2*time.Second); held >= 0.8*peak {
		t.Errorf("with an endless queue %.0f of %.0f calls a second succeed under overload; the measurement sees no collapse", held, peak)
	}
	w.kill(t)
}
