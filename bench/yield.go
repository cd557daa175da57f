package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"github.com/mbus-dev/mbus/rpc"
)

// Connections of mbus let other goroutines run before they write. This part
// measures the same calls with and without that, also with more threads than the
// machine has processors.

// yielders are those without and with it; the first is what the other one is
// divided by.
func yielders() []contender {
	plain, usual := mbusUnyielding(), mbusDefault()
	usual.title = "mbus, with"
	return []contender{plain, usual}
}

const unyielding = "mbus-unyielding"

// mbusUnyielding is mbus, but for the yield: this program, built with a copy of
// one file of package bus in which one line is missing.
func mbusUnyielding() contender {
	return contender{
		name: unyielding, title: "mbus, without", broker: true, streams: "its stream is that of mbus",
		serve: serveMbus("unyielding"), dial: dialMbus("unyielding", rpc.ClientConfig{}, typed("Echo.Call")), // within that program
		program: func(role, broker, _ string) ([]string, error) {
			program, err := sibling(withoutYield)
			if err != nil {
				return nil, err
			}
			return []string{program, role, unyielding, broker}, nil
		},
	}
}

// yields plans the cells of this part: open loops at some rates, and a closed
// one, with as many threads as there are processors, at most four, with four,
// and with eight.
func (p *plan) yields(reps int, rates ...float64) {
	p.YieldReps = reps
	for _, procs := range slices.Compact([]int{min(runtime.NumCPU(), 4), 4, 8}) {
		for _, rate := range rates {
			p.Yields = append(p.Yields, cell{Case: "open", Rate: rate, Size: small, Procs: procs})
		}
		p.Yields = append(p.Yields, cell{Case: "unary", InFlight: 64, Size: small, Procs: procs})
	}
}

// yield measures them. Each number of threads has processes of its own, the
// broker included.
func (r *runner) yield(ctx context.Context) error {
	if r.skips("mbus") {
		return nil
	}
	shared, reps := r.broker, r.plan.Reps
	defer func() { r.broker, r.env, r.plan.Reps = shared, nil, reps }()
	r.plan.Reps = r.plan.YieldReps
	for i, k := range r.plan.Yields {
		if i > 0 && k.Procs == r.plan.Yields[i-1].Procs {
			continue
		}
		before := len(r.children)
		err := r.threads(ctx, k.Procs)
		r.clear(before)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) threads(ctx context.Context, procs int) (err error) {
	r.env = []string{fmt.Sprintf("GOMAXPROCS=%d", procs)}
	if r.broker, err = r.role("broker"); err != nil {
		return err
	}
	var pairs []*pair
	for _, c := range yielders() {
		pairs = append(pairs, r.pair(c, 1))
	}
	for _, k := range r.plan.Yields {
		if k.Procs != procs {
			continue
		}
		err := r.cell(ctx, pairs, k)
		if ctx.Err() != nil {
			return err
		}
		if err != nil { // a machine that cannot keep up with a rate: the other cells count all the same
			for _, c := range yielders() {
				r.records = append(r.records, summary(c, k, nil, nil, reason(err)))
			}
		}
	}
	return nil
}

// yieldTable adds a record with or without the yield to the table of all of
// them.
func yieldTable(all []table, r record) []table {
	const title = "with and without the yield"
	if len(all) == 0 || all[len(all)-1].title != title {
		all = append(all, table{title: title, head: []string{
			"", "threads", "", "calls/s", "p50 ms", "p99 ms", "calls/s ÷ without", "p99 ÷ without", "CPU ÷ without", "client µs", "service µs", "broker µs",
		}})
	}
	last := &all[len(all)-1]
	usual := r.cell
	usual.Procs = 0
	cells := []string{usual.String(), strconv.Itoa(r.Procs), r.title + mark(r)}
	switch {
	case r.NotRun != "":
		cells = append(cells, "not run: "+r.NotRun)
	case r.Contender == unyielding:
		cells = append(cells, whole(r.PerSecond), millis(r.P50), millis(r.P99), "", "", "", micros(r.Client), micros(r.Service), micros(r.Broker))
	default:
		ratio := number(r.Ratio)
		if usual.Case == "open" {
			ratio = "" // as many as were due
		}
		cells = append(cells, whole(r.PerSecond), millis(r.P50), millis(r.P99), ratio, number(r.P99Ratio), number(r.CPURatio), micros(r.Client), micros(r.Service), micros(r.Broker))
	}
	last.rows = append(last.rows, cells)
	return all
}
