//go:build unix

package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	_ "github.com/mbus-dev/mbus/cli"
)

// A program is one that the tests build and run.
type program string

const (
	mbus          program = "mbus"
	greeterServer program = "greeter"
	crowd         program = "crowd"
	worker        program = "worker"
	load          program = "load"
	httpApp       program = "app"
)

// path is where the program is. TestMain put it there, for this process and
// the ones that it starts.
func (p program) path() string { return filepath.Join(os.Getenv(programsDir), string(p)) }

const programsDir = "MBUS_E2E_PROGRAMS"

// sources are the packages of the programs, as folders of this module.
func sources() map[program]string {
	return map[program]string{
		mbus: ".", greeterServer: "./examples/greeter/server",
		crowd: "./cli/e2e/crowd", worker: "./cli/e2e/worker", load: "./cli/e2e/load",
		httpApp: "./cli/e2e/app",
	}
}

// The programs are built without the race detector: their memory, processor
// time and latencies are what the tests measure.
func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait more than they work, for processes and for time to pass.
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("4")
	}
	os.Exit(func() int {
		if f := flag.Lookup("test.list"); f != nil && f.Value.String() != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "mbus-e2e-*")
		if err == nil {
			defer func() { _ = os.RemoveAll(dir) }()
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		_ = os.Setenv(programsDir, dir)
		code := m.Run()
		if err := printReport(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func build(dir string) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	for p, pkg := range sources() {
		// The go command keeps a test's result until something changes that the
		// test imports or reads. What it builds counts too: the import of cli
		// and this say so.
		if _, err := os.ReadFile(filepath.Join(root, pkg, "main.go")); err != nil {
			return err
		}
		// The version is fixed, so that the build cache serves the next run too.
		cmd := exec.Command("go", "build", "-ldflags", "-X main.version=e2e -X main.source="+root,
			"-o", filepath.Join(dir, string(p)), pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	return nil
}
