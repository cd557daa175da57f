//go:build unix

package browsertest

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mbus-dev/mbus/embedded"
	_ "github.com/mbus-dev/mbus/gateway/web"
)

const (
	noChromium = "there is no Chromium; install it with: apt-get install -y --no-install-recommends chromium"
	noAxe      = "axe-core is missing; install it with: npm ci --prefix .ci/validators --ignore-scripts"
)

// The lab is what the tests share: the programs, one browser and one demo.
type laboratory struct {
	chrome  string // "" if there is none
	dir     string
	browser *browser
	demo    *demo
}

var lab laboratory

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		if f := flag.Lookup("test.list"); f != nil && f.Value.String() != "" {
			return m.Run()
		}
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				lab.chrome = path
				break
			}
		}
		if lab.chrome == "" {
			return m.Run() // every test skips itself by name
		}
		defer lab.close()
		if err := lab.open(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// need skips a test that has no browser.
func need(t testing.TB) {
	t.Helper()
	if lab.chrome == "" {
		missing(t, noChromium)
	}
}

// missing skips a test by name, or fails it where everything must be there.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("MBUS_CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func (l *laboratory) open() (err error) {
	if l.dir, err = os.MkdirTemp("", "mbus-browser-*"); err != nil {
		return err
	}
	if err = l.build(); err != nil {
		return err
	}
	if l.browser, err = openBrowser(l.chrome, filepath.Join(l.dir, "profile")); err != nil {
		return err
	}
	l.demo, err = startDemo()
	return err
}

func (l *laboratory) close() {
	if l.browser != nil {
		l.browser.close()
	}
	if l.demo != nil {
		l.demo.stop()
	}
	if l.dir != "" {
		_ = os.RemoveAll(l.dir)
	}
}

// A program is one that the tests build and run.
type program string

const (
	mbus  program = "mbus"
	labs  program = "lab"
	crowd program = "crowd"
)

func (p program) path() string { return filepath.Join(lab.dir, string(p)) }

// build builds the programs without the race detector: how long things take is
// what the tests measure.
func (l *laboratory) build() error {
	root, err := filepath.Abs("../../..")
	if err != nil {
		return err
	}
	for p, pkg := range map[program]string{mbus: ".", labs: "./examples/lab/server", crowd: "./examples/crowd/server"} {
		cmd := exec.Command("go", "build", "-ldflags", "-X main.version=0.1.0", "-o", p.path(), pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	// The go command keeps a test's result until something changes that the test
	// imports or reads. What these programs are made of counts too.
	for _, dir := range []string{"cli", "examples", "gateway/web/app"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Ext(path) {
			case ".go", ".js", ".css", ".html":
				if !strings.Contains(path, "node_modules") {
					_, err = os.ReadFile(path)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
