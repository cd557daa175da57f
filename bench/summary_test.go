package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func at64() cell { return cell{Case: "unary", InFlight: 64, Size: small} }

func made(rate float64, p99, cpu time.Duration, spoiled bool) sample {
	others := 0.1
	if spoiled {
		others = 0.5
	}
	return sample{result: result{Calls: 100, P99: p99, Mallocs: 300}, rate: rate, client: cpu / 2, service: cpu / 2, others: others}
}

func TestRatiosAreTakenWithinARepetition(t *testing.T) {
	// The machine was half as fast in the second repetition.
	floor := []sample{made(1000, 2*time.Millisecond, 10*time.Microsecond, false), made(500, 4*time.Millisecond, 20*time.Microsecond, false), made(1000, 2*time.Millisecond, 10*time.Microsecond, false)}
	ours := []sample{made(1500, time.Millisecond, 5*time.Microsecond, false), made(750, 2*time.Millisecond, 10*time.Microsecond, false), made(2000, time.Millisecond, 5*time.Microsecond, false)}
	r := summary(contender{name: "mbus", title: "mbus"}, at64(), ours, floor, "")
	if r.Ratio != 1.5 || r.Min != 1.5 || r.Max != 2 {
		t.Errorf("ratio %g (%g to %g), want 1.5 (1.5 to 2)", r.Ratio, r.Min, r.Max)
	}
	if r.P99Ratio != 0.5 || r.CPURatio != 0.5 || *r.Allocs != 3 {
		t.Errorf("p99 %g, CPU %g, allocations %g, want 0.5, 0.5, 3", r.P99Ratio, r.CPURatio, *r.Allocs)
	}
}

func TestARowIsSpoiledWhenHalfOfItsRepetitionsAre(t *testing.T) {
	clean := made(1000, time.Millisecond, time.Microsecond, false)
	dirty := made(1000, time.Millisecond, time.Microsecond, true)
	for _, c := range []struct {
		name        string
		ours, floor []sample
		want        bool
	}{
		{"none", []sample{clean, clean, clean}, []sample{clean, clean, clean}, false},
		{"one of three", []sample{dirty, clean, clean}, []sample{clean, clean, clean}, false},
		{"two of three", []sample{dirty, dirty, clean}, []sample{clean, clean, clean}, true},
		{"one, and the floor in another", []sample{dirty, clean, clean}, []sample{clean, dirty, clean}, true},
	} {
		if got := summary(contender{}, at64(), c.ours, c.floor, "").Spoiled; got != c.want {
			t.Errorf("%s: spoiled is %t", c.name, got)
		}
	}
}

func TestForeignLoadIsWhatTheMachineDidBesideUs(t *testing.T) {
	now := time.Now()
	before := marks{at: now, known: true}
	after := marks{at: now.Add(2 * time.Second), all: 3 * time.Second, own: 2 * time.Second, known: true}
	if got := foreign(before, after); got != 0.5 {
		t.Errorf("others used %g of a processor, want 0.5", got)
	}
	after.known = false
	if got := foreign(before, after); got != 0 {
		t.Errorf("where nothing is known others used %g, want 0", got)
	}
}

func TestARowIsNeverOmitted(t *testing.T) {
	floor := []sample{made(1000, time.Millisecond, time.Microsecond, false)}
	var records []record
	for _, c := range callers() {
		if c.name == "raw" {
			records = append(records, summary(c, at64(), floor, floor, ""))
		} else {
			records = append(records, summary(c, at64(), nil, floor, "no npm"))
		}
	}
	var out strings.Builder
	if err := writeTables(&out, records); err != nil {
		t.Fatal(err)
	}
	for _, c := range callers() {
		if !strings.Contains(out.String(), c.title+" ") || !strings.Contains(short(records), "| "+c.title+" |") {
			t.Errorf("%s is missing", c.title)
		}
	}
	if got := strings.Count(out.String(), "not run: no npm"); got != len(callers())-1 {
		t.Errorf("%d rows were not run, want %d", got, len(callers())-1)
	}
}

func TestThePageSaysWhereAPeerIsFaster(t *testing.T) {
	floor := []sample{made(1000, time.Millisecond, time.Microsecond, false)}
	better := []sample{made(1400, time.Millisecond, time.Microsecond, false)}
	records := []record{
		summary(contender{name: "raw", title: "nats.go"}, at64(), floor, floor, ""),
		summary(contender{name: "mbus", title: "mbus"}, at64(), floor, floor, ""),
		summary(contender{name: "grpc", title: "gRPC-go"}, at64(), better, floor, ""),
	}
	got := faster(records)
	if len(got) != 1 || !strings.Contains(got[0], "gRPC-go 1.40 (mbus 1.00)") {
		t.Errorf("got %q", got)
	}
}

func TestAReasonFitsIntoACell(t *testing.T) {
	got := reason(errors.New("npm ci: one | two\n\tthree " + strings.Repeat("x", 500)))
	if strings.ContainsAny(got, "|\n\t") || len(got) > 130 || !strings.HasPrefix(got, "npm ci: one / two three x") {
		t.Errorf("got %q", got)
	}
}
