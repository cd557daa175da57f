//go:build unix

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// Three instances are restarted again and again: in turn one is started before
// its forerunner stops, and one is stopped before its successor starts. No call
// fails, neither of mbus clients nor of plain NATS requests.
func TestChaosRollingRestart(t *testing.T) {
	l := openLab(t, startNode(t, "--ephemeral"))
	workers := []*process{l.worker("a0"), l.worker("b0"), l.worker("c0")}
	const request = `"millis":20`
	loads := map[string]*generator{
		"mbus":  l.load("mbus", callTimeout, "-request", request),
		"plain": l.load("plain", callTimeout, "-plain", "-request", request),
	}
	streams := l.load("streams", 10*time.Second, "-streams", "20")
	begin := time.Now()
	restarts := 0
	const times = 6
	for round := 1; round <= times*faults(t, 1, 3) || time.Since(begin) < minimumLoad; round++ {
		for i, name := range []string{"a", "b", "c"} {
			id := fmt.Sprintf("%s%d", name, round)
			l.pass(l.moment(0, 200*time.Millisecond))
			if (round+i)%2 == 0 {
				next := l.worker(id)
				stopAll(t, workers[i])
				workers[i] = next
			} else {
				stopAll(t, workers[i])
				workers[i] = l.worker(id)
			}
			l.event("%s has taken over", id)
			restarts++
		}
	}
	talks := streams.end()
	report(t, "rolling restart: 0 of 20 open streams fail", len(talks.failed().calls) == 0, "conversations of a second, one after another",
		"%d of %d conversations %s", len(talks.failed().calls), len(talks.calls), talks.failed().list())
	for _, name := range []string{"mbus", "plain"} {
		h := loads[name].end()
		report(t, "rolling restart: 0 calls fail, "+name+" clients", len(h.failed().calls) == 0 && len(h.calls) >= 10_000, "SIGTERM, open loop 500/s",
			"%d of %d failed, %d restarts, p99 %v %s", len(h.failed().calls), len(h.calls), restarts, h.quantile(0.99), h.failed().list())
		book := l.ledger()
		once(t, "rolling restart, "+name+" clients", book, name, h)
		if n := book.executions(name); n < len(h.calls) {
			t.Errorf("%d executions of %d calls: the ledger misses some", n, len(h.calls))
		}
	}
}

// minimumLoad is the time in which 500 calls a second are 10,000.
const minimumLoad = 20*time.Second + 500*time.Millisecond
