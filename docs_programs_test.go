package main_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What README promises of its two programs, in lines of code without imports.
const (
	serviceLines = 25
	clientLines  = 10 // of main's body
)

// program returns the first complete program below a heading.
func program(t *testing.T, p *page, heading string) string {
	t.Helper()
	p.section(t, heading) // it must be there
	below := false
	for i, line := range p.lines {
		if strings.HasPrefix(line, "#") {
			below = strings.TrimSpace(strings.TrimLeft(line, "#")) == heading
		}
		if !below || line != "```go" || p.lines[i+1] != "package main" {
			continue
		}
		for _, b := range p.blocks {
			if b.line == i+2 {
				return b.text()
			}
		}
	}
	t.Fatalf("%s: no program below %q", p.path, heading)
	return ""
}

// TestProgramsOfThePages builds the programs as a reader would, in a module of
// their own, and runs them.
func TestProgramsOfThePages(t *testing.T) {
	readme := readPage(t, "README.md")
	dir := readerModule(t, map[string]string{
		"service/main.go": program(t, readme, "A service"),
		"client/main.go":  program(t, readme, "A client"),
		"all/main.go":     program(t, readPage(t, "docs/getting-started.md"), "Everything in one program"),
		"parts/parts.go":  parts(t, readme),
	})
	bin := filepath.Join(dir, "bin") + string(os.PathSeparator)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./...")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(name string, env ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin+name)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	node := startNode(t)
	broker := "MBUS_URL=" + node.URL()
	service := exec.CommandContext(t.Context(), bin+"service")
	service.Env = append(os.Environ(), broker)
	var log bytes.Buffer
	service.Stdout, service.Stderr = &log, &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	// Until the service is there the client fails, in some milliseconds.
	var got string
	err := fmt.Errorf("not called")
	for began := time.Now(); err != nil && time.Since(began) < 20*time.Second; {
		got, err = run("client", broker)
	}
	if err != nil || got != "Hello John\n" {
		t.Errorf("the client prints %q, %v; want Hello John", got, err)
	}
	if runtime.GOOS == "windows" {
		_ = service.Process.Kill()
		_ = service.Wait()
	} else {
		_ = service.Process.Signal(os.Interrupt)
		if err := service.Wait(); err != nil {
			t.Errorf("the service ends with %v after ctrl-C\n%s", err, log.String())
		}
	}
	if got, err := run("client", broker); err == nil || !strings.Contains(got, "hello") {
		t.Errorf("without the service the client prints %q, %v", got, err)
	}
	if got, err := run("all"); err != nil || got != "Hello John\n" {
		t.Errorf("the program in one prints %q, %v", got, err)
	}
}

// readerModule makes a module as README says. It also has the tree's own
// requirements and go.sum: with them the go command asks for no module that the
// tree itself can be built without.
func readerModule(t *testing.T, files map[string]string) string {
	t.Helper()
	tree, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files["go.sum"] = string(sum)
	files["go.mod"] = strings.Replace(string(mod), "module "+module, "module reader", 1) +
		fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, tree)
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// parts makes functions of the Go blocks of README that are no programs, so
// that the compiler reads them.
func parts(t *testing.T, p *page) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`package parts

import (
	"context"
	"fmt"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/pubsub"
	"github.com/mbus-dev/mbus/rpc"
)

type User struct{ ID string }

var _ = fmt.Println
var _ time.Duration
var _ *embedded.Node
var _ *rpc.Server
var _ *pubsub.Subscription
`)
	n := 0
	for _, block := range p.blocks {
		if block.lang == "go" && block.lines[0] != "package main" {
			n++
			fmt.Fprintf(&b, "\nfunc part%d(ctx context.Context, conn *bus.Conn, srv *rpc.Server) error {\n", n)
			text := block.text()
			if strings.Contains(text, "conn := ") {
				text += "_ = conn\n"
			}
			b.WriteString(text + "return err\n}\n")
		}
	}
	if n == 0 {
		t.Errorf("%s shows no parts of programs", p.path)
	}
	return b.String()
}

func TestProgramsAreAsShortAsPromised(t *testing.T) {
	p := readPage(t, "README.md")
	if n := len(code(program(t, p, "A service"))); n > serviceLines {
		t.Errorf("the service has %d lines, more than %d", n, serviceLines)
	}
	client := code(program(t, p, "A client"))
	for i, line := range client {
		if line == "func main() {" {
			if n := len(client) - i - 2; n > clientLines { // without this line and the last brace
				t.Errorf("the client's main has %d lines, more than %d", n, clientLines)
			}
			return
		}
	}
	t.Error("the client has no main")
}

// code are the lines of a program without its package clause, its imports and
// blank lines.
func code(program string) []string {
	var out []string
	importing := false
	for line := range strings.Lines(program) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "package "):
		case line == "import (":
			importing = true
		case importing:
			importing = line != ")"
		default:
			out = append(out, line)
		}
	}
	return out
}
