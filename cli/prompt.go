package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

type promptCommand struct{}

// Help explains what the one-line summary cannot.
func (*promptCommand) Help() string {
	return `Takes the same commands as the command line, without "mbus" before them, on
one connection; "quit", "exit" or the end of input leaves. JSON needs no quotes
around it:

    mbus> list
    mbus> get go.micro.srv.greeter
    mbus> call go.micro.srv.greeter Say.Hello {"name": "John"}

On a terminal lines can be edited, the up arrow brings earlier ones back, the tab
key completes names, and ctrl-C ends the running command. Without a terminal, as
in a script, the first command that fails ends it with the exit code of that
command.`
}

const promptText = "mbus> "

// A foreground is the command that a prompt runs, which an interrupt ends in
// place of the prompt.
type foreground struct {
	mu     sync.Mutex
	cancel context.CancelCauseFunc
}

func (f *foreground) set(cancel context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancel = cancel
}

// interrupt ends the running command, and reports whether there is a prompt
// that goes on after it.
func (f *foreground) interrupt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel == nil {
		return false
	}
	f.cancel(interrupt{os.Interrupt})
	f.cancel = nil
	return true
}

// Run reads commands and runs them.
func (c *promptCommand) Run(ctx context.Context, s *session) error {
	if s.opts.ProxyAddress == "" {
		conn, done, err := s.connect(ctx)
		if err != nil {
			return err
		}
		defer done()
		s.kept, s.keptFor = conn, s.opts.broker()
	}
	p := &prompt{session: s}
	if isTerminal(s.process.Stdin) && s.onScreen {
		return p.interactive(ctx)
	}
	lines := bufio.NewReader(s.stdin)
	for {
		line, end := nextLine(lines, maxInput)
		if code, over := p.run(ctx, string(line)); over || code != exitOK {
			return exitWith(code)
		}
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return end
		}
	}
}

// A prompt runs commands in sessions that share its connection.
type prompt struct{ session *session }

// run runs one line. over is true when it asks to leave.
func (p *prompt) run(ctx context.Context, line string) (code int, over bool) {
	words := splitLine(line)
	if len(words) == 0 {
		return exitOK, false
	}
	switch words[0] {
	case "quit", "exit":
		return exitOK, true
	case "cli":
		return exitOK, false // we are there
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.session.foreground.set(cancel)
	defer p.session.foreground.set(nil)
	process := p.session.process
	process.Args = append(p.globals(), words...)
	s := newSession(process)
	s.kept, s.keptFor = p.session.kept, p.session.keptFor
	err := s.execute(running, process.Args)
	s.logs.Flush()
	return s.report(err), false
}

// globals are the options that the prompt itself was started with.
func (p *prompt) globals() []string {
	var args []string
	for _, o := range p.session.opts.line.options {
		if o.valued {
			args = append(args, "--"+o.name+"="+o.value)
		} else {
			args = append(args, "--"+o.name)
		}
	}
	return args
}

// interactive edits lines on a terminal. The terminal is in raw mode only
// while a line is edited, so that commands find it as they expect it.
func (p *prompt) interactive(ctx context.Context) error {
	stdin := p.session.process.Stdin.(*os.File) // a terminal is a file
	stdout := p.session.process.Stdout.(*os.File)
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{stdin, stdout}, promptText)
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || pos != len(line) {
			return "", 0, false
		}
		return p.complete(ctx, line)
	}
	for ctx.Err() == nil {
		line, err := editLine(t, stdin, stdout)
		if errors.Is(err, io.EOF) {
			return p.session.printf("\n")
		}
		if err != nil {
			return err
		}
		if _, over := p.run(ctx, line); over {
			return nil
		}
	}
	return context.Cause(ctx)
}

func editLine(t *term.Terminal, stdin, stdout *os.File) (string, error) {
	state, err := term.MakeRaw(int(stdin.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(int(stdin.Fd()), state) }() // nothing better can be done about it
	if width, height, err := term.GetSize(int(stdout.Fd())); err == nil {
		_ = t.SetSize(width, height) // fails only when the redraw cannot be written
	}
	return t.ReadLine()
}

// complete finishes the last word of the line as far as it is certain.
func (p *prompt) complete(ctx context.Context, line string) (string, int, bool) {
	words := strings.Split(line, " ")
	candidates := p.session.candidates(ctx, words)
	if len(candidates) == 0 {
		return "", 0, false
	}
	common := candidates[0]
	for _, c := range candidates[1:] {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	if len(candidates) == 1 {
		common += " "
	}
	last := words[len(words)-1]
	if len(common) <= len(last) {
		return "", 0, false
	}
	line = strings.TrimSuffix(line, last) + common
	return line, len(line), true
}

// splitLine splits a line into words. A word that begins with a quote goes to
// the matching one; one that begins with a bracket goes to the end of the JSON
// value, spaces and quotes included. Elsewhere quotes are ordinary.
func splitLine(line string) []string {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" {
			return words
		}
		n := wordEnd(line)
		word := line[:n]
		if q := word[0]; len(word) > 1 && (q == '\'' || q == '"') && word[len(word)-1] == q {
			word = word[1 : len(word)-1]
		}
		words = append(words, word)
		line = line[n:]
	}
}

func wordEnd(line string) int {
	switch line[0] {
	case '\'', '"':
		if end := strings.IndexByte(line[1:], line[0]); end >= 0 {
			return end + 2
		}
	case '{', '[':
		return jsonEnd(line)
	}
	if end := strings.IndexAny(line, " \t\r"); end >= 0 {
		return end
	}
	return len(line)
}

// jsonEnd finds the end of the JSON object or array that line begins with, or
// the end of the line.
func jsonEnd(line string) int {
	depth, text := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(line)
}
