package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table is what a cell, or a group of facts, looks like.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// tables groups records that follow each other into tables.
func tables(records []record) []table {
	var all []table
	for i, r := range records {
		switch {
		case r.scale:
			all = scaleTable(all, r)
			continue
		case r.Procs > 0:
			all = yieldTable(all, r)
			continue
		case r.Instances > 0:
			all = crowdTable(all, r)
			continue
		case r.Fact != "":
			all = fact(all, r)
			continue
		}
		if i == 0 || records[i-1].scale || records[i-1].Procs > 0 || records[i-1].Fact != "" || records[i-1].cell != r.cell {
			all = append(all, table{title: r.cell.String(), head: head(r.cell)})
		}
		last := &all[len(all)-1]
		last.rows = append(last.rows, row(r))
	}
	for _, t := range all { // those without numbers come last, in both kinds of tables
		slices.SortStableFunc(t.rows, func(a, b []string) int { return cmp.Compare(missing(a), missing(b)) })
	}
	return all
}

func missing(row []string) int {
	if strings.HasPrefix(row[1], "not run") {
		return 1
	}
	return 0
}

func head(k cell) []string {
	switch k.Case {
	case "unary", "gateway":
		return []string{"", "÷ floor", "min–max", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 ÷ floor", "CPU ÷ floor", "client µs", "service µs", "broker µs", "allocs"}
	case "open":
		return []string{"", "on time", "min–max", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 ÷ floor", "CPU ÷ floor", "client µs", "service µs", "broker µs", "allocs"}
	case "local":
		return []string{"", "÷ codec", "min–max", "calls/s", "CPU ÷ codec", "client µs", "service µs", "broker µs", "allocs"}
	}
	return []string{"", "÷ floor", "min–max", "messages/s", "CPU ÷ floor", "client µs", "service µs", "broker µs", "allocs"}
}

func row(r record) []string {
	name := r.title + mark(r)
	if r.NotRun != "" {
		return []string{name, "not run: " + r.NotRun}
	}
	cells := []string{name, number(r.Ratio), number(r.Min) + "–" + number(r.Max), whole(r.PerSecond)}
	if r.cell.Case == "unary" || r.cell.Case == "gateway" || r.cell.Case == "open" {
		cells = append(cells, millis(r.P50), millis(r.P99), millis(r.P999), number(r.P99Ratio))
	}
	allocs := "–"
	if r.Allocs != nil {
		allocs = strconv.FormatFloat(*r.Allocs, 'f', 1, 64)
	}
	cells = append(cells, number(r.CPURatio), micros(r.Client), micros(r.Service), micros(r.Broker), allocs)
	if r.Failed > 0 || r.Behind > 0 {
		cells = append(cells, fmt.Sprintf("%d failed, %d never begun", r.Failed, r.Behind))
	}
	return cells
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
func whole(f float64) string  { return strconv.FormatFloat(f, 'f', 0, 64) }
func millis(us float64) string {
	return strconv.FormatFloat(us/1000, 'f', 3, 64)
}

func micros(us float64) string {
	if us == 0 {
		return "–"
	}
	return strconv.FormatFloat(us, 'f', 1, 64)
}

// fact adds a record without a floor to the table of its case.
func fact(all []table, r record) []table {
	if len(all) == 0 || all[len(all)-1].title != r.Case {
		all = append(all, table{title: r.Case, head: []string{"", "median", "min–max", ""}})
	}
	last := &all[len(all)-1]
	name := r.title + mark(r)
	cells := []string{name, number(r.Value), number(r.Min) + "–" + number(r.Max), r.Unit}
	if r.NotRun != "" {
		cells = []string{name, "not run: " + r.NotRun}
	}
	last.rows = append(last.rows, cells)
	return all
}

// writeTables writes them for a terminal.
func writeTables(out io.Writer, records []record) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	spoiled := false
	for _, t := range tables(records) {
		fmt.Fprintf(w, "\n%s%s\n", t.title, strings.Join(t.head, "\t"))
		for _, cells := range t.rows {
			fmt.Fprintln(w, strings.Join(cells, "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, r := range records {
		spoiled = spoiled || r.Spoiled
	}
	if spoiled {
		fmt.Fprintln(out, "\n~ other load on this machine spoiled at least half of the repetitions: measure again")
	}
	return nil
}

// markdown writes a table for a page.
func (t table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, cells := range t.rows {
		if rest := len(t.head) - len(cells); rest > 0 {
			cells = append(cells, make([]string, rest)...)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}
