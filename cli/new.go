package cli

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"unicode"

	"golang.org/x/mod/modfile"

	"github.com/mbus-dev/mbus/bus/wire"
)

const module = "github.com/mbus-dev/mbus"

//go:embed scaffold
var scaffold embed.FS

type newCommand struct {
	Path      string `arg:"" help:"Directory to make; its last part is the name of the service."`
	Namespace string `default:"go.micro" placeholder:"PREFIX" help:"What the name of the service begins with. Default ${default}."`
	FQDN      string `name:"fqdn" placeholder:"NAME" help:"Whole name of the service, instead of NAMESPACE.srv.LAST-PART-OF-PATH."`
	Module    string `placeholder:"PATH" help:"Path of the Go module. Default is the last part of PATH."`
	Source    string `placeholder:"DIR" help:"The mbus source tree to build against. Default is the one that this program was built from."`
}

// Help explains what the one-line summary cannot.
func (*newCommand) Help() string {
	return `Makes a service that builds and runs at once, with a test that runs it against a
real broker, and prints the files.

    mbus new hello
    cd hello && go test ./...`
}

// A project is what the templates are filled with.
type project struct {
	Alias   string // last part of the path
	Type    string // Go type with the methods
	Service string
	Module  string
}

// Run makes the files.
func (c *newCommand) Run(_ context.Context, s *session) error {
	p, err := c.project()
	if err != nil {
		return err
	}
	source, err := c.source(s.process.Source)
	if err != nil {
		return err
	}
	files, err := p.files(source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(c.Path)), 0o755); err != nil {
		return fmt.Errorf("make %s: %w", c.Path, pathless(err))
	}
	if err := os.Mkdir(c.Path, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return usagef("%s already exists; choose another name or remove it", c.Path)
		}
		return fmt.Errorf("make %s: %w", c.Path, pathless(err))
	}
	for _, f := range files {
		path := filepath.Join(c.Path, f.name)
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return err
		}
		if err := s.printf("%s\n", path); err != nil {
			return err
		}
	}
	return nil
}

func (c *newCommand) project() (project, error) {
	p := project{Alias: filepath.Base(filepath.Clean(c.Path)), Service: c.FQDN, Module: c.Module}
	if p.Service == "" {
		p.Service = c.Namespace + ".srv." + p.Alias
	}
	if err := wire.CheckService(p.Service); err != nil {
		return p, usagef("%v; --fqdn names the service otherwise than its directory", err)
	}
	if p.Module == "" {
		p.Module = p.Alias
	}
	if strings.ContainsFunc(p.Module, func(r rune) bool { return unicode.IsSpace(r) || r == '"' }) {
		return p, usagef("--module %q is no path of a Go module", p.Module)
	}
	for part := range strings.FieldsFuncSeq(p.Alias, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		p.Type += strings.ToUpper(part[:1]) + part[1:]
	}
	if p.Type == "" || unicode.IsDigit(rune(p.Type[0])) {
		p.Type = "Service" + p.Type
	}
	return p, nil
}

// source finds the source tree: the flag, what the build noted, or where this
// file was when it was compiled.
func (c *newCommand) source(noted string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	for _, dir := range []string{c.Source, noted, filepath.Dir(filepath.Dir(here))} {
		if dir == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && modfile.ModulePath(data) == module {
			return filepath.Abs(dir)
		}
		if dir == c.Source {
			return "", usagef("--source %s is no mbus source tree: its go.mod is not that of %s", dir, module)
		}
	}
	return "", usagef("the source tree of mbus is not on this machine, and a new service builds against it; clone it and name it with --source DIR")
}

type file struct {
	name string
	data []byte
}

func (p project) files(source string) ([]file, error) {
	mod, sum, err := p.modules(source)
	if err != nil {
		return nil, err
	}
	files := []file{{"go.mod", mod}, {"go.sum", sum}}
	for _, name := range []string{"main.go", "service.go", "service_test.go", "README.md"} {
		t, err := template.ParseFS(scaffold, "scaffold/"+name+".tmpl")
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, p); err != nil {
			return nil, err
		}
		files = append(files, file{name, b.Bytes()})
	}
	return files, nil
}

// modules makes a go.mod that builds against the source tree with exactly the
// dependencies of that tree, so that nothing has to be looked up.
func (p project) modules(source string) (mod, sum []byte, err error) {
	data, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return nil, nil, err
	}
	tree, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, nil, err
	}
	f := new(modfile.File)
	steps := []error{
		f.AddModuleStmt(p.Module), f.AddGoStmt(tree.Go.Version),
		f.AddReplace(module, "", source, ""),
	}
	f.AddNewRequire(module, "v0.0.0", false)
	for _, r := range tree.Require {
		f.AddNewRequire(r.Mod.Path, r.Mod.Version, r.Mod.Path != "github.com/rs/zerolog")
	}
	f.Cleanup()
	mod, err = f.Format()
	if err := errors.Join(append(steps, err)...); err != nil {
		return nil, nil, err
	}
	sum, err = os.ReadFile(filepath.Join(source, "go.sum"))
	return mod, sum, err
}
