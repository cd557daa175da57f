// Package main_test holds the rules of the house: who may import whom, where
// reflection and package state may live, and how long a file may be.
package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const (
	module   = "github.com/mbus-dev/mbus"
	maxLines = 600
)

// imports lists, for each of our packages, which of our packages it may use. A
// folder covers what is below it unless it is listed itself.
var imports = map[string][]string{
	".":                   {"cli"},
	"bus/wire":            {},
	"bus":                 {"bus/wire"},
	"bus/codec":           {"bus", "bus/wire"},
	"bus/bustest":         {"bus", "bus/wire"},
	"discovery":           {"bus", "bus/wire", "bus/codec"},
	"discovery/selector":  {"discovery"},
	"discovery/registrar": {"bus", "bus/wire", "bus/codec", "discovery"},
	"rpc/schema":          {},
	"rpc/pipe":            {"bus", "bus/wire"},
	"rpc":                 {"bus", "bus/wire", "bus/codec", "discovery", "discovery/selector", "rpc/pipe", "rpc/schema"},
	"rpc/middleware":      {"bus", "bus/wire", "rpc"},
	"pubsub":              {"bus", "bus/wire", "bus/codec"},
	"embedded":            {"bus", "embedded/bind"},
	"gateway":             {"bus", "bus/codec", "discovery", "discovery/selector", "rpc", "rpc/schema", "pubsub", "bus/wire", "embedded/bind", "gateway/token"},
	"embedded/bind":       {},
	"gateway/token":       {"bus"},
	"gateway/live":        {"bus", "bus/codec", "gateway", "rpc", "pubsub"},
	"gateway/spec":        {"bus", "discovery", "rpc", "rpc/schema", "gateway"},
	"gateway/api":         {"bus", "bus/codec", "discovery", "rpc", "rpc/schema", "pubsub", "gateway", "gateway/live", "gateway/spec"},
	"gateway/sidecar":     {"bus", "bus/codec", "discovery", "discovery/registrar", "rpc", "pubsub", "gateway", "gateway/live", "bus/wire"},
	"gateway/mcp":         {"bus", "bus/wire", "bus/codec", "discovery", "rpc", "gateway", "rpc/schema", "gateway/spec"},
	"gateway/web":         {"bus", "bus/wire", "bus/codec", "discovery", "rpc", "rpc/schema", "pubsub", "gateway", "gateway/live", "gateway/api"},
	"cli":                 {"bus", "bus/wire", "bus/codec", "discovery", "discovery/registrar", "discovery/selector", "rpc", "rpc/schema", "pubsub", "embedded", "gateway", "gateway/token", "gateway/api", "gateway/live", "gateway/spec", "gateway/sidecar", "gateway/mcp", "gateway/web", "examples", "embedded/bind"},
	"examples":            {"bus", "bus/codec", "discovery", "discovery/selector", "rpc", "pubsub", "gateway", "gateway/api", "examples"},
}

// only lists what may be imported in few places.
var only = map[string][]string{
	"github.com/nats-io/nats-server": {"embedded", "bus/bustest"},
	"net/http":                       {"gateway", "gateway/token", "gateway/live", "gateway/spec", "gateway/api", "gateway/sidecar", "gateway/mcp", "gateway/web", "cli", "examples"},
	"reflect":                        {"bus/codec", "rpc/schema", "rpc/register.go", "rpc/registerstream.go", "rpc/handle.go"},
}

// state lists the only kinds of package variables: compiled patterns, sentinel
// errors, embedded files, what the linker fills in, and interface checks.
var stateful = map[string]bool{"sync.Pool": true, "sync.Map": true, "sync.Mutex": true, "sync.Once": true, "map": true, "chan": true}

type source struct {
	path, dir string
	file      *ast.File
	lines     int
	test      bool
}

func TestPackagesImportOnlyWhatTheHouseAllows(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		allowed := rule(s.dir)
		for _, path := range importsOf(s.file) {
			ours, found := strings.CutPrefix(path, module+"/")
			if path == module {
				ours, found = ".", true
			}
			if found && ours != s.dir && !within(ours, allowed) {
				t.Errorf("%s imports %s; %s may import %v", s.path, ours, s.dir, allowed)
			}
			for prefix, places := range only {
				if path != prefix && !strings.HasPrefix(path, prefix+"/") {
					continue
				}
				if !within(s.dir, places) && !within(s.path, places) {
					t.Errorf("%s imports %s, which belongs in %v", s.path, path, places)
				}
			}
		}
	}
}

func TestTestsImportNoExampleAndNoCommand(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test || within(s.dir, []string{"cli", "examples", "."}) {
			continue
		}
		for _, path := range importsOf(s.file) {
			if ours, found := strings.CutPrefix(path, module+"/"); found && within(ours, []string{"cli", "examples"}) {
				t.Errorf("%s imports %s", s.path, ours)
			}
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxLines {
			t.Errorf("%s has %d lines, over %d: it holds a second concept", s.path, s.lines, maxLines)
		}
	}
}

func TestPackagesKeepNoState(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if kind := kindOf(v); stateful[kind] {
					t.Errorf("%s: package variable %s of kind %s is state", s.path, v.Names[0].Name, kind)
				}
				if strings.HasPrefix(v.Names[0].Name, "Default") {
					t.Errorf("%s: %s: there are no defaults to change", s.path, v.Names[0].Name)
				}
			}
		}
	}
}

func TestPeersOfTheBenchmarkStayInItsOwnModule(t *testing.T) {
	direct := func(path string) map[string]bool {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := modfile.Parse(path, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, r := range file.Require {
			found[r.Mod.Path] = !r.Indirect
		}
		return found
	}
	ours, theirs := direct("go.mod"), direct("bench/go.mod")
	for _, peer := range []string{"google.golang.org/grpc", "connectrpc.com/connect", "github.com/livekit/psrpc", "go-micro.dev/v4", "github.com/go-micro/plugins/v4/transport/nats"} {
		if ours[peer] {
			t.Errorf("go.mod requires %s, which belongs in bench/go.mod", peer)
		}
		if !theirs[peer] {
			t.Errorf("bench/go.mod does not require %s: does this test still know the peers?", peer)
		}
	}
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "node_modules" || path == "bench") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{
			path: filepath.ToSlash(path), dir: filepath.ToSlash(filepath.Dir(path)), file: file,
			lines: fset.File(file.Pos()).LineCount(), test: strings.HasSuffix(name, "_test.go"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d source files", len(all))
	}
	return all
}

// rule finds what a folder may import: its own entry or that of the nearest
// folder above it.
func rule(dir string) []string {
	for at := dir; ; at = filepath.Dir(at) {
		if allowed, ok := imports[filepath.ToSlash(at)]; ok {
			return allowed
		}
		if at == "." {
			return nil
		}
	}
}

func within(path string, places []string) bool {
	for _, place := range places {
		if path == place || (place == "examples" || strings.Contains(place, "/") || place == "cli") && strings.HasPrefix(path, place+"/") {
			return true
		}
	}
	return false
}

func importsOf(file *ast.File) []string {
	var paths []string
	for _, spec := range file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func kindOf(v *ast.ValueSpec) string {
	if v.Type != nil {
		return typeName(v.Type)
	}
	if len(v.Values) == 0 {
		return ""
	}
	switch value := v.Values[0].(type) {
	case *ast.CompositeLit:
		return typeName(value.Type)
	case *ast.CallExpr:
		if f, ok := value.Fun.(*ast.Ident); ok && f.Name == "make" && len(value.Args) > 0 {
			return typeName(value.Args[0])
		}
	}
	return ""
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.MapType:
		return "map"
	case *ast.ChanType:
		return "chan"
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}
