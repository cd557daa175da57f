package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// A session is one run of the program: its streams, its options and, once a
// command asks for it, its connection to the bus. The interactive prompt runs
// many commands in sessions that share a connection.
type session struct {
	process Process
	env     environment
	opts    options
	kept    *bus.Conn // the prompt's connection, or nil
	keptFor broker    // what kept is connected to

	stdin        io.Reader
	stdout       io.Writer // results; escapes what would harm a terminal
	stderr       io.Writer
	logs         *gateway.LogBuffer // to stderr
	onScreen     bool               // stdout is a terminal
	defaultLevel zerolog.Level      // lowest level to log at without --log-level
	watched      bool               // stderr is a terminal

	foreground foreground

	mu       sync.Mutex
	progress *progress
}

func newSession(p Process) *session {
	s := &session{
		process: p, env: newEnvironment(p.Env),
		stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, logs: gateway.NewLogBuffer(p.Stderr),
		onScreen: isTerminal(p.Stdout), watched: isTerminal(p.Stderr),
		defaultLevel: zerolog.Disabled, // what goes wrong is said once, by report
	}
	if s.onScreen {
		s.stdout = terminalWriter{p.Stdout}
	}
	return s
}

// colour reports whether w may be written to in colour.
func (s *session) colour(terminal bool) bool {
	return terminal && s.env.get("NO_COLOR") == "" && s.env.get("TERM") != "dumb"
}

// logger writes to standard error: for people on a terminal, as JSON lines for
// machines otherwise.
func (s *session) logger() zerolog.Logger {
	level := s.defaultLevel
	if s.opts.LogLevel != "" {
		// settle has checked that zerolog knows it.
		level, _ = zerolog.ParseLevel(s.opts.LogLevel)
	}
	var w io.Writer = s.logs
	if s.watched {
		w = zerolog.ConsoleWriter{Out: terminalWriter{s.stderr}, NoColor: true, TimeFormat: time.TimeOnly}
		if s.colour(true) {
			w = zerolog.ConsoleWriter{Out: s.stderr, TimeFormat: time.TimeOnly}
		}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// connectLimit is how long a command looks for the bus.
const connectLimit = time.Second

// connect returns the connection to the bus and what ends it.
func (s *session) connect(ctx context.Context) (*bus.Conn, func(), error) {
	if err := s.busOnly(); err != nil {
		return nil, nil, err
	}
	if s.kept != nil && s.keptFor == s.opts.broker() {
		return s.kept, func() {}, nil
	}
	within, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := bus.Connect(within, s.busConfig())
	if err != nil {
		return nil, nil, callError(ctx, err)
	}
	return conn, func() { s.disconnect(ctx, conn) }, nil
}

// disconnect ends the connection of a command that is done: there is nothing
// left on it that would be worth a wait.
func (s *session) disconnect(ctx context.Context, conn *bus.Conn) {
	done, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	_ = conn.Close(done) // cut, which is what was asked for
}

func (s *session) busConfig() bus.Config {
	o := &s.opts
	cert, key := o.clientPair()
	return bus.Config{
		URL: o.busURL, Name: "mbus " + o.command, Creds: o.Creds,
		User: o.User, Password: o.Password, Token: o.Token,
		TLSCAFile: o.TLSCAFile, TLSCertFile: cert, TLSKeyFile: key,
		FailFast: true, Logger: s.logger(),
	}
}

// within bounds ctx by --timeout.
func (s *session) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.opts.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(s.opts.Timeout))
}

// callError makes an interrupted call look interrupted, whatever the layers
// below made of the end of its context.
func callError(ctx context.Context, err error) error {
	if err != nil && interrupted(ctx) {
		return context.Cause(ctx)
	}
	return err
}

// json reports whether --output json was asked for.
func (s *session) json() bool { return s.opts.Output == "json" }

// A cancelReader gives up waiting for input when its context ends.
type cancelReader struct {
	ctx context.Context // the command's: an io.Reader cannot be given one per call
	r   io.Reader
}

func (c cancelReader) Read(p []byte) (int, error) {
	type result struct {
		data []byte
		err  error
	}
	// Nothing waits for this goroutine if the command is interrupted: input
	// cannot be told to stop waiting, and the process is about to end.
	got := make(chan result, 1)
	go func() {
		data := make([]byte, len(p))
		n, err := c.r.Read(data)
		got <- result{data[:n], err}
	}()
	select {
	case r := <-got:
		return copy(p, r.data), r.err
	case <-c.ctx.Done():
		return 0, context.Cause(c.ctx)
	}
}

func (s *session) printf(format string, args ...any) error {
	s.endProgress()
	_, err := fmt.Fprintf(s.stdout, format, args...)
	return err
}

// printJSON prints v as tab-indented JSON.
func (s *session) printJSON(v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return s.printf("%s\n", indent(data))
}

// printLine prints v as one line of JSON.
func (s *session) printLine(v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return s.printf("%s\n", data)
}

func (s *session) warn(format string, args ...any) {
	s.endProgress()
	_, _ = fmt.Fprintln(s.stderr, "mbus: warning: "+escapeControl(fmt.Sprintf(format, args...)))
}

// note tells a person at the terminal something that a script need not know.
func (s *session) note(text string) {
	if s.watched {
		_, _ = fmt.Fprintln(s.stderr, text)
	}
}
