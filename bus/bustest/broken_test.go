package bustest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
)

// brokenVar names the test that TestBroken runs; only fails sets it.
const brokenVar = "BUSTEST_BROKEN"

// fails runs a test that has to fail, in a process of its own, and looks for
// what it has to say.
func fails(t *testing.T, name, want string) {
	t.Helper()
	failsIn(t, "^TestBroken$", name, want)
}

func failsIn(t *testing.T, test, name, want string) {
	t.Helper()
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run="+test, "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), brokenVar+"="+name)
	out, err := cmd.CombinedOutput()
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
	fails(t, "stuck", "TestBroken still runs after 1m0s of virtual time")
}

func TestContextEndsAfterAVirtualMinute(t *testing.T) {
	fails(t, "waits for ever with a context", "context deadline exceeded 2000-01-01 00:01:00")
}

func TestALeakedGoroutineFailsTheTest(t *testing.T) {
	fails(t, "leak", "blocked goroutines remain")
}

func TestParallelBubblesAreRefused(t *testing.T) {
	fails(t, "parallel", "t.Parallel")
}

func TestEventuallySaysWhatDidNotHappen(t *testing.T) {
	fails(t, "never", "after 1m0s still not: the moon is cheese")
}
