package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/mbus-dev/mbus/bus"
)

type topCommand struct {
	Interval span `default:"1s" placeholder:"TIME" help:"Time between two looks. Default ${default}."`
	Count    int  `placeholder:"N" help:"Print this many snapshots instead of a live screen, and end."`
}

// Help explains what the one-line summary cannot.
func (*topCommand) Help() string {
	return `Requests and errors are per second since the last look, and without the Debug
methods that every service has. P50 is the median of the methods weighted by
their requests, P99 that of the slowest method; both are since the instances
started. On a terminal the table is live and q or ctrl-C leaves; elsewhere, or with
--count, one snapshot is printed after the other.`
}

// A topLine is one service in one snapshot.
type topLine struct {
	Service   string  `json:"service"`
	Instances int     `json:"instances"`
	Requests  float64 `json:"requests_per_second"`
	Errors    float64 `json:"errors_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

type topSnapshot struct {
	At       string    `json:"at"`
	Services []topLine `json:"services"`
}

// Run shows what the services do, again and again.
func (c *topCommand) Run(ctx context.Context, s *session) error {
	if c.Count < 0 || c.Interval <= 0 {
		return usagef("--count cannot be negative, and --interval must be more than 0")
	}
	conn, done, err := s.connect(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer done()
	t := &top{session: s, conn: conn, interval: time.Duration(c.Interval)}
	if s.onScreen && c.Count == 0 && !s.json() {
		err = t.live(ctx)
	} else {
		err = t.snapshots(ctx, c.Count)
	}
	return stopped(ctx, err)
}

type top struct {
	session  *session
	conn     *bus.Conn
	interval time.Duration
	before   sample
}

// snapshots prints count tables, or without a count tables until ctx ends.
func (t *top) snapshots(ctx context.Context, count int) error {
	for n := 0; count == 0 || n < count; n++ {
		lines, err := t.look(ctx)
		if err != nil {
			return err
		}
		if t.session.json() {
			err = t.session.printLine(topSnapshot{stamp(time.Now()), lines})
		} else {
			err = t.session.printf("%s\n", table(lines))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// look waits until an interval has passed since the last look and returns what
// has happened in it.
func (t *top) look(ctx context.Context) ([]topLine, error) {
	if t.before.at.IsZero() {
		first, err := takeSample(ctx, t.conn)
		if err != nil {
			return nil, err
		}
		t.before = first
	}
	wait := time.NewTimer(time.Until(t.before.at.Add(t.interval)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	now, err := takeSample(ctx, t.conn)
	if err != nil {
		return nil, err
	}
	lines := now.since(t.before)
	t.before = now
	return lines, nil
}

func table(lines []topLine) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "INSTANCES\tREQ/S\tERR/S\tP50 ms\tP99 ms\t") // a Builder takes everything
	for _, l := range lines {
		_, _ = fmt.Fprintf(w, "%d\t%.1f\t%.1f\t%.2f\t%.2f\t\n", l.Instances, l.Requests, l.Errors, l.P50, l.P99)
	}
	_ = w.Flush()
	// The names are aligned to the other side than the numbers.
	rows := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	width := len("SERVICE")
	for _, l := range lines {
		width = max(width, len(l.Service))
	}
	rows[0] = fmt.Sprintf("%-*s%s", width, "SERVICE", rows[0])
	for i, l := range lines {
		rows[i+1] = fmt.Sprintf("%-*s%s", width, l.Service, rows[i+1])
	}
	return strings.Join(rows, "\n") + "\n"
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	clearScreen = "\x1b[H\x1b[2J"
)

// live draws on a screen of its own until q, ctrl-C or the end of ctx. A broker
// that goes away is shown and waited for.
func (t *top) live(ctx context.Context) error {
	out := t.session.process.Stdout.(*os.File) // a terminal is a file
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	restore := t.keys(ctx, cancel)
	defer restore()
	if _, err := out.WriteString(enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = out.WriteString(leaveScreen) }() // or else the terminal is gone
	note := "looking …"
	var lines []topLine
	for {
		if _, err := out.WriteString(t.frame(out, lines, note)); err != nil {
			return err
		}
		found, err := t.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			note, t.before = errorLine(err), sample{at: time.Now()}
		default:
			lines, note = found, ""
		}
	}
}

// frame is one screen full.
func (t *top) frame(out *os.File, lines []topLine, note string) string {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	url := t.conn.NATS().ConnectedUrlRedacted()
	rows := []string{
		fmt.Sprintf("mbus top  %s  %s  every %s, q leaves", url, time.Now().Format(time.TimeOnly), t.interval), "",
	}
	rows = append(rows, strings.Split(strings.TrimSuffix(table(lines), "\n"), "\n")...)
	if note != "" {
		rows[1] = note
	}
	rows = rows[:min(len(rows), height)]
	for i, row := range rows {
		r := []rune(escapeControl(row))
		rows[i] = string(r[:min(len(r), width)])
	}
	return clearScreen + strings.Join(rows, "\r\n")
}

// keys ends the command when q or ctrl-C is typed, and returns what puts the
// terminal back. Within the prompt the keyboard stays the prompt's.
func (t *top) keys(ctx context.Context, cancel context.CancelCauseFunc) (restore func()) {
	stdin, ok := t.session.process.Stdin.(*os.File)
	if !ok || t.session.kept != nil || !isTerminal(stdin) {
		return func() {}
	}
	state, err := term.MakeRaw(int(stdin.Fd()))
	if err != nil {
		return func() {}
	}
	// It ends with ctx, which the caller ends.
	go func() {
		key := make([]byte, 1)
		for {
			if _, err := t.session.stdin.Read(key); err != nil || ctx.Err() != nil {
				return
			}
			if key[0] == 'q' || key[0] == 'Q' || key[0] == 3 {
				cancel(interrupt{os.Interrupt})
				return
			}
		}
	}()
	return func() { _ = term.Restore(int(stdin.Fd()), state) } // nothing better can be done about it
}

// busiest orders lines by requests, then by name.
func busiest(a, b topLine) int {
	return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Service, b.Service))
}
