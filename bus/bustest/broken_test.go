package bustest_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
)

// brokenVar names the test that TestBroken runs; only fails sets it.
const brokenVar = "BUSTEST_BROKEN"

// broken prepares a process that runs the named test, which has to fail.
func broken(t *testing.T, pattern, name string) *exec.Cmd {
	t.Helper()
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run="+pattern, "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), brokenVar+"="+name)
	return cmd
}

// fails runs a test that has to fail and looks for what it has to say.
func fails(t *testing.T, pattern, name, want string) {
	t.Helper()
	out, err := broken(t, pattern, name).CombinedOutput()
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%q: got %v, want a failure that says %q; output:\n%s", name, err, want, out)
	}
}

// TestBroken is empty unless fails runs it.
func TestBroken(t *testing.T) {
	name := os.Getenv(brokenVar)
	if mutate, ok := strings.CutPrefix(name, "lifecycle "); ok {
		lifecycleOf(t, mutate)
		return
	}
	switch name {
	case "stuck":
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			b.Conn(t)
			<-make(chan int)
		}, bustest.WithLimit(time.Minute))
	case "waits for ever with a context":
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			ctx := bustest.Context(t)
			<-ctx.Done()
			t.Error(ctx.Err(), time.Now())
		})
	case "leak":
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			go func() { <-make(chan int) }()
		})
	case "parallel":
		t.Parallel()
		bustest.Run(t, func(*testing.T, *bustest.Bus) {})
	case "never":
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			bustest.Eventually(t, time.Minute, "the moon is cheese", func() bool { return false })
		})
	}
}

func TestAStuckTestIsReported(t *testing.T) {
	fails(t, "^TestBroken$", "stuck", "TestBroken still runs after 1m0s of virtual time")
}

func TestALockThatStopsTimeIsReported(t *testing.T) {
	cmd := broken(t, "^TestBroken$/^TwoStopsAtOnce$", "lifecycle holds a lock while it drains")
	errors, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(errors).ReadString('\n')
	_, _ = cmd.Process.Kill(), cmd.Wait() // it would wait for go test's timeout
	if want := "virtual time of TestBroken/TwoStopsAtOnce has stood still"; !strings.Contains(said, want) {
		t.Errorf("got %q, %v; want %q", said, err, want)
	}
}

func TestContextEndsAfterAVirtualMinute(t *testing.T) {
	fails(t, "^TestBroken$", "waits for ever with a context", "context deadline exceeded 2000-01-01 00:01:00")
}

func TestALeakedGoroutineFailsTheTest(t *testing.T) {
	fails(t, "^TestBroken$", "leak", "blocked goroutines remain")
}

func TestParallelBubblesAreRefused(t *testing.T) {
	fails(t, "^TestBroken$", "parallel", "t.Parallel")
}

func TestEventuallySaysWhatDidNotHappen(t *testing.T) {
	fails(t, "^TestBroken$", "never", "after 1m0s still not: the moon is cheese")
}
