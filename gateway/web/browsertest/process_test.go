//go:build unix

package browsertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 15 * time.Second

// A process is a running program. Its environment is bare.
type process struct {
	name   string
	cmd    *exec.Cmd
	out    output
	exited chan struct{}
}

// output is what a process prints, for messages.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func launch(p program, env []string, args ...string) (*process, error) {
	home, err := os.MkdirTemp(lab.dir, "home-*")
	if err != nil {
		return nil, err
	}
	pr := &process{name: string(p), cmd: exec.Command(p.path(), args...), exited: make(chan struct{})}
	pr.cmd.Dir = home
	pr.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "XDG_STATE_HOME=" + home, "LC_ALL=C"}, env...)
	pr.cmd.Stdout, pr.cmd.Stderr = &pr.out, &pr.out
	if err := pr.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // kill waits for it
		_ = pr.cmd.Wait()
		close(pr.exited)
	}()
	return pr, nil
}

// start is launch for one test.
func start(t testing.TB, p program, env []string, args ...string) *process {
	t.Helper()
	pr, err := launch(p, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pr.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", pr.name, last(pr.out.String()))
		}
	})
	return pr
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func last(text string) string {
	const most = 1200
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

// addresses are those that a process of mbus writes once it is ready.
type addresses struct {
	API, Web, Bus string
}

// run starts a mbus command that serves, and waits until it does.
func run(args ...string) (*process, addresses, error) {
	var a addresses
	dir, err := os.MkdirTemp(lab.dir, "addresses-*")
	if err != nil {
		return nil, a, err
	}
	file := filepath.Join(dir, "addresses")
	env := []string{"MBUS_API_ADDRESS=127.0.0.1:0", "MBUS_SIDECAR_ADDRESS=127.0.0.1:0", "MBUS_WEB_ADDRESS=127.0.0.1:0"}
	p, err := launch(mbus, env, append(args, "--addresses-file", file)...)
	if err != nil {
		return nil, a, err
	}
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err == nil {
			return p, a, json.Unmarshal(data, &a)
		}
		gone := false
		select {
		case <-p.exited:
			gone = true
		default:
		}
		if gone || time.Now().After(until) {
			p.kill()
			return nil, a, fmt.Errorf("mbus %v is not ready:\n%s", args, last(p.out.String()))
		}
	}
}

// serve is run for one test.
func serve(t testing.TB, args ...string) (*process, addresses) {
	t.Helper()
	need(t)
	p, a, err := run(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("mbus %v said:\n%s", args, last(p.out.String()))
		}
	})
	return p, a
}

// node starts a node that is empty but for its own parts.
func node(t testing.TB, args ...string) (*process, addresses) {
	t.Helper()
	return serve(t, append([]string{"node", "--ephemeral", "--listen", "127.0.0.1:0"}, args...)...)
}

// service starts one instance of the lab under another name.
func service(t testing.TB, a addresses, name string) *process {
	t.Helper()
	return start(t, labs, []string{"MBUS_URL=" + a.Bus, "MBUS_SERVER_NAME=" + name})
}
