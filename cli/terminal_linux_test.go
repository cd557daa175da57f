package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/mbus-dev/mbus/cli"
)

// A terminal is a pseudo-terminal: the command has one end, the test types and
// reads at the other.
type terminal struct {
	t        *testing.T
	user     *os.File
	command  *os.File
	signals  chan os.Signal
	reading  sync.WaitGroup
	mu       sync.Mutex
	screen   bytes.Buffer
	appeared chan struct{} // something new is on the screen
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		if os.Getenv("MBUS_CI") != "" {
			t.Fatalf("no pseudo-terminals here: %v", err)
		}
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	user := os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	command, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, user: user, command: command, signals: make(chan os.Signal, 1), appeared: make(chan struct{}, 1)}
	term.reading.Go(term.read)
	t.Cleanup(func() {
		_ = command.Close()
		_ = user.Close()
		term.reading.Wait()
	})
	return term
}

func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.user.Read(buf)
		x.mu.Lock()
		x.screen.Write(buf[:n])
		x.mu.Unlock()
		select {
		case x.appeared <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.screen.String()
}

// await waits until text is on the screen.
func (x *terminal) await(text string) {
	x.t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !strings.Contains(x.text(), text) {
		select {
		case <-x.appeared:
		case <-limit.C:
			x.t.Fatalf("%q does not appear; there is %q", text, x.text())
		}
	}
}

func (x *terminal) typeKeys(keys string) {
	x.t.Helper()
	if _, err := x.user.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// start runs the command on the terminal; the channel brings its exit code.
func (x *terminal) start(ctx context.Context, url string, args ...string) <-chan int {
	code := make(chan int, 1)
	go func() { // the test waits for the code
		code <- cli.Main(ctx, cli.Process{
			Args: args, Env: []string{"MBUS_URL=" + url, "TERM=xterm"},
			Stdin: x.command, Stdout: x.command, Stderr: x.command, Signals: x.signals,
		})
	}()
	return code
}

func startTestBus(t *testing.T) (b *scriptBus, url string) {
	t.Helper()
	b = &scriptBus{}
	stop, err := b.start()
	t.Cleanup(stop)
	if err != nil {
		t.Fatal(err)
	}
	return b, b.node.URL()
}

func TestTerminalIsSafeFromWhatServicesAnswer(t *testing.T) {
	_, url := startTestBus(t)
	x := newTerminal(t)
	if code := <-x.start(t.Context(), url, "query", "test.odd", "Odd.Hostile"); code != 0 {
		t.Errorf("exit %d", code)
	}
	x.await(`\u009b31m\u202egnp.exe\u007f`)

	got := mbus(t, "query test.odd Odd.Hostile", "MBUS_URL="+url)
	if !strings.Contains(got.stdout, "\u009b31m\u202e") {
		t.Errorf("without a terminal %q is not what the service answered", got.stdout)
	}
}

func TestNodeIsReadyInFiveLinesOnATerminal(t *testing.T) {
	x := newTerminal(t)
	ctx, stop := context.WithCancel(t.Context())
	code := x.start(ctx, "", "node", "--listen", "127.0.0.1:0", "--api-address", "127.0.0.1:0", "--sidecar-address", "127.0.0.1:0", "--ephemeral", "--demo", "--log-level", "disabled")
	x.await("try       mbus --url nats://127.0.0.1:")
	x.await("\n  api       http://127.0.0.1:")
	x.await("\n  bus       nats://127.0.0.1:")
	x.await("Say.Hello '{\"name\": \"John\"}'\r\n")
	lines := strings.Split(strings.TrimSpace(x.text()), "\n")
	if len(lines) != 5 {
		t.Errorf("the ready message has %d lines, want 5:\n%s", len(lines), x.text())
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit %d, want 0", got)
	}
}

func TestTopDrawsAndGivesTheTerminalBack(t *testing.T) {
	_, url := startTestBus(t)
	x := newTerminal(t)
	before, err := term.GetState(int(x.command.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	code := x.start(t.Context(), url, "top", "--interval", "20ms")
	x.await("\x1b[?1049h")
	x.await("go.micro.srv.greeter")
	x.typeKeys("q")
	if got := <-code; got != 0 {
		t.Errorf("exit %d, want 0", got)
	}
	x.await("\x1b[?25h\x1b[?1049l")
	after, err := term.GetState(int(x.command.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("the terminal is not as it was before")
	}
}

func TestPromptOnATerminal(t *testing.T) {
	_, url := startTestBus(t)
	x := newTerminal(t)
	code := x.start(t.Context(), url, "cli")
	x.await("mbus> ")
	x.typeKeys("call test.odd Odd.Ec\t{\"a\": 1}\r")
	x.await("\"a\": 1\r\n}")
	x.typeKeys("call test.odd Odd.Ecko\r") // a failure does not end it
	x.await("did you mean Odd.Echo")
	x.typeKeys("list\r")
	x.await("go.micro.srv.greeter\r\ntest.odd\r\n")
	x.typeKeys("quit\r")
	if got := <-code; got != 0 {
		t.Errorf("exit %d, want 0", got)
	}
}

func TestInterruptEndsTheCommandAndNotThePrompt(t *testing.T) {
	b, url := startTestBus(t)
	x := newTerminal(t)
	code := x.start(t.Context(), url, "cli")
	x.await("mbus> ")
	x.typeKeys("call test.odd Odd.Hang --timeout 0\r")
	for b.hanging.Load() == 0 {
		runtime.Gosched()
	}
	x.signals <- os.Interrupt
	x.await("mbus: interrupted")
	x.typeKeys("version\r")
	x.await("mbus version")
	x.typeKeys("exit\r")
	if got := <-code; got != 0 {
		t.Errorf("exit %d, want 0", got)
	}
}

func TestProgressIsShownAfterASecond(t *testing.T) {
	_, url := startTestBus(t)
	x := newTerminal(t)
	code := x.start(t.Context(), url, "query", "test.odd", "Odd.Hang", "--timeout", "1500ms")
	x.await("calling test.odd Odd.Hang … 1 s")
	x.await("\r\x1b[Kmbus: ")
	if got := <-code; got != 124 {
		t.Errorf("exit %d, want 124", got)
	}
}
