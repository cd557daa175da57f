package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A target is a figure that mbus has to reach.
type target struct {
	what    string
	want    float64
	most    bool // want is the most that is allowed, not the least
	unit    string
	measure func(results) (float64, bool)
}

// results are the records of a run, to look figures up in.
type results []record

// batched and batchedBytes are the contenders with batches.
const (
	batched      = "mbus-batched"
	batchedBytes = "mbus-core-batched"
)

// least and most are targets of a figure.
func least(what string, want float64, measure func(results) (float64, bool)) target {
	return target{what: what, want: want, unit: "×", measure: measure}
}

func most(what string, want float64, unit string, measure func(results) (float64, bool)) target {
	return target{what: what, want: want, most: true, unit: unit, measure: measure}
}

// targets are what the project set out to reach, all on one machine with two
// processors, and divided by plain nats.go where the unit is ×.
func targets() []target {
	const core, inline, usual, local = "mbus-core", "mbus-inline", "mbus", "mbus-local"
	all := []target{
		least("bytes, inline: throughput at 1", 0.95, ratio(core, 1)),
		least("bytes, inline: throughput at 16", 1.5, ratio(core, 16)),
		least("bytes, inline: throughput at 64", 2, ratio(core, 64)),
		least("bytes, inline: throughput at 256", 2, ratio(core, 256)),
		most("bytes, inline: allocations of a call", 3, "", allocs(core)),
		most("bytes, inline: processor time at 64", 0.5, "×", processor(core, 64)),
		least("inline: throughput at 64", 1.5, ratio(inline, 64)),
		least("inline: throughput at 256", 1.5, ratio(inline, 256)),
		most("inline: p99 at 64", 0.9, "×", tail(inline, 64)),
		most("inline: p99 at 256", 0.9, "×", tail(inline, 256)),
		least("defaults: throughput at 1", 0.9, ratio(usual, 1)),
		least("defaults: throughput at 64", 1.2, ratio(usual, 64)),
		least("defaults: throughput at 256", 1.2, ratio(usual, 256)),
		most("defaults: p99 at 1", 1.2, "×", tail(usual, 1)),
		most("defaults: p99 at 64", 1, "×", tail(usual, 64)),
		most("defaults: p99 at 256", 1, "×", tail(usual, 256)),
		most("defaults: allocations of a call", 10, "", allocs(usual)),
	}
	for _, peer := range []struct {
		name, title string
		want        float64
	}{
		{"micro", "nats.go/micro", 1.5},
		{"grpc", "gRPC-go", 2.3},
		{"moleculer", "Moleculer", 2},
		{"psrpc", "psrpc", 4.5},
		{"connect", "connect-go", 5},
		{"go-micro", "go-micro over NATS", 6},
	} {
		all = append(all, least("defaults: throughput at 64, beside "+peer.title, peer.want, beside(usual, peer.name)))
	}
	return append(
		all,
		most("defaults: allocations of a call, generated codec", 5, "", allocs("mbus-generated")),
		most("same process: time of a call beside its codec", 2, "×", codecTimes(local)),
		least("batches of bytes: throughput at 256", 4, ratio(batchedBytes, 256)),
		least("batches: throughput at 256", 2, ratio(batched, 256)),
		least("batches: throughput at 1, beside mbus without", 0.95, besideAt(batched, usual, unaryAt(1))),
		least("batches: throughput at 64 with 64 KiB, beside mbus without", 0.95, besideAt(batched, usual, cell{Case: "unary", InFlight: 64, Size: large})),
		least("same process: throughput at 1", 15, ratio(local, 1)),
		least("same process: throughput at 64", 4, ratio(local, 64)),
		least("events, generated msgpack, to 1", 0.6, events(1)),
		least("events, generated msgpack, to 4", 0.6, events(4)),
		least("stream of 16 B", 0.6, stream(small)),
		least("stream of 1 KiB", 0.6, stream(medium)),
		target{what: "streams on one connection", want: 10_000, measure: reached(kindStreams)},
		target{what: "connections to one node", want: 10_000, measure: reached(kindConnections)},
		most("discovery of 10,000: broker", 15, "% of a core", known(crowdParts()[0])),
		most("discovery of 10,000: all watchers", 20, "% of a core", known(crowdParts()[1])),
		most("discovery of 10,000: memory of the registrar", 100, "MB", megabytes(known("registrar, memory"))),
		most("node: from exec to ready", 50, "ms", node("node with the greeter, from exec to ready")),
		most("node: memory while idle", 40, "MB", megabytes(node("the same, memory after 2 s"))),
		most("node: program, stripped", 40, "MB", megabytes(node("program, stripped"))),
		most("mbus list, end to end", 30, "ms", node("mbus list, end to end")),
		most("mbus query, end to end", 30, "ms", node("mbus query, end to end")),
	)
}

// cell looks a contender up.
func (r results) cell(contender string, k cell) (record, bool) {
	rec, ok := pick(r, contender, k)
	return rec, ok && rec.NotRun == ""
}

func unaryAt(inFlight int) cell { return cell{Case: "unary", InFlight: inFlight, Size: small} }

// ratio is the throughput of a contender beside the floor.
func ratio(contender string, inFlight int) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell(contender, unaryAt(inFlight))
		return rec.Ratio, ok
	}
}

func tail(contender string, inFlight int) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell(contender, unaryAt(inFlight))
		return rec.P99Ratio, ok
	}
}

func processor(contender string, inFlight int) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell(contender, unaryAt(inFlight))
		return rec.CPURatio, ok
	}
}

func allocs(contender string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell(contender, unaryAt(64))
		if !ok || rec.Allocs == nil {
			return 0, false
		}
		return *rec.Allocs, true
	}
}

// beside is the throughput of a contender beside that of another one at 64.
func beside(contender, other string) func(results) (float64, bool) {
	return besideAt(contender, other, unaryAt(64))
}

func besideAt(contender, other string, k cell) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		ours, ok := r.cell(contender, k)
		theirs, there := r.cell(other, k)
		if !ok || !there || theirs.Ratio == 0 {
			return 0, false
		}
		return ours.Ratio / theirs.Ratio, true
	}
}

// codecTimes is the time of a call within a process beside that of its codec.
func codecTimes(contender string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell(contender, cell{Case: "local", Size: small})
		if !ok || rec.Ratio == 0 {
			return 0, false
		}
		return 1 / rec.Ratio, true
	}
}

func events(fan int) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell("mbus-msgpack", cell{Case: "events", Fan: fan, Size: small})
		return rec.Ratio, ok
	}
}

func stream(size int) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		rec, ok := r.cell("mbus", cell{Case: "stream", Size: size})
		return rec.Ratio, ok
	}
}

// reached is how many units were open at most, and each of them worked.
func reached(kind string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		most := 0
		for _, rec := range counted(r, "mbus", kind) {
			most = max(most, rec.Count)
		}
		return float64(most), most > 0
	}
}

func known(fact string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		i := slices.IndexFunc(r, func(rec record) bool {
			return rec.Fact == fact && rec.Instances == 10_000 && rec.NotRun == ""
		})
		if i < 0 {
			return 0, false
		}
		return r[i].Value, true
	}
}

func node(fact string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		i := slices.IndexFunc(r, func(rec record) bool { return rec.Fact == fact && rec.NotRun == "" })
		if i < 0 {
			return 0, false
		}
		return r[i].Value, true
	}
}

// megabytes makes MB of MiB.
func megabytes(measure func(results) (float64, bool)) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		value, ok := measure(r)
		return value * (1 << 20) / 1e6, ok
	}
}

// A verdict is what became of a target.
type verdict struct {
	target
	measured float64
	known    bool
	short    float64 // by how much of what was wanted it was missed; 0 if it was met
}

func (t target) judge(records []record) verdict {
	v := verdict{target: t}
	if t.measure != nil {
		v.measured, v.known = t.measure(records)
	}
	if !v.known {
		return v
	}
	switch {
	case t.most && v.measured > t.want:
		v.short = v.measured/t.want - 1
	case !t.most && v.measured < t.want:
		v.short = 1 - v.measured/t.want
	}
	return v
}

func (v verdict) word() string {
	switch {
	case !v.known:
		return "not measured"
	case v.short == 0:
		return "met"
	case v.short < 0.005:
		return "**missed** by under 1 %"
	}
	return fmt.Sprintf("**missed** by %.0f %%", 100*v.short)
}

// figure writes what was wanted or measured.
func (t target) figure(f float64) string {
	digits := 2
	switch {
	case f == math.Trunc(f):
		digits = 0
	case f >= 20:
		digits = 1
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64) // it is a number
	text := thousands(rounded)
	if digits == 2 {
		text = number(f)
	}
	return strings.TrimSpace(text + " " + t.unit)
}

// targetTable is the table of all targets: the missed ones first, the worst of
// them on top, then what was not measured.
func targetTable(records []record) (page string, missed, met, unknown int) {
	var all []verdict
	for _, t := range targets() {
		all = append(all, t.judge(records))
	}
	slices.SortStableFunc(all, func(a, b verdict) int {
		return cmp.Or(cmp.Compare(b.short, a.short), cmp.Compare(rank(a), rank(b)))
	})
	t := table{head: []string{"target", "wanted", "measured", ""}}
	for _, v := range all {
		sign, measured := "≥ ", "–"
		if v.most {
			sign = "≤ "
		}
		switch {
		case !v.known:
			unknown++
		case v.short > 0:
			missed++
		default:
			met++
		}
		if v.known {
			measured = v.figure(v.measured)
		}
		t.rows = append(t.rows, []string{v.what, sign + v.figure(v.want), measured, v.word()})
	}
	var b strings.Builder
	t.markdown(&b)
	return b.String(), missed, met, unknown
}

// rank puts what was not measured before what was met.
func rank(v verdict) int {
	if v.known {
		return 1
	}
	return 0
}
