//go:build unix

package e2e_test

import (
	"fmt"
	"slices"
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
// publisher, do not notice. What else the machine does makes all of this only
// worse, and a reader that does not get to run loses events as a slow one does:
// there are a few rounds, without the slow one and with it, and the best of each
// are compared.
func TestChaosSlowSubscriber(t *testing.T) {
	plan, rounds := "1000:3s", 3
	if long() {
		plan, rounds = "1000:5s", 6
	}
	l := openLab(t, startNode(t, "--ephemeral"))
	how := "50 connections, one slow, " + plan
	var usual, worst, rate []float64
	var missing []uint64
	inTime := func() bool {
		return slices.Min(worst) <= 1.2*slices.Min(usual)+1 || slices.Min(worst) < 20
	}
	for round := 1; ; round++ {
		base, _, calm := publishTo(t, l, fmt.Sprint("calm-", round), 0, plan)
		p, slow, others := publishTo(t, l, fmt.Sprint("busy-", round), 500*time.Millisecond, plan)
		one := slow.Readings[0]
		if one.Received+one.Dropped != p.Published {
			t.Errorf("round %d: %d received + %d dropped of %d published", round, one.Received, one.Dropped, p.Published)
		}
		lost, disorder := uint64(0), 0
		for _, r := range others.Readings {
			lost += p.Published - r.Received
			disorder += r.Disorder
		}
		if disorder > 0 || len(others.Readings) != 49 || p.Failed > 0 {
			t.Errorf("round %d: %d out of order at %d readers, %d not published", round, disorder, len(others.Readings), p.Failed)
		}
		usual, worst = append(usual, calm.slowest()), append(worst, others.slowest())
		missing, rate = append(missing, lost), append(rate, 100*p.Rate/base.Rate)
		if round < rounds && (lost > 0 || p.Rate < 0.95*base.Rate || !inTime()) {
			t.Logf("round %d: %d missing, p99 %.1f ms against %.1f ms, %.0f %% of the rate; once more", round, lost, worst[round-1], usual[round-1], rate[round-1])
			continue
		}
		report(t, "slow subscriber: the 49 others get everything, in order", slices.Min(missing) == 0, how, "%d of %d missing", slices.Min(missing), 49*p.Published)
		report(t, "slow subscriber: the publisher keeps 95 % of its rate", slices.Max(rate) >= 95, how, "%.0f %% of %.0f/s", slices.Max(rate), base.Rate)
		report(t, "slow subscriber: the others' p99 is within 1.2x + 1 ms, or 20 ms", inTime(), how, "%.1f ms against %.1f ms", slices.Min(worst), slices.Min(usual))
		report(t, "slow subscriber: its drops are counted exactly", one.Received+one.Dropped == p.Published, how, "%d received + %d dropped = %d published", one.Received, one.Dropped, p.Published)
		// The control: it lost some, and the checker of the others would say so.
		if one.Dropped == 0 {
			t.Errorf("the slow subscriber lost nothing: %+v", one)
		}
		return
	}
}

// slowest is the longest p99 of the readers, in milliseconds.
func (r readers) slowest() (most float64) {
	for _, one := range r.Readings {
		most = max(most, one.P99)
	}
	return most
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
