package main

import (
	"debug/buildinfo"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"
	"time"
)

//go:embed page.md.tmpl
var pageTemplate string

// pageNotes is what figures cannot tell, written by hand.
//
//go:embed notes.md
var pageNotes string

// remarks are for those who write the notes.
var remarks = regexp.MustCompile(`(?s)<!--.*?-->\n+`)

// majors are at the end of a module's path.
var majors = regexp.MustCompile(`/v\d+$`)

type named struct{ Name, Value string }

// writeDocs writes the page of the results and its charts.
func writeDocs(dir, pace string, p plan, begun time.Time, records []record) error {
	page, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return err
	}
	type section struct{ Title, Rows string }
	var sections []section
	for _, t := range tables(records) {
		var b strings.Builder
		t.markdown(&b)
		sections = append(sections, section{strings.ToUpper(t.title[:1]) + t.title[1:], b.String()})
	}
	target := "bench"
	if pace == "full" {
		target = "bench-full"
	}
	aims, missed, met, unknown := targetTable(records)
	var b strings.Builder
	if err := page.Execute(&b, map[string]any{
		"Target": target, "Reps": p.Reps, "Facts": facts(begun), "Short": short(records), "Faster": faster(records),
		"Targets": aims, "Missed": missed, "Met": met, "Unknown": unknown, "Notes": remarks.ReplaceAllString(pageNotes, ""), "Watchers": crowdParts()[1],
		"Tables": sections, "Spoiled": slices.ContainsFunc(records, func(r record) bool { return r.Spoiled }),
	}); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"benchmarks.md":             b.String(),
		"benchmarks-throughput.svg": throughputChart(records),
		"benchmarks-cpu.svg":        cpuChart(records),
		"benchmarks-growth.svg":     growthChart(records),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// facts are when, where and with what the run was made.
func facts(begun time.Time) []named {
	m := thisMachine()
	versions := []string{strings.Replace(runtime.Version(), "go", "Go ", 1)}
	for _, dep := range modules() {
		switch dep.Path {
		case "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "google.golang.org/grpc",
			"connectrpc.com/connect", "github.com/livekit/psrpc", "go-micro.dev/v4", "github.com/tinylib/msgp":
			name := majors.ReplaceAllString(dep.Path, "")
			name = strings.TrimSuffix(name, ".dev")
			version := name[strings.LastIndex(name, "/")+1:] + " " + dep.Version
			if !slices.Contains(versions, version) {
				versions = append(versions, version)
			}
		}
	}
	if node := output("node", "--version"); node != "unknown" {
		versions = append(versions, "Node.js "+node, "Moleculer "+moleculerVersion())
	}
	return []named{
		{"Date", begun.UTC().Format(time.DateOnly)},
		{"Commit", m.Commit},
		{"Machine", fmt.Sprintf("%d × %s, %s", m.Cores, m.Processor, m.Memory)},
		{"System", m.Kernel},
		{"Versions", strings.Join(versions, ", ")},
	}
}

// modules are those that this program is built of, and those of its sibling with
// go-micro, most of them the same.
func modules() []*debug.Module {
	var all []*debug.Module
	if info, ok := debug.ReadBuildInfo(); ok {
		all = info.Deps
	}
	program, err := sibling(withGoMicro)
	if err != nil {
		return all
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return all
	}
	return append(all, info.Deps...)
}

// short is the table of the ratios: a row for each contender, a column for each
// cell of the unary calls.
func short(records []record) string {
	t := table{head: []string{""}}
	var cells []cell
	for _, r := range records {
		if r.Case == "unary" && r.Procs == 0 && !slices.Contains(cells, r.cell) {
			cells = append(cells, r.cell)
			t.head = append(t.head, fmt.Sprintf("%d in flight, %s", r.InFlight, size(r.Size)))
		}
	}
	for _, c := range callers() {
		row := []string{c.title}
		for _, k := range cells {
			r, _ := pick(records, c.name, k)
			if r.NotRun != "" && len(row) > 1 && strings.HasPrefix(row[1], "not run") {
				continue // said once is enough
			}
			if r.NotRun != "" {
				row = append(row, "not run: "+r.NotRun)
			} else {
				row = append(row, r.short())
			}
		}
		t.rows = append(t.rows, row)
	}
	var b strings.Builder
	t.markdown(&b)
	return b.String()
}

// faster lists who does more than mbus with its defaults, by however little:
// the page should not pass over anybody.
func faster(records []record) []string {
	var lines []string
	for _, ours := range records {
		if ours.Contender != "mbus" || ours.NotRun != "" || ours.Fact != "" || ours.scale || ours.Case == "open" {
			continue
		}
		var names []string
		for _, r := range records {
			if r.cell == ours.cell && r.Fact == "" && !strings.HasPrefix(r.Contender, "mbus") && r.NotRun == "" && r.Ratio > ours.Ratio {
				names = append(names, fmt.Sprintf("%s %.2f", r.title, r.Ratio))
			}
		}
		if len(names) > 0 {
			lines = append(lines, fmt.Sprintf("%s: %s (mbus %.2f)", ours.cell, strings.Join(names, ", "), ours.Ratio))
		}
	}
	return lines
}

func pick(records []record, contender string, k cell) (record, bool) {
	for _, r := range records {
		if r.Contender == contender && r.cell == k && r.Fact == "" {
			return r, true
		}
	}
	return record{}, false
}
