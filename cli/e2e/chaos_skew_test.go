//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A skew builds programs whose wall clock is ahead, by a negative time if it is
// behind; their monotonic clock is right. Nothing can be put before the clock of
// a Go program, which asks no library, and a whole build with another package
// time takes a minute. So only that package is compiled, from a copy in which
// the body of Now is changed, and linked with what the build cache has of all
// others: they see no difference.
type skew struct {
	ahead time.Duration
	dir   string // of the programs
	root  string // of this module
	time  string // the compiled package time
}

func newSkew(t *testing.T, ahead time.Duration) (*skew, error) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	s := &skew{ahead: ahead, dir: t.TempDir(), root: root}
	folder, err := s.goTool("list", "-f", "{{.Dir}}", "time")
	if err != nil {
		return nil, err
	}
	original := filepath.Join(strings.TrimSpace(folder), "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return nil, err
	}
	// No line is added: the export data has line numbers.
	const clock = "\tsec, nsec, mono := runtimeNow()\n"
	changed := fmt.Sprintf("\tsec, nsec, mono := runtimeNow(); sec += %d\n", ahead/time.Second)
	if bytes.Count(source, []byte(clock)) != 1 {
		return nil, errors.New("package time is not as it was in Go 1.26")
	}
	copied, overlay := filepath.Join(s.dir, "time.go"), filepath.Join(s.dir, "overlay.json")
	if err := os.WriteFile(copied, bytes.Replace(source, []byte(clock), []byte(changed), 1), 0o600); err != nil {
		return nil, err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return nil, err
	}
	compiled, err := s.goTool("list", "-export", "-f", "{{.Export}}", "-overlay", overlay,
		"-gcflags=time=-trimpath="+copied+"=>$GOROOT/src/time/time.go", "time")
	s.time = strings.TrimSpace(compiled)
	return s, err
}

func (s *skew) goTool(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = s.root
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return string(out), nil
}

// link makes a program and returns its path.
func (s *skew) link(p program) (string, error) {
	packages, err := s.goTool("list", "-export", "-deps", "-f", "{{with .Export}}packagefile {{$.ImportPath}}={{.}}{{end}}", sources()[p])
	if err != nil {
		return "", err
	}
	var list strings.Builder
	var last string
	for line := range strings.Lines(packages) {
		switch {
		case strings.HasPrefix(line, "packagefile time="):
			line = "packagefile time=" + s.time + "\n"
		case line == "\n":
			continue
		}
		list.WriteString(line)
		_, last, _ = strings.Cut(strings.TrimSpace(line), "=") // the program itself comes last
	}
	path := filepath.Join(s.dir, string(p))
	if err := os.WriteFile(path+".packages", []byte(list.String()), 0o600); err != nil {
		return "", err
	}
	_, err = s.goTool("tool", "link", "-s", "-w", "-importcfg", path+".packages", "-o", path, last)
	return path, err
}

// skewedPrograms builds programs whose clocks are ahead by so much.
func skewedPrograms(t *testing.T, ahead time.Duration, programs ...program) (paths map[program]string, err error) {
	t.Helper()
	s, err := newSkew(t, ahead)
	if err != nil {
		return nil, err
	}
	paths = map[program]string{}
	for _, p := range programs {
		if paths[p], err = s.link(p); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
