//go:build unix

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// A readers is what the subscribers of one process have got.
type readers struct {
	Readings []struct {
		Received uint64  `json:"received"`
		Dropped  uint64  `json:"dropped"`
		Disorder int     `json:"disorder"`
		P99      float64 `json:"p99_ms"`
	} `json:"readings"`
}

// A publication is what a publisher has done.
type publication struct {
	Published uint64  `json:"published"`
	Failed    int     `json:"failed"`
	Rate      float64 `json:"rate"`
}

// publishTo publishes while 50 subscribers read, one of which may be slow.
func publishTo(t *testing.T, l *lab, name string, slow time.Duration, plan string) (publication, readers, readers) {
	t.Helper()
	one := l.b.start(t, of(worker, "-topic", name, "-slow", slow.String()))
	others := l.b.start(t, of(worker, "-topic", name, "-readers", "49"))
	one.await(t, startup, `"ready":true`)
	others.await(t, startup, `"ready":true`)
	publisher := l.b.start(t, of(load, "-topic", name, "-plan", plan))
	line, _ := publisher.await(t, time.Minute, `"published"`)
	publisher.wait(t, startup)
	stopAll(t, one, others)
	o, _ := one.await(t, startup, `"readings"`)
	r, _ := others.await(t, startup, `"readings"`)
	return decode[publication](t, line), decode[readers](t, o), decode[readers](t, r)
}

// One of 50 subscribers needs half a second for an event; the others, and the
// publisher, do not notice.
func TestChaosSlowSubscriber(t *testing.T) {
	plan := "1000:3s"
	if long() {
		plan = "1000:20s"
	}
	l := openLab(t, startNode(t, "--ephemeral"))
	how := "50 connections, one slow, " + plan
	for round := 1; ; round++ {
		base, _, calm := publishTo(t, l, fmt.Sprint("calm-", round), 0, plan)
		p, slow, others := publishTo(t, l, fmt.Sprint("busy-", round), 500*time.Millisecond, plan)
		missing, disorder, worst, usual := uint64(0), 0, 0.0, 0.0
		for i, r := range others.Readings {
			missing += p.Published - r.Received
			disorder += r.Disorder
			worst, usual = max(worst, r.P99), max(usual, calm.Readings[i].P99)
		}
		// What else the machine does makes all of this only worse, and a reader
		// that does not get to run loses events as a slow one does: one of three
		// rounds is enough.
		good := missing == 0 && p.Rate >= 0.95*base.Rate && (worst <= 1.2*usual+1 || worst < 20)
		if !good && round < 3 {
			t.Logf("round %d: %d missing, p99 %.1f ms against %.1f ms, %.0f/s of %.0f/s; once more", round, missing, worst, usual, p.Rate, base.Rate)
			continue
		}
		report(t, "slow subscriber: the 49 others get everything, in order", missing == 0 && disorder == 0 && len(others.Readings) == 49, how, "%d of %d missing", missing, 49*p.Published)
		report(t, "slow subscriber: the publisher keeps 95 % of its rate", p.Rate >= 0.95*base.Rate && p.Failed == 0, how, "%.0f/s of %.0f/s", p.Rate, base.Rate)
		report(t, "slow subscriber: the others' p99 is within 1.2x + 1 ms, or 20 ms", worst <= 1.2*usual+1 || worst < 20, how, "%.1f ms against %.1f ms", worst, usual)
		s := slow.Readings[0]
		report(t, "slow subscriber: its drops are counted exactly", s.Received+s.Dropped == p.Published, how, "%d received + %d dropped = %d published", s.Received, s.Dropped, p.Published)
		// The control: it lost some, and the checker of the others would say so.
		if s.Dropped == 0 || s.Received == p.Published {
			t.Errorf("the slow subscriber lost nothing: %+v", s)
		}
		return
	}
}

// Streams that nobody uses are small, on both sides.
func TestChaosIdleStreams(t *testing.T) {
	onlyOnLinux(t)
	l := openLab(t, startNode(t, "--ephemeral"))
	const streams = 1000
	w := l.worker("a")
	warm := l.b.start(t, of(load, "-streams", "1", "-idle"))
	warm.await(t, startup, `"ready":true`)
	before, small := memory(t, w), memory(t, warm)
	many := l.b.start(t, of(load, "-streams", fmt.Sprint(streams), "-idle"))
	many.await(t, startup, `"ready":true`)
	serving, calling := (memory(t, w)-before)/streams, (memory(t, many)-small)/streams
	report(t, "1,000 idle streams take at most 64 KiB each", serving <= 64<<10 && calling <= 64<<10, "resident memory", "%d KiB served, %d KiB opened", serving>>10, calling>>10)
	if serving <= 0 {
		t.Error("a thousand streams took no memory: the measurement sees nothing")
	}
	stopAll(t, warm, many, w)
}
