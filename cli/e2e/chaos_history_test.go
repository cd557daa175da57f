//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A call is what a load has written down about one. Times are Unix nanoseconds.
type call struct {
	ID       string `json:"id"`
	Phase    int    `json:"phase"`
	Due      int64  `json:"due"`
	Sent     int64  `json:"sent"`
	End      int64  `json:"end"`
	OK       bool   `json:"ok"`
	Code     string `json:"code"`
	How      string `json:"how"`
	Message  string `json:"message"`
	Instance string `json:"instance"`
	Attempt  int    `json:"attempt"`
}

func (c call) latency() time.Duration { return time.Duration(c.End - c.Due) }

// timedOut reports whether nobody said anything within the time of the call.
func (c call) timedOut() bool { return c.Code == "deadline_exceeded" }

func (c call) String() string {
	return fmt.Sprintf("%s %s/%s after %v (%s)", c.ID, c.Code, c.How, c.latency().Round(time.Millisecond), c.Message)
}

// A history is all calls of a load.
type history struct {
	timeout time.Duration
	calls   []call
}

// where returns the calls that f wants.
func (h history) where(f func(call) bool) history {
	some := history{timeout: h.timeout}
	for _, c := range h.calls {
		if f(c) {
			some.calls = append(some.calls, c)
		}
	}
	return some
}

func (h history) failed() history { return h.where(func(c call) bool { return !c.OK }) }
func (h history) ok() history     { return h.where(func(c call) bool { return c.OK }) }

// add appends the calls of another load with the same timeout.
func (h *history) add(other history) {
	h.timeout = other.timeout
	h.calls = append(h.calls, other.calls...)
}

// dueBetween are the calls that were due from a moment until another.
func (h history) dueBetween(from, to time.Time) history {
	return h.where(func(c call) bool { return c.Due >= from.UnixNano() && c.Due < to.UnixNano() })
}

// lost are the calls that neither were answered nor failed in their time, with
// half a second for a busy machine.
func (h history) lost() history {
	return h.where(func(c call) bool { return c.End-c.Sent > int64(h.timeout+500*time.Millisecond) })
}

func (h history) quantile(q float64) time.Duration {
	var all []time.Duration
	for _, c := range h.calls {
		all = append(all, c.latency())
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)].Round(10 * time.Microsecond)
}

// typical is the median of a quantile in each half second: a moment in which the
// machine did something else counts once.
func (h history) typical(q float64) time.Duration {
	const window = 500 * time.Millisecond
	windows := map[int64]history{}
	for _, c := range h.calls {
		w := windows[c.Due/int64(window)]
		w.calls = append(w.calls, c)
		windows[c.Due/int64(window)] = w
	}
	var each []time.Duration
	for _, w := range windows {
		each = append(each, w.quantile(q))
	}
	return median(each)
}

// String counts the calls, each in exactly one class.
func (h history) String() string {
	classes := map[string]int{}
	for _, c := range h.failed().calls {
		if c.timedOut() {
			classes["timeout"]++
		} else {
			classes[c.Code+"/"+c.How]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d calls, %d ok", len(h.calls), len(h.ok().calls))
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		fmt.Fprintf(&b, ", %d %s", classes[class], class)
	}
	fmt.Fprintf(&b, ", p50 %v, p99 %v", h.quantile(0.5), h.quantile(0.99))
	return b.String()
}

func (h history) list() string {
	var lines []string
	for _, c := range h.calls {
		lines = append(lines, c.String())
	}
	return joined(lines)
}

// An execution is one time that a worker ran a call, by its ledger.
type execution struct {
	by           string
	attempt      int
	began, ended int64 // 0: not ended
	cancelled    int64
}

// A ledger is what the workers have written down, by call.
type ledger map[string][]execution

// ledger reads the books of all workers, those that were killed too.
func (l *lab) ledger() ledger {
	l.t.Helper()
	type entry struct {
		Event, Call, By string
		Attempt         int
		At              int64
	}
	paths, err := filepath.Glob(filepath.Join(l.dir, "ledger-*"))
	if err != nil {
		l.t.Fatal(err)
	}
	all := ledger{}
	for _, path := range paths {
		for _, e := range readLines[entry](l.t, path) {
			e.At -= int64(l.ahead[e.By])
			if e.Event == "began" {
				all[e.Call] = append(all[e.Call], execution{by: e.By, attempt: e.Attempt, began: e.At})
				continue
			}
			i := slices.IndexFunc(all[e.Call], func(x execution) bool {
				return x.by == e.By && x.attempt == e.Attempt && x.ended == 0 && x.cancelled == 0
			})
			switch {
			case i < 0:
				l.t.Fatalf("the ledger %s has an end without a begin: %+v", path, e)
			case e.Event == "ended":
				all[e.Call][i].ended = e.At
			default:
				all[e.Call][i].cancelled = e.At
			}
		}
	}
	return all
}

// twice are the calls of a load that were executed more than once.
func (l ledger) twice(prefix string) (ids []string) {
	for id, runs := range l {
		if strings.HasPrefix(id, prefix+"-") && len(runs) > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

// executions counts how often the calls of a load were executed.
func (l ledger) executions(prefix string) (n int) {
	for id, runs := range l {
		if strings.HasPrefix(id, prefix+"-") {
			n += len(runs)
		}
	}
	return n
}

// tooLate are the calls of a history whose handler began after their time.
func (l ledger) tooLate(h history) (ids []string) {
	for _, c := range h.calls {
		for _, x := range l[c.ID] {
			if x.began > c.Sent+int64(h.timeout) {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}

func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

func longest(times []time.Duration) (most time.Duration) {
	for _, d := range times {
		most = max(most, d)
	}
	return most
}

// readLines reads a file of JSON lines. A process that was killed may have left
// the last one unfinished.
func readLines[T any](t testing.TB, path string) (all []T) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var v T
		if !strings.HasSuffix(line, "\n") {
			break
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s: %v in %q", path, err, line)
		}
		all = append(all, v)
	}
	return all
}
