package main_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the documents say about the code is compared with its source, since the
// limits of a package are nobody else's business and have no exported name.
type packageSource struct {
	dir    string
	consts map[string]ast.Expr
	types  map[string]*ast.StructType
}

func readPackage(t *testing.T, dir string) *packageSource {
	t.Helper()
	p := &packageSource{dir: dir, consts: map[string]ast.Expr{}, types: map[string]*ast.StructType{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			p.note(decl)
		}
	}
	return p
}

func (p *packageSource) note(decl ast.Decl) {
	g, ok := decl.(*ast.GenDecl)
	if !ok {
		return
	}
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			for i, name := range spec.Names {
				if g.Tok == token.CONST && i < len(spec.Values) {
					p.consts[name.Name] = spec.Values[i]
				}
			}
		case *ast.TypeSpec:
			if s, ok := spec.Type.(*ast.StructType); ok {
				p.types[spec.Name.Name] = s
			}
		}
	}
}

// number is the value of an integer constant; a duration counts in nanoseconds.
func (p *packageSource) number(t *testing.T, name string) int64 {
	t.Helper()
	expr, ok := p.consts[name]
	if !ok {
		t.Fatalf("%s has no constant %s", p.dir, name)
	}
	n, exact := constant.Int64Val(constant.ToInt(p.eval(t, expr)))
	if !exact {
		t.Fatalf("%s.%s is no integer", p.dir, name)
	}
	return n
}

// strings returns the string constants whose names begin with prefix, sorted.
func (p *packageSource) strings(t *testing.T, prefix string) []string {
	t.Helper()
	var out []string
	for name, expr := range p.consts {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" || rest[0] < 'A' || rest[0] > 'Z' {
			continue
		}
		if v := p.eval(t, expr); v.Kind() == constant.String {
			out = append(out, constant.StringVal(v))
		}
	}
	slices.Sort(out)
	return out
}

// eval works out a constant expression as far as our limits use them.
func (p *packageSource) eval(t *testing.T, expr ast.Expr) constant.Value {
	t.Helper()
	switch e := expr.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0)
	case *ast.ParenExpr:
		return p.eval(t, e.X)
	case *ast.Ident:
		if inner, ok := p.consts[e.Name]; ok {
			return p.eval(t, inner)
		}
	case *ast.UnaryExpr:
		return constant.UnaryOp(e.Op, p.eval(t, e.X), 0)
	case *ast.CallExpr: // a conversion
		if len(e.Args) == 1 {
			return p.eval(t, e.Args[0])
		}
	case *ast.BinaryExpr:
		x, y := p.eval(t, e.X), p.eval(t, e.Y)
		switch e.Op {
		case token.SHL, token.SHR:
			n, _ := constant.Uint64Val(y)
			return constant.Shift(x, e.Op, uint(n))
		case token.QUO:
			return constant.BinaryOp(x, token.QUO_ASSIGN, y) // integer division
		}
		return constant.BinaryOp(x, e.Op, y)
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok {
			if v := foreign(t, pkg.Name, e.Sel.Name); v != nil {
				return v
			}
		}
	}
	t.Fatalf("%s: a constant that this test cannot work out: %T", p.dir, expr)
	return nil
}

func foreign(t *testing.T, pkg, name string) constant.Value {
	t.Helper()
	if pkg == "time" {
		for unit, d := range map[string]time.Duration{
			"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
			"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
		} {
			if name == unit {
				return constant.MakeInt64(int64(d))
			}
		}
	}
	for dir := range imports {
		if filepath.Base(dir) == pkg && dir != "." {
			source := readPackage(t, dir)
			if expr, ok := source.consts[name]; ok {
				return source.eval(t, expr)
			}
		}
	}
	return nil
}

// keys are the JSON keys of a struct type, in the order of its fields.
func (p *packageSource) keys(t *testing.T, name string) []string {
	t.Helper()
	s, ok := p.types[name]
	if !ok {
		t.Fatalf("%s has no struct %s", p.dir, name)
	}
	var out []string
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			t.Fatal(err)
		}
		if key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ","); key != "" && key != "-" {
			out = append(out, key)
		}
	}
	return out
}
