//go:build unix

package e2e_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is what make demo runs once it has built the command; with MBUS_CI or
// MBUS_LONG it is make demo itself.
func demo(t *testing.T, tmp string) command {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, ".ci", "demo")
	if _, err := os.Stat(script); err != nil { // and a change of it is a reason to run this again
		t.Fatal(err)
	}
	c := command{path: tool(t, "bash"), args: []string{script, mbus.path()}}
	if long() || os.Getenv("MBUS_CI") != "" {
		c = command{path: tool(t, "make"), args: []string{"demo"}, env: goEnvironment(t)}
	}
	c.dir = root
	return c.with("TMPDIR=" + tmp)
}

// tool finds a program of the machine, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("MBUS_CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// occupy makes sure that somebody has these ports of this machine.
func occupy(t *testing.T, ports ...string) {
	t.Helper()
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
}

func TestDemoRunsBesideOthersAndLeavesNothing(t *testing.T) {
	t.Parallel()
	occupy(t, "4222", "8080")
	tmp := t.TempDir()
	p := start(t, demo(t, tmp))
	p.wait(t, 5*time.Minute)
	said := p.stdout.String()
	if p.code() != 0 {
		t.Errorf("exit code %d, want 0", p.code())
	}
	// Each command is shown, and what it really said.
	last := 0
	for _, want := range []string{
		"$ mbus list services\n", "go.micro.srv.greeter\n",
		"$ mbus get service go.micro.srv.greeter\n", "Say.Hello",
		"$ mbus query go.micro.srv.greeter Say.Hello '{\"name\": \"John\"}'\n", "Hello John",
		"$ mbus publish user.created ", `{"id": "1", "name": "John"}` + "\n",
	} {
		at := strings.Index(said[last:], want)
		if at < 0 {
			t.Fatalf("after %d bytes there is no %q in:\n%s", last, want, said)
		}
		last += at + len(want)
	}
	leavesNothing(t, p, tmp)
	t.Logf("it took %v", p.took)
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	p := start(t, demo(t, tmp))
	p.await(t, 5*time.Minute, "$ mbus list services")
	// ctrl-C reaches the whole group.
	if err := syscall.Kill(-p.pid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 30*time.Second)
	if p.code() == 0 {
		t.Error("exit code 0, though it was interrupted")
	}
	leavesNothing(t, p, tmp)
}

// leavesNothing checks that a process has left neither processes of its group
// nor files behind.
func leavesNothing(t *testing.T, p *process, tmp string) {
	t.Helper()
	if err := syscall.Kill(-p.pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("%s left processes behind: signal 0 to its group says %v", p.name, err)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "mbus-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("%s left %q behind, %v", p.name, left, err)
	}
}

// The control: what is left of a script that does not clean up is seen.
func TestLeftoversAreSeen(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	p := start(t, command{path: tool(t, "sh"), args: []string{"-c", "touch $TMPDIR/mbus-left; sleep 60 >/dev/null 2>&1 &"}}.with("TMPDIR="+tmp))
	p.wait(t, startup)
	if err := syscall.Kill(-p.pid(), 0); err != nil {
		t.Errorf("the process that is left is not seen: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(tmp, "mbus-*")); err != nil || len(left) != 1 {
		t.Errorf("the file that is left is not seen: %q, %v", left, err)
	}
}
