//go:build unix

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// A kill is the end of one worker.
type kill struct {
	victim string
	at     time.Time
}

const (
	// learned is the time after which nothing is sent to a dead instance.
	learned = 250 * time.Millisecond
	// toldWithin is when the calls that it had have failed.
	toldWithin = 2 * time.Second
)

// killed finds what became of the calls that failed by kills: those that the
// victim had at work, by its ledger, and those that were on their way to it.
// Whatever else failed breaks the promise.
func killed(h history, book ledger, kills []kill) (atWork, onTheWay int, slowest time.Duration, broken []string) {
	for _, c := range h.failed().calls {
		k, ok := latest(kills, c.End)
		if !ok {
			broken = append(broken, fmt.Sprintf("%v: before any kill", c))
			continue
		}
		after := time.Duration(c.End - k.at.UnixNano())
		slowest = max(slowest, after)
		switch runs := book[c.ID]; {
		case c.Code != "unavailable" || after > toldWithin:
			broken = append(broken, fmt.Sprintf("%v: %v after the kill of %s", c, after, k.victim))
		case len(runs) == 1 && runs[0].by == k.victim && runs[0].ended == 0:
			atWork++
		case (len(runs) == 0 || runs[0].by == k.victim) && c.Sent < k.at.Add(learned).UnixNano():
			onTheWay++
		default:
			broken = append(broken, fmt.Sprintf("%v: %+v, sent %v after the kill of %s", c, runs, time.Duration(c.Sent-k.at.UnixNano()), k.victim))
		}
	}
	return atWork, onTheWay, slowest, broken
}

// latest is the last kill before a moment.
func latest(kills []kill, at int64) (found kill, ok bool) {
	for _, k := range kills {
		if k.at.UnixNano() <= at {
			found, ok = k, true
		}
	}
	return found, ok
}

// unfinished are the calls that a worker had begun and not ended when it died.
func (l ledger) unfinished(by string) (n int) {
	for _, runs := range l {
		for _, x := range runs {
			if x.by == by && x.ended == 0 && x.cancelled == 0 {
				n++
			}
		}
	}
	return n
}

// One of three instances is killed, again and again.
func TestChaosKill(t *testing.T) {
	l := openLab(t, startNode(t, "--ephemeral"))
	ids := []string{"a0", "b0", "c0"}
	workers := []*process{l.worker("a0"), l.worker("b0"), l.worker("c0")}
	g := l.load("call", 10*time.Second, "-request", `"millis":20`)
	again := l.load("again", 10*time.Second, "-request", `"millis":20`, "-method", "Work.Again", "-idempotent", "-plan", "100:0s")
	var kills []kill
	for round := 1; round <= faults(t, 3, 20); round++ {
		l.pass(l.moment(500*time.Millisecond, time.Second))
		i := l.random.IntN(len(workers))
		at := workers[i].kill(t)
		l.event("%s was killed", ids[i])
		kills = append(kills, kill{ids[i], at})
		l.pass(l.moment(500*time.Millisecond, time.Second))
		ids[i] = fmt.Sprintf("%c%d", ids[i][0], round)
		workers[i] = l.worker(ids[i])
	}
	l.pass(toldWithin)
	h, repeated, book := g.end(), again.end(), l.ledger()

	atWork, onTheWay, slowest, broken := killed(h, book, kills)
	had := 0
	for _, k := range kills {
		had += book.unfinished(k.victim)
	}
	report(t, "kill -9: failures are at most the calls in flight on the victim", len(broken) == 0 && len(h.failed().calls) <= had+onTheWay, "SIGKILL, ledger",
		"%d kills: %d of %d failed; %d at work there, %d on the way %s", len(kills), len(h.failed().calls), len(h.calls), had, onTheWay, joined(broken))
	late := h.failed().where(func(c call) bool { k, ok := latest(kills, c.End); return ok && c.Sent > k.at.Add(learned).UnixNano() })
	report(t, "kill -9: none sent there more than 250 ms later", len(late.calls) == 0, "history", "%d %s", len(late.calls), late.list())
	report(t, "kill -9: calls in flight fail as unavailable within 2 s", len(broken) == 0 && slowest <= toldWithin && atWork+onTheWay == len(h.failed().calls), "history",
		"the slowest after %v", slowest.Round(time.Millisecond))
	report(t, "kill -9: calls that may run twice do not fail", len(repeated.failed().calls) == 0, "history", "%d of %d failed %s", len(repeated.failed().calls), len(repeated.calls), repeated.failed().list())
	once(t, "kill -9", book, "call", h)

	// The control: the checkers of this and of the restart see these calls.
	if len(h.failed().calls) == 0 {
		t.Error("no call failed: with some ten at work the kills were not seen")
	}
	if _, _, _, broken := killed(h, book, nil); len(broken) != len(h.failed().calls) {
		t.Errorf("without the kills %d calls are unexplained, want all %d", len(broken), len(h.failed().calls))
	}
}
