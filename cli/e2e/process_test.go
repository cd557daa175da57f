//go:build unix

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A command is how to start a process. Its environment is bare: what the
// machine has set for mbus, NATS or Micro does not reach it.
type command struct {
	path  string
	args  []string
	env   []string // added to the bare environment
	dir   string
	stdin string
}

// of is a command line of one of our programs.
func of(p program, args ...string) command { return command{path: p.path(), args: args} }

func (c command) with(env ...string) command {
	c.env = append(append([]string(nil), c.env...), env...)
	return c
}

// A process is a running program in a process group of its own, which the end
// of the test kills.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr output
	started        time.Time
	took           time.Duration // valid once exited is closed
	exited         chan struct{}
}

func start(t testing.TB, c command) *process {
	t.Helper()
	p := &process{
		name: strings.Join(append([]string{filepath.Base(c.path)}, c.args...), " "),
		cmd:  exec.Command(c.path, c.args...), exited: make(chan struct{}),
	}
	if len(p.name) > 200 {
		p.name = p.name[:200] + "…"
	}
	p.cmd.Env = append(bareEnvironment(t), c.env...)
	p.cmd.Dir, p.cmd.Stdin = c.dir, strings.NewReader(c.stdin)
	if p.cmd.Dir == "" {
		p.cmd.Dir = t.TempDir()
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.WaitDelay = 2 * time.Second
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	// The cleanup waits for this goroutine; the kill ends it.
	go func() {
		_ = p.cmd.Wait()
		p.took = time.Since(p.started)
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
		<-p.exited
		if t.Failed() {
			t.Logf("%s (pid %d, exit code %d) said:\n%s", p.name, p.pid(), p.code(), tail(p.stderr.String()))
		}
	})
	return p
}

func tail(text string) string {
	const most = 4000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

func bareEnvironment(t testing.TB) []string {
	home := t.TempDir()
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "XDG_STATE_HOME=" + home, "LC_ALL=C",
		// Nodes run side by side.
		"MBUS_API_ADDRESS=127.0.0.1:0", "MBUS_SIDECAR_ADDRESS=127.0.0.1:0", "MBUS_WEB_ADDRESS=127.0.0.1:0",
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// code is the exit code of a process that has ended; -1 is the end by a signal.
func (p *process) code() int {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill is kill -9. When it returns the process is gone, and with it its
// sockets; the time is when the signal was sent.
func (p *process) kill(t testing.TB) time.Time {
	t.Helper()
	at := time.Now()
	p.signal(t, syscall.SIGKILL)
	<-p.exited
	return at
}

func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal %v to %s: %v", sig, p.name, err)
	}
	if sig == syscall.SIGSTOP {
		p.awaitStop(t)
	}
}

// awaitStop waits until every thread stands still: one of them takes the signal
// and tells the others, which go on until then. Without /proc it does not wait.
func (p *process) awaitStop(t testing.TB) {
	t.Helper()
	tasks := fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid)
	if _, err := os.Stat(tasks); err != nil {
		return
	}
	eventually(t, 10*time.Second, "a stop of "+p.name, func() error {
		stats, err := filepath.Glob(tasks + "/*/stat")
		if err != nil {
			return err
		}
		for _, name := range stats {
			text, err := os.ReadFile(name) // a thread may end meanwhile
			if _, state, found := bytes.Cut(text, []byte(") ")); err == nil && found && state[0] != 'T' {
				return fmt.Errorf("%s is in state %c", name, state[0])
			}
		}
		return nil
	})
}

// stop ends a process in the orderly way, which must end with exit code 0.
func (p *process) stop(t testing.TB, within time.Duration) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.wait(t, within)
	if p.code() != 0 {
		t.Fatalf("%s: got exit code %d after SIGTERM, want 0", p.name, p.code())
	}
}

func (p *process) wait(t testing.TB, within time.Duration) {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.exited:
	case <-late.C:
		t.Fatalf("%s did not end within %v; it printed:\n%s", p.name, within, p.stdout.String())
	}
}

// A result is what a process that has ended left.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
	process        *process
}

// run runs a command to its end.
func run(t testing.TB, c command) result {
	t.Helper()
	p := start(t, c)
	p.wait(t, 2*time.Minute)
	return result{p.code(), p.stdout.String(), p.stderr.String(), p.took, p}
}

// succeed runs a command that must succeed and returns what it printed.
func succeed(t testing.TB, c command) string {
	t.Helper()
	r := run(t, c)
	if r.code != 0 {
		t.Fatalf("%s: got exit code %d, want 0: %s%s", r.process.name, r.code, r.stderr, r.stdout)
	}
	return r.stdout
}

// errorOf is a failed command as an error.
func errorOf(r result) error {
	return fmt.Errorf("exit code %d: %s", r.code, strings.TrimSpace(r.stderr))
}
