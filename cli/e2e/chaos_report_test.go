//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
)

// A row of the report of the fault lab is one promise and what became of it.
type row struct {
	Scenario, Promise, Measured, How, Verdict string
}

// report adds a row. A promise that is not kept fails the test.
func report(t testing.TB, promise string, kept bool, how, format string, args ...any) {
	t.Helper()
	r := row{strings.TrimPrefix(t.Name(), "TestChaos"), promise, fmt.Sprintf(format, args...), how, "ok"}
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
	addRow(t, row{strings.TrimPrefix(t.Name(), "TestChaos"), promise, "not shown", why, "gap"})
	if os.Getenv("MBUS_CI") != "" {
		t.Errorf("%s cannot be shown: %s", promise, why)
	}
}

func addRow(t testing.TB, r row) {
	t.Helper()
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

// printReport prints the rows of this run as a table.
func printReport() {
	data, err := os.ReadFile(reportFile())
	if err != nil || (!long() && !testing.Verbose()) {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nscenario\tpromise\tmeasured\thow\tverdict")
	for line := range strings.Lines(string(data)) {
		var r row
		if json.Unmarshal([]byte(line), &r) == nil {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Scenario, r.Promise, r.Measured, r.How, r.Verdict)
		}
	}
	_ = w.Flush()
}
