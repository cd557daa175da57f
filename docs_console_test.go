//go:build unix

package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A console block is a transcript: after "$ " what is typed, then what comes
// back. "^C" is typed too. A block with a name belongs to a terminal of that
// name, where commands keep running from one block to the next.
const (
	homePage  = "/home/you"
	nodePort  = "127.0.0.1:4222" // what the page calls the node
	plainPort = "127.0.0.1:4333" // and the NATS server that is there already
	patience  = 60 * time.Second
)

func TestGettingStarted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the transcripts need terminals, which this test opens on Linux only")
	}
	replay(t, readPage(t, "docs/getting-started.md"))
}

// A transcript is one page being typed.
type transcript struct {
	t         *testing.T
	page      *page
	home      string // also where commands run
	env       []string
	addresses string
	replace   []string // pairs: what is on this machine, what the page says
	terminals map[string]*terminal
}

// A terminal runs one command at a time.
type terminal struct {
	dir     string
	env     []string
	running *exec.Cmd
	out     *output
	err     *output
	taken   int // of out
}

// An output is what a running command has printed so far.
type output struct {
	mu   sync.Mutex
	data []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, p...)
	return len(p), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.ReplaceAll(string(o.data), "\r\n", "\n")
}

func replay(t *testing.T, p *page) {
	home := t.TempDir()
	plain := plainNATS(t)
	r := &transcript{
		t: t, page: p, home: home, addresses: filepath.Join(home, "addresses"), terminals: map[string]*terminal{},
		replace: []string{home, homePage, plain, plainPort},
	}
	bin := filepath.Dir(binary(t))
	r.env = []string{
		"HOME=" + home, "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "TERM=dumb", "LC_ALL=C",
		"GOPROXY=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=off",
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT"} {
		r.env = append(r.env, name+"="+goEnv(t, name))
	}
	defer func() {
		for name := range r.terminals {
			if term := r.terminals[name]; term.running != nil {
				r.stop(term)
			}
		}
	}()
	n := 0
	for _, b := range p.blocks {
		if b.lang == "console" {
			n++
			r.play(b)
		}
	}
	if n < 10 {
		t.Errorf("%s has only %d transcripts", p.path, n)
	}
}

// plainNATS runs a NATS server that knows nothing of mbus.
func plainNATS(t *testing.T) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	return srv.Addr().String()
}

// A step is a command and what it prints; the first of a block may have no
// command, and go on with what runs.
type step struct {
	line    int
	command string
	want    string
}

func steps(b block) []step {
	all := []step{{line: b.line}}
	for i, line := range b.lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok || line == "^C" {
			if !ok {
				command = line
			}
			all = append(all, step{line: b.line + i, command: command})
			continue
		}
		all[len(all)-1].want += line + "\n"
	}
	if all[0].want == "" {
		return all[1:]
	}
	return all
}

func (r *transcript) play(b block) {
	r.t.Helper()
	term := r.terminals[b.name]
	if term == nil {
		term = &terminal{dir: r.home}
		r.terminals[b.name] = term
	}
	for _, s := range steps(b) {
		var got string
		switch {
		case r.internal(term, s.command):
		case s.command == "^C":
			r.stop(term)
			got = term.rest()
		case b.name == "":
			got = r.run(term, s)
		default:
			if s.command != "" {
				r.start(term, s)
			}
			r.await(s, func() bool { return r.shown(term.peek()) == r.shown(s.want) }, term)
			got = term.rest()
		}
		if got, want := r.shown(got), r.shown(s.want); got != want {
			r.t.Errorf("%s:%d: %s\nprints\n%s\nthe page has\n%s", r.page.path, s.line, s.command, got, want)
		}
	}
}

// internal does what a shell does itself.
func (r *transcript) internal(term *terminal, command string) bool {
	if dir, ok := strings.CutPrefix(command, "cd "); ok {
		term.dir = filepath.Join(term.dir, dir)
		return true
	}
	if variable, ok := strings.CutPrefix(command, "export "); ok {
		term.env = append(term.env, r.real(variable))
		return true
	}
	return false
}

// real turns the addresses of the page into those of this machine.
func (r *transcript) real(text string) string {
	for i := 0; i < len(r.replace); i += 2 {
		text = strings.ReplaceAll(text, r.replace[i+1], r.replace[i])
	}
	return text
}

var (
	anyID       = regexp.MustCompile(`\b[0-9A-Za-z]{22}\b`)
	anyDuration = regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s)\b|\(cached\)`)
)

// shown is output without what differs from one run to the next.
func (r *transcript) shown(text string) string {
	for i := 0; i < len(r.replace); i += 2 {
		text = strings.ReplaceAll(text, r.replace[i], r.replace[i+1])
	}
	text = strings.ReplaceAll(text, "--url nats://"+nodePort+" ", "") // where a node is anyway
	text = strings.ReplaceAll(text, "mbus/0\n", "mbus/4222\n")        // the store of a node on any free port
	return anyDuration.ReplaceAllString(anyID.ReplaceAllString(text, "ID"), "TIME")
}

func (r *transcript) command(term *terminal, text string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", r.real(text))
	cmd.Dir = term.dir
	cmd.Env = append(append([]string{}, r.env...), term.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run runs a command to its end.
func (r *transcript) run(term *terminal, s step) string {
	r.t.Helper()
	cmd := r.command(term, s.command)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	timer := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	_ = cmd.Wait() // pages show exit codes where they matter
	return out.String()
}

// start runs a command that goes on until ctrl-C.
func (r *transcript) start(term *terminal, s step) {
	r.t.Helper()
	if term.running != nil {
		r.t.Fatalf("%s:%d: a command still runs in this terminal", r.page.path, s.line)
	}
	cmd := r.command(term, "exec "+s.command) // so that ctrl-C ends no shell
	cmd.Env = append(cmd.Env, "MBUS_LOG_LEVEL=info")
	node := strings.HasPrefix(s.command, "mbus node")
	joined := strings.Contains(s.command, "--url")
	if node {
		cmd.Env = append(cmd.Env, "MBUS_API_ADDRESS=127.0.0.1:0", "MBUS_SIDECAR_ADDRESS=127.0.0.1:0", "MBUS_WEB_ADDRESS=127.0.0.1:0")
	}
	if node && !joined {
		cmd.Env = append(cmd.Env, "MBUS_LISTEN=127.0.0.1:0", "MBUS_ADDRESSES_FILE="+r.addresses)
	}
	term.out, term.err, term.taken = &output{}, &output{}, 0
	cmd.Stdout, cmd.Stderr = term.out, term.err
	if node { // says it in five lines on a terminal only
		tty, done, err := onTerminal(term.out)
		if err != nil {
			r.t.Fatalf("%s:%d: %v", r.page.path, s.line, err)
		}
		defer done()
		cmd.Stdout = tty
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	term.running = cmd
	if node {
		r.await(s, func() bool { return strings.Contains(term.out.text(), "  bus ") }, term)
		for before, usual := range map[string]string{"dashboard http://": "127.0.0.1:8082", "api       http://": "127.0.0.1:8080"} {
			if _, rest, open := strings.Cut(term.out.text(), before); open {
				address, _, _ := strings.Cut(rest, "\n")
				r.replace = append(r.replace, strings.TrimSpace(address), usual)
			}
		}
	}
	switch {
	case node && !joined:
		r.await(s, func() bool { return strings.Contains(term.out.text(), "  bus ") }, term)
		_, rest, _ := strings.Cut(term.out.text(), "nats://")
		address, _, _ := strings.Cut(rest, "\n")
		r.replace = append(r.replace, address, nodePort)
		r.env = append(r.env, "MBUS_URL=nats://"+address)
	case strings.HasPrefix(s.command, "mbus subscribe"):
		r.await(s, func() bool { return strings.Contains(term.err.text(), `"listening"`) }, term)
	case s.command == "go run .":
		health := "mbus health go.micro.srv." + filepath.Base(term.dir)
		r.await(s, func() bool { return r.command(term, health).Run() == nil }, term)
	}
}

// await waits for another process, whose progress nothing in this one tells.
func (r *transcript) await(s step, done func() bool, term *terminal) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !done(); <-tick.C {
		if time.Since(began) > patience {
			r.t.Fatalf("%s:%d: %s\nhas printed only\n%s\nand to the log\n%s\nthe page has\n%s", r.page.path, s.line, s.command, term.peek(), term.err.text(), s.want)
		}
	}
}

func (term *terminal) peek() string { return term.out.text()[term.taken:] }

func (term *terminal) rest() string {
	text := term.peek()
	term.taken += len(text)
	return text
}

// stop types ctrl-C, which goes to every process of the terminal.
func (r *transcript) stop(term *terminal) {
	r.t.Helper()
	if term.running == nil {
		r.t.Fatalf("%s: ctrl-C, and nothing runs", r.page.path)
	}
	group := -term.running.Process.Pid
	_ = syscall.Kill(group, syscall.SIGINT)
	timer := time.AfterFunc(patience, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	defer timer.Stop()
	err := term.running.Wait()
	if goRun := strings.HasSuffix(term.running.Args[2], "go run ."); err != nil && !goRun { // which fails if it is interrupted
		r.t.Errorf("%s: %s: after ctrl-C: %v\n%s", r.page.path, term.running.Args[2], err, term.err.text())
	}
	term.running = nil
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(fmt.Errorf("go env %s: %w", name, err))
	}
	return strings.TrimSpace(string(out))
}
