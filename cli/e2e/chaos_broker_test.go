//go:build unix

package e2e_test

import (
	"testing"
	"time"
)

// The broker is killed and comes back: the calls in the gap fail at once and
// say why, and then everything goes on.
func TestChaosBroker(t *testing.T) {
	store := t.TempDir()
	b := startNode(t, "--store-dir", store, "--api-address", "off", "--sidecar-address", "off", "--web-address", "off")
	again := of(mbus, "node", "--listen", "127.0.0.1:"+b.port(t), "--store-dir", store, "--api-address", "off", "--sidecar-address", "off", "--web-address", "off")
	l := openLab(t, b)
	workers := []*process{l.worker("a"), l.worker("b"), l.worker("c")}
	const clients = "50"
	single := l.load("once", callTimeout, "-request", `"millis":5`, "-clients", clients)
	many := l.load("again", callTimeout, "-request", `"millis":5`, "-method", "Work.Again", "-idempotent", "-plan", "100:0s")
	type gapInTime struct{ from, accepting time.Time }
	var gaps []gapInTime
	for range faults(t, 2, 20) {
		l.pass(l.moment(500*time.Millisecond, time.Second))
		at := b.node.kill(t)
		l.event("the broker was killed")
		l.pass(l.moment(100*time.Millisecond, 500*time.Millisecond))
		b.node = start(t, again)
		gaps = append(gaps, gapInTime{at, awaitListener(t, b)})
		l.event("the broker accepts")
		b.node.await(t, startup, `"ready":true`)
		l.pass(2500 * time.Millisecond)
	}
	h, repeated := single.end(), many.end()

	var resumed, told []time.Duration
	inGap := 0
	for _, g := range gaps {
		last := g.accepting.UnixNano()
		for _, c := range h.failed().calls {
			if c.Due >= g.from.Add(-time.Second).UnixNano() && c.Due < g.accepting.Add(2*time.Second).UnixNano() {
				inGap++
				last = max(last, c.Due)
				if c.Due >= g.from.UnixNano() {
					told = append(told, c.latency())
				}
			}
		}
		resumed = append(resumed, time.Duration(last-g.accepting.UnixNano()))
	}
	slowest := longest(told)
	keepsPromise(t, "the last failed call of 50 clients after the port accepts", 500*time.Millisecond, 2*time.Second, resumed)
	report(t, "broker kill -9: calls work within 500 ms of its return", !t.Failed(), "SIGKILL, 50 clients, open loop 500/s", "%v", resumed)
	typed := h.failed().where(func(c call) bool { return c.Code != "unavailable" })
	report(t, "broker kill -9: calls in the gap fail at once as unavailable", len(typed.calls) == 0 && slowest < time.Second, "history",
		"%d failed, the slowest after %v %s", len(h.failed().calls), slowest.Round(time.Millisecond), typed.list())
	report(t, "broker kill -9: no call outside the gap fails", inGap == len(h.failed().calls), "history", "%d of %d", len(h.failed().calls)-inGap, len(h.calls))
	// They wait for the broker, but not for the services that come back to it.
	stray := repeated.failed().where(func(c call) bool {
		for i, g := range gaps {
			since := time.Duration(c.End - g.accepting.UnixNano())
			if c.Code == "unavailable" && since > -100*time.Millisecond && since <= max(500*time.Millisecond, resumed[i]) {
				return false
			}
		}
		return true
	})
	report(t, "broker kill -9: calls that may run twice fail at most in those 500 ms", len(stray.calls) == 0, "history", "%d of %d failed, %d of them at other times %s",
		len(repeated.failed().calls), len(repeated.calls), len(stray.calls), stray.list())
	once(t, "broker kill -9", l.ledger(), "once", h)
	if len(h.failed().calls) == 0 {
		t.Error("no call failed without a broker: the gaps were not seen")
	}
	stopAll(t, workers...)
}
