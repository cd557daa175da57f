//go:build unix

package e2e_test

import (
	"testing"
	"time"
)

// One of three instances is cut off: nothing arrives any more, and nobody is
// told. Later the cable is whole again.
func TestChaosSilentCut(t *testing.T) {
	ways := []direction{bothWays}
	if long() {
		ways = append(ways, toBroker, toWorker)
	}
	for _, way := range ways {
		for range faults(t, 1, 3) {
			unlessStill(func(last bool) bool { return silentCut(t, way, last) })
		}
	}
	if long() {
		briefCuts(t)
	}
}

// cabled is a lab with three workers, of which b is at the end of a cable.
func cabled(t *testing.T) (*lab, cable, []*process) {
	t.Helper()
	c := openCable(t)
	l := openLab(t, startNode(t, "--ephemeral", "--listen", c.listen()+":0", "--insecure-allow-remote"))
	return l, c, []*process{l.worker("a"), c.worker(l, "b"), l.worker("c")}
}

// silentCut makes one cut. Of a worker that hears nothing the broker still hears
// a ping or two, and waits longer before it asks itself: a second more.
func silentCut(t *testing.T, way direction, last bool) bool {
	t.Helper()
	l, c, workers := cabled(t)
	still := l.beat()
	plain, again := l.silenceLoads()
	l.event("b is being cut off, %v", way)
	c.cut(way)
	at := time.Now() // a machine that is busy may have taken a while for that
	l.event("b is cut off")
	l.pass(silence)
	c.heal()
	back := time.Now()
	l.event("the cable to b is whole again")
	l.pass(backWithin + time.Second)
	what := "silent cut, " + way.String()
	noticed := cutAfter
	if way == toWorker {
		noticed += time.Second
	}
	h, repeated := plain.end(), again.end()
	if still() && !last {
		t.Log("the machine stood still; once more")
		stopAll(t, workers...)
		return false
	}
	silenced(l, what, c.how(), noticed, at, back, h, repeated)
	if _, proxy := c.(*relay); proxy {
		gap(t, what+": it works again within 2 s", "behind a proxy the kernel answers, so nobody has to connect in the dark")
	} else {
		rejoins(l, what, c.how(), "b", back)
	}
	stopAll(t, workers...)
	return true
}

// briefCuts are over before a ping can miss them: TCP delivers everything, late.
// No message says when it was sent, so a call whose time is over by then runs
// nevertheless.
func briefCuts(t *testing.T) {
	t.Helper()
	l, c, workers := cabled(t)
	const lasting = 1300 * time.Millisecond
	g := l.load("brief", 500*time.Millisecond, "-request", `"millis":5`)
	times := faults(t, 1, 3)
	for range times {
		l.pass(time.Second)
		c.cut(bothWays)
		l.pass(lasting)
		c.heal()
		l.pass(2 * time.Second)
	}
	h, book := g.end(), l.ledger()
	once(t, "a cut of 1.3 s", book, "brief", h)
	report(t, "a cut of 1.3 s: every call ends in its time", len(h.lost().calls) == 0, c.how(), "%s", h)
	figure(t, "a cut of 1.3 s: calls of 500 ms that run after their time", c.how(), "%d of %d in %d cuts", len(book.tooLate(h)), len(h.calls), times)
	stopAll(t, workers...)
}
