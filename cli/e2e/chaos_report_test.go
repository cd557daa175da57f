//go:build unix

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// A row of the report of the fault lab is one promise and what became of it.
type row struct {
	Scenario, Promise, Measured, How, Verdict string
	// Calls counts those that may not be executed twice, Twice those that were.
	Calls, Twice int
}

// report adds a row. A promise that is not kept fails the test.
func report(t testing.TB, promise string, kept bool, how, format string, args ...any) {
	t.Helper()
	addPromise(t, row{Promise: promise, Measured: fmt.Sprintf(format, args...), How: how}, kept)
}

// once adds the row that no call of a load was executed twice, and counts them
// for the sum of all scenarios.
func once(t testing.TB, what string, book ledger, name string, h history) {
	t.Helper()
	twice := book.twice(name)
	addPromise(t, row{
		Promise: what + ": no call is executed twice that may not be", How: "ledger",
		Measured: fmt.Sprintf("%d of %d %s", len(twice), len(h.calls), joined(twice)),
		Calls:    len(h.calls), Twice: len(twice),
	}, len(twice) == 0)
}

func addPromise(t testing.TB, r row, kept bool) {
	t.Helper()
	r.Verdict = "ok"
	if !kept {
		r.Verdict = "FAIL"
		t.Errorf("%s: %s", r.Promise, r.Measured)
	}
	addRow(t, r)
}

// gap reports a promise that cannot be shown here. Continuous integration has
// everything that it takes, so there it is a failure.
func gap(t testing.TB, promise, why string) {
	t.Helper()
	addRow(t, row{Promise: promise, Measured: "not shown", How: why, Verdict: "gap"})
	if os.Getenv("MBUS_CI") != "" {
		t.Errorf("%s cannot be shown: %s", promise, why)
	}
}

// figure adds a row about what nothing is promised for.
func figure(t testing.TB, what, how, format string, args ...any) {
	t.Helper()
	addRow(t, row{Promise: what, Measured: fmt.Sprintf(format, args...), How: how, Verdict: "figure"})
}

func addRow(t testing.TB, r row) {
	t.Helper()
	r.Scenario, r.Measured = strings.TrimPrefix(t.Name(), "TestChaos"), strings.TrimSpace(r.Measured)
	t.Logf("%s · %s · %s · %s", r.Verdict, r.Promise, r.Measured, r.How)
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(reportFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

func reportFile() string { return filepath.Join(os.Getenv(programsDir), "report") }

// printReport prints the rows of this run as a table. REPORT names a file that
// gets them as Markdown.
func printReport() error {
	rows, err := reported()
	if err != nil || len(rows) == 0 {
		return err
	}
	if path := os.Getenv("REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(markdown(rows)), 0o644); err != nil {
			return err
		}
	}
	if !long() && !testing.Verbose() {
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nscenario\tpromise\tmeasured\thow\tverdict")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Scenario, r.Promise, cut(r.Measured), r.How, r.Verdict)
	}
	return w.Flush()
}

func reported() (rows []row, err error) {
	data, err := os.ReadFile(reportFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(data)) {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	all := sum(rows)
	if rows = merged(rows); all.Calls > 0 {
		rows = append(rows, all)
	}
	return rows, err
}

// merged makes one row of those that say the same of several rounds.
func merged(rows []row) (short []row) {
	worst := []string{"ok", "figure", "gap", "FAIL"}
	rounds := map[row][]string{}
	at := map[row]int{}
	for _, r := range rows {
		key := row{Scenario: r.Scenario, Promise: r.Promise}
		i, again := at[key]
		if !again {
			i = len(short)
			at[key], short = i, append(short, r)
		}
		rounds[key] = append(rounds[key], r.Measured)
		if slices.Index(worst, r.Verdict) > slices.Index(worst, short[i].Verdict) {
			short[i].Verdict, short[i].How = r.Verdict, r.How
		}
	}
	for key, i := range at {
		if n := len(rounds[key]); n > 1 {
			short[i].Measured = fmt.Sprintf("%d rounds: %s", n, strings.Join(rounds[key], "; "))
		}
	}
	return short
}

// sum is the row about the calls of all scenarios together. The promise is about
// a hundred thousand, which the long form makes.
func sum(rows []row) row {
	all := row{Scenario: "all", Promise: "no call is executed twice that may not be, of at least 100,000", How: "ledgers of all faults", Verdict: "figure"}
	for _, r := range rows {
		all.Calls, all.Twice = all.Calls+r.Calls, all.Twice+r.Twice
	}
	all.Measured = fmt.Sprintf("%d of %d", all.Twice, all.Calls)
	switch {
	case all.Twice > 0:
		all.Verdict = "FAIL"
	case all.Calls >= 100_000:
		all.Verdict = "ok"
	}
	return all
}

// cut shortens what does not fit in a cell; the log of the test has it whole.
func cut(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func markdown(rows []row) string {
	var b strings.Builder
	b.WriteString("| scenario | promise | measured | how | verdict |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Scenario, r.Promise,
			strings.ReplaceAll(cut(r.Measured), "|", "\\|"), strings.ReplaceAll(r.How, "|", "\\|"), r.Verdict)
	}
	return b.String()
}
