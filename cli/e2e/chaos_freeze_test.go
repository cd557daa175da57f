//go:build unix

package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

const (
	// cutAfter is the time after which nothing goes to a silent instance.
	cutAfter = 3 * time.Second
	// backWithin is when an instance works again after the silence.
	backWithin = 2 * time.Second
	// silence is how long one lasts here.
	silence = 5 * time.Second
	// impatient is the time that a call gets here which may not run twice.
	impatient = 2 * time.Second
)

// silenced checks what calls see of an instance that fell silent at one moment
// and was back at another; noticed is the time after which nothing goes to it.
// plain may not run twice, again may.
func silenced(l *lab, what, how string, noticed time.Duration, at, back time.Time, plain, again history) {
	l.t.Helper()
	book := l.ledger()
	toIt := routedTo(plain, at.Add(noticed))
	report(l.t, fmt.Sprintf("%s: none routed to it more than %v later", what, noticed), len(toIt.calls) == 0, how, "%d of %d %s",
		len(toIt.calls), len(plain.dueBetween(at.Add(noticed), back).calls), toIt.list())
	window := plain.dueBetween(at, at.Add(noticed))
	// A third of 1,500 calls by chance: five standard deviations are 6 %.
	share := float64(len(window.failed().calls)) / float64(len(window.calls))
	report(l.t, what+": at most a third of the calls before that fail", share <= 1.0/3+0.06, how,
		"%.1f %% of %d", 100*share, len(window.calls))
	outside := plain.failed().where(func(c call) bool { return c.Sent < at.Add(-impatient).UnixNano() })
	report(l.t, what+": no other call fails", len(outside.calls) == 0 && len(plain.failed().calls) == len(window.failed().calls)+len(toIt.calls)+inFlightAt(plain, at), how,
		"%s", plain)
	report(l.t, what+": with tries again at most 0.1 % fail", len(again.failed().calls)*1000 <= len(again.calls), how, "%d of %d %s",
		len(again.failed().calls), len(again.calls), again.failed().list())
	late := append(book.tooLate(plain), book.tooLate(again)...)
	report(l.t, what+": no handler begins after the time of its call", len(late) == 0, "ledger", "%d %s", len(late), joined(late))
	once(l.t, what, book, "plain", plain)
	report(l.t, what+": every call ends in its time", len(plain.lost().calls)+len(again.lost().calls) == 0, "history", "%d late %s", len(plain.lost().calls), plain.lost().list())

	// The controls: the first calls of the silence were routed there, and the
	// checker sees them.
	if len(routedTo(plain, at).calls) == 0 {
		l.t.Error("no call was seen to go to the silent instance at all")
	}
}

// rejoins checks that the instance works again soon after the silence.
func rejoins(l *lab, what, how, victim string, back time.Time) {
	l.t.Helper()
	first := time.Duration(0)
	for _, runs := range l.ledger() {
		for _, x := range runs {
			if after := time.Duration(x.began - back.UnixNano()); x.by == victim && after > 0 && (first == 0 || after < first) {
				first = after
			}
		}
	}
	report(l.t, what+": it works again within 2 s", first > 0 && first <= backWithin, how+", ledger", "after %v", first.Round(time.Millisecond))
}

// routedTo are the calls sent after a moment that nobody answered.
func routedTo(h history, after time.Time) history {
	return h.where(func(c call) bool { return !c.OK && c.Sent >= after.UnixNano() })
}

// inFlightAt counts the failed calls that were open at a moment.
func inFlightAt(h history, at time.Time) int {
	return len(h.failed().where(func(c call) bool { return c.Due < at.UnixNano() && c.End >= at.UnixNano() }).calls)
}

// silenceLoads are two loads: of calls that may not run twice, and of such that may.
func (l *lab) silenceLoads() (plain, again *generator) {
	plain = l.load("plain", impatient, "-request", `"millis":5`)
	again = l.load("again", callTimeout, "-request", `"millis":5`, "-method", "Work.Again", "-idempotent")
	l.pass(time.Second)
	return plain, again
}

// One of three instances is stopped as ctrl-Z stops a process, and goes on
// later: the broker is the only one that can tell.
func TestChaosFreeze(t *testing.T) {
	for range faults(t, 1, 3) {
		unlessStill(func(last bool) bool { return freeze(t, last) })
	}
}

func freeze(t *testing.T, last bool) bool {
	t.Helper()
	l := openLab(t, startNode(t, "--ephemeral"))
	ids := []string{"a", "b", "c"}
	var workers []*process
	for _, id := range ids {
		workers = append(workers, l.worker(id))
	}
	still := l.beat()
	plain, again := l.silenceLoads()
	i := l.random.IntN(len(ids))
	at := time.Now()
	workers[i].signal(t, syscall.SIGSTOP)
	l.event("%s was stopped", ids[i])
	l.pass(silence)
	back := time.Now()
	workers[i].signal(t, syscall.SIGCONT)
	l.event("%s goes on", ids[i])
	l.pass(backWithin + time.Second)
	h, repeated := plain.end(), again.end()
	if still() && !last {
		t.Log("the machine stood still; once more")
		stopAll(t, workers...)
		return false
	}
	silenced(l, "SIGSTOP", "SIGSTOP", cutAfter, at, back, h, repeated)
	rejoins(l, "SIGSTOP", "SIGSTOP", ids[i], back)
	stopAll(t, workers...)
	return true
}
