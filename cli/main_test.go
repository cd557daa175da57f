package cli_test

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mbus-dev/mbus/cli"
)

// The command under test is this binary: testscript runs it again under the
// name mbus, as a process of its own with real signals, pipes and exit codes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"mbus": func() {
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
			os.Exit(cli.Main(context.Background(), cli.Process{
				Args: os.Args[1:], Env: os.Environ(),
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals,
			}))
		},
	})
}

// result is what one run of the command left.
type result struct {
	code           int
	stdout, stderr string
}

// run runs the command in this process.
func run(t *testing.T, p cli.Process) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p.Stdout, p.Stderr = &stdout, &stderr
	code := cli.Main(t.Context(), p)
	return result{code, stdout.String(), stderr.String()}
}

// mbus runs a command line of words without spaces.
func mbus(t *testing.T, line string, env ...string) result {
	t.Helper()
	return run(t, cli.Process{Args: strings.Fields(line), Env: env})
}
