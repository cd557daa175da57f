//go:build unix

package e2e_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goEnvironment lets the go command use what it has already: its caches, and
// no network.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPATH", "GOTOOLCHAIN").Output()
	if err != nil {
		t.Fatal(err)
	}
	var known map[string]string
	if err := json.Unmarshal(out, &known); err != nil {
		t.Fatal(err)
	}
	env := []string{"GOPROXY=off", "GOFLAGS="}
	for key, value := range known {
		env = append(env, key+"="+value)
	}
	return env
}

// From nothing to an answer: make a service, test it, run it, call it.
func TestNewServiceAnswersWithinAMinute(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	dir, env := t.TempDir(), goEnvironment(t)
	goTool := func(args ...string) command {
		return command{path: tool(t, "go"), args: args, dir: filepath.Join(dir, "hello"), env: env}
	}
	begin := time.Now()

	made := of(mbus, "new", "hello")
	made.dir = dir
	files := strings.Fields(succeed(t, made))
	if len(files) == 0 {
		t.Error("mbus new prints no files")
	}
	if out := succeed(t, goTool("test", "./...")); !strings.Contains(out, "ok") {
		t.Errorf("go test: %s", out)
	}
	succeed(t, goTool("vet", "./..."))
	succeed(t, goTool("build", "-o", "service", "."))
	service := b.start(t, command{path: filepath.Join(dir, "hello", "service")})
	var said string
	eventually(t, startup, "an answer of the new service", func() error {
		r := run(t, b.mbus("query", "go.micro.srv.hello", "Hello.Call", `{"name":"John"}`))
		said = r.stdout
		if r.code != 0 {
			return errorOf(r)
		}
		return nil
	})
	if said != "{\n\t\"msg\": \"Hello John\"\n}\n" {
		t.Errorf("the new service says %q", said)
	}
	took := time.Since(begin)
	t.Logf("from mbus new to the answer: %v (promised 1m0s)", took)
	// A busy machine builds slowly.
	if took > 3*time.Minute {
		t.Errorf("it took %v, want a minute", took)
	}
	service.stop(t, 10*time.Second)
}
