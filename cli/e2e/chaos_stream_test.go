//go:build unix

package e2e_test

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// drink reads streams to their ends and tells how long that took. It is an error
// if a message is missing or out of order.
func (l *lab) drink(streams, messages int, args ...string) time.Duration {
	l.t.Helper()
	p := l.b.start(l.t, of(load, append([]string{"-streams", strconv.Itoa(streams), "-count", strconv.Itoa(messages), "-timeout", "2m"}, args...)...))
	line, _ := p.await(l.t, 2*time.Minute, `"ended":true`)
	return took(l.t, line)
}

func took(t *testing.T, line string) time.Duration {
	t.Helper()
	return time.Duration(decode[struct{ Ms float64 }](t, line).Ms * float64(time.Millisecond))
}

// One of a thousand streams on a connection is not read; the others do not
// notice, and it has lost nothing when it goes on.
func TestChaosStuckStream(t *testing.T) {
	const streams = 1000
	// Three times what a stream may have underway; in so short a time the other
	// work of the machine weighs more than half of it.
	messages, slower := 200, 3.0
	if long() {
		messages, slower = 2000, 1.5
	}
	l := openLab(t, startNode(t, "--ephemeral"))
	w := l.worker("a")
	l.drink(streams, messages)
	var calm, stuck []time.Duration
	for range 3 {
		calm = append(calm, l.drink(streams, messages))
		stuck = append(stuck, l.drink(streams, messages, "-stuck"))
	}
	const how = "1,000 streams on one connection"
	report(t, "stuck stream: 999 others and itself get every message, in order", true, how, "%d messages each", messages)
	// The fastest of three is what the machine's other work disturbs least.
	c, s := slices.Min(calm), slices.Min(stuck)
	report(t, "stuck stream: the others are not slower", s <= time.Duration(slower*float64(c))+100*time.Millisecond, how, "%v against %v", s.Round(time.Millisecond), c.Round(time.Millisecond))
	stopAll(t, w)
}

// One long stream, beside plain NATS that publishes as many messages of the same
// size, from one process to another too.
func TestChaosLongStream(t *testing.T) {
	messages := 100_000
	if long() {
		messages = 1_000_000
	}
	l := openLab(t, startNode(t, "--ephemeral"))
	w := l.worker("a")
	rate := func(d time.Duration) float64 { return float64(messages) / d.Seconds() }
	stream := rate(l.drink(1, messages))
	report(t, "a long stream: no message lost or out of order", true, "numbers from 0", "%d messages", messages)

	gulp := l.b.start(t, of(load, "-topic", "flood", "-gulp", "-count", strconv.Itoa(messages), "-timeout", "2m"))
	gulp.await(t, startup, `"ready":true`)
	flood := l.b.start(t, of(load, "-topic", "flood", "-count", strconv.Itoa(messages), "-timeout", "2m"))
	line, _ := gulp.await(t, 2*time.Minute, `"ended":true`)
	flood.wait(t, startup)
	plain := rate(took(t, line))
	figure(t, "a long stream beside plain NATS publish", "one after the other, messages of some 8 bytes",
		"%.0f/s with back-pressure against %.0f/s without, %.0f %%", stream, plain, 100*stream/plain)

	// The control: one that is missing is seen.
	p := l.b.start(t, of(load, "-streams", "1", "-count", "1000", "-skip", "500"))
	p.wait(t, startup)
	if p.code() == 0 {
		t.Errorf("a missing message was not seen: %s", p.stdout.String())
	}
	stopAll(t, w)
}
