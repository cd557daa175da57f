package main

import (
	"strings"
	"testing"
	"time"
)

func TestMissedTargetsComeFirst(t *testing.T) {
	floor := []sample{made(1000, time.Millisecond, time.Microsecond, false)}
	fast := []sample{made(2500, time.Millisecond, time.Microsecond, false)}
	records := []record{
		summary(contender{name: "raw"}, at64(), floor, floor, ""),
		summary(contender{name: "mbus-core"}, at64(), fast, floor, ""),
		summary(contender{name: "mbus-inline"}, at64(), floor, floor, ""),
		summary(contender{name: "mbus"}, at64(), nil, floor, "it would not start"),
	}
	page, missed, met, unknown := targetTable(records)
	lines := strings.Split(strings.TrimSpace(page), "\n")[2:]
	if got, want := missed+met+unknown, len(targets()); got != want || len(lines) != want {
		t.Errorf("%d verdicts in %d lines, want %d", got, len(lines), want)
	}
	want := "| inline: throughput at 64 | ≥ 1.50 × | 1 × | **missed** by 33 % |"
	found := false
	for i, l := range lines {
		found = found || l == want
		if strings.Contains(l, "**missed**") != (i < missed) {
			t.Errorf("line %d of %d missed: %s", i, missed, l)
		}
	}
	if !found {
		t.Errorf("%q is missing in\n%s", want, page)
	}
	for _, want := range []string{
		"| bytes, inline: throughput at 64 | ≥ 2 × | 2.50 × | met |",
		"| defaults: throughput at 64 | ≥ 1.20 × | – | not measured |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}

func TestATargetIsMissedFromEitherSide(t *testing.T) {
	value := func(f float64) func(results) (float64, bool) {
		return func(results) (float64, bool) { return f, true }
	}
	for _, c := range []struct {
		t    target
		want string
	}{
		{least("", 2, value(2)), "met"},
		{least("", 2, value(1.5)), "**missed** by 25 %"},
		{least("", 2, value(1.999)), "**missed** by under 1 %"},
		{most("", 2, "ms", value(2)), "met"},
		{most("", 2, "ms", value(3)), "**missed** by 50 %"},
	} {
		if got := c.t.judge(nil).word(); got != c.want {
			t.Errorf("want %v, measured: got %q, want %q", c.t.want, got, c.want)
		}
	}
}
