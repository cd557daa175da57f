package web

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// Return sends deltas of a size to a hub that nobody listens to, and returns the
// kinds of the events that a client gets which has seen the first n of them and
// comes back.
func Return(t testing.TB, deltas, size, n int) (kinds []string) {
	t.Helper()
	h := newHub("build")
	for i := range deltas {
		h.send(topicServices, "services", uint64(i+1), strings.Repeat("x", size))
	}
	c, err := h.join([]wish{{topic: topicServices}}, h.run+"."+strconv.Itoa(n))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range h.take(c) {
		for line := range strings.SplitSeq(string(data), "\n") {
			if kind, ok := strings.CutPrefix(line, "event: "); ok {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// Matches returns the rows that a filter keeps, by their index.
func Matches(t testing.TB, q string, rows []json.RawMessage) []int {
	t.Helper()
	f := parseFilter(q)
	found := []int{}
	for i, raw := range rows {
		var told struct {
			Name, Health, Kind string
			Versions           []versionCount
			Instances          int
			RPS                *float64
			P50                *float64 `json:"p50_ms"`
			P99                *float64 `json:"p99_ms"`
			Percent            *float64 `json:"error_percent"`
			Errors             *float64 `json:"errors_per_s"`
			InFlight           int      `json:"in_flight"`
		}
		if err := json.Unmarshal(raw, &told); err != nil {
			t.Fatal(err)
		}
		number := func(f *float64) numeral {
			if f == nil {
				return unknownNumber()
			}
			return numeral(*f)
		}
		r := &row{Name: told.Name, Kind: told.Kind, Versions: told.Versions, Instances: told.Instances, rowNumbers: rowNumbers{
			Rate: number(told.RPS), P50: number(told.P50), P99: number(told.P99), Percent: number(told.Percent), Errors: number(told.Errors), InFlight: told.InFlight,
		}}
		for h := down; h <= ok; h++ {
			if h.String() == told.Health {
				r.Health = h
			}
		}
		if f.row(r) {
			found = append(found, i)
		}
	}
	return found
}
