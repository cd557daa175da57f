package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
)

type doctorCommand struct{}

// Help explains what the one-line summary cannot.
func (*doctorCommand) Help() string {
	return `Looks at what usually stands in the way: the Go toolchain, the ports and the
store of a node, the broker and the rights on it, the clock, the files with
credentials, and whether node and command are of one version. Each finding has
its remedy. The exit code is 1 if something fails; a warning is none.`
}

// A finding is the result of one check.
type finding struct {
	Check   string `json:"check"`
	Status  string `json:"status"` // ok, warn or fail
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

func fine(check, format string, args ...any) finding {
	return finding{Check: check, Status: "ok", Message: fmt.Sprintf(format, args...)}
}

func (f finding) warn(remedy string) finding {
	f.Status, f.Remedy = "warn", remedy
	return f
}

func (f finding) fail(remedy string) finding {
	f.Status, f.Remedy = "fail", remedy
	return f
}

// Run makes all checks and prints what they found.
func (c *doctorCommand) Run(ctx context.Context, s *session) error {
	if err := s.busOnly(); err != nil {
		return err
	}
	s.begin("looking around")
	d := doctor{session: s}
	findings := []finding{d.goToolchain(ctx), d.port(ctx), d.store(), d.files(), d.buildClock()}
	findings = append(findings, d.bus(ctx)...)
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	failed := false
	for _, f := range findings {
		failed = failed || f.Status == "fail"
		line := f.Message
		if f.Remedy != "" {
			line += "; " + f.Remedy
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", f.Status, f.Check, line) // a Builder takes everything
	}
	_ = t.Flush()
	if err := s.printTable(b.String(), findings); err != nil {
		return err
	}
	if failed {
		return errReported
	}
	return nil
}

// A doctor makes the checks of one run.
type doctor struct{ session *session }
