package main_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
)

// A page is one Markdown file, as far as these tests read it.
type page struct {
	path    string
	lines   []string
	blocks  []block
	anchors map[string]bool
}

// A block is a fenced block of a page.
type block struct {
	lang  string // first word after the fence
	name  string // the rest
	lines []string
	line  int // of its first line, from 1
}

func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

func readPage(t *testing.T, path string) *page {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{path: path, lines: strings.Split(string(data), "\n"), anchors: map[string]bool{}}
	var open *block
	for i, line := range p.lines {
		switch {
		case open != nil && line == "```":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		case strings.HasPrefix(line, "```"):
			lang, name, _ := strings.Cut(line[3:], " ")
			open = &block{lang: lang, name: name, line: i + 2}
		case strings.HasPrefix(line, "#"):
			p.anchors[anchor(strings.TrimSpace(strings.TrimLeft(line, "#")))] = true
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: a block without an end", path, open.line)
	}
	return p
}

// prose is the page without its blocks and without code in its lines.
func (p *page) prose() []string {
	fenced := false
	var out []string
	for _, line := range p.lines {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced {
			line = ""
		}
		out = append(out, inlineCode.ReplaceAllString(line, ""))
	}
	return out
}

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	link       = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
)

// section returns the lines below a heading, up to the next heading.
func (p *page) section(t *testing.T, heading string) []string {
	t.Helper()
	for i, line := range p.lines {
		if strings.HasPrefix(line, "#") && strings.TrimSpace(strings.TrimLeft(line, "#")) == heading {
			rest := p.lines[i+1:]
			for n, line := range rest {
				if strings.HasPrefix(line, "#") {
					return rest[:n]
				}
			}
			return rest
		}
	}
	t.Fatalf("%s has no section %q", p.path, heading)
	return nil
}

// table returns the rows, without the head, of the table in a section whose
// first head cell is head, with the back quotes taken off.
func (p *page) table(t *testing.T, heading, head string) [][]string {
	t.Helper()
	var rows [][]string
	inside := false
	for _, line := range p.section(t, heading) {
		switch {
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && strings.HasPrefix(line, "|---"):
		case inside:
			rows = append(rows, cells(line))
		case cells(line)[0] == head:
			inside = true
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s: the section %q has no table %q", p.path, heading, head)
	}
	return rows
}

func cells(line string) []string {
	var out []string
	for cell := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "| ") {
		out = append(out, strings.TrimSpace(cell))
	}
	return out
}

// bare takes the back quotes off a cell that is code as a whole.
func bare(cell string) string {
	if n := len(cell); n > 1 && cell[0] == '`' && cell[n-1] == '`' && !strings.Contains(cell[1:n-1], "`") {
		return cell[1 : n-1]
	}
	return cell
}

// codeIn returns what stands in back quotes.
func codeIn(cell string) []string {
	var out []string
	for _, code := range inlineCode.FindAllString(cell, -1) {
		out = append(out, strings.Trim(code, "`"))
	}
	return out
}

// anchor is what a heading is called in links.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.ReplaceAll(heading, "`", "")) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// pages are the Markdown files of the tree.
func pages(t *testing.T) []*page {
	t.Helper()
	var found []*page
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".md"):
			found = append(found, readPage(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("found only %d Markdown files", len(found))
	}
	return found
}

func TestLinksLeadSomewhere(t *testing.T) {
	seen := 0
	for _, p := range pages(t) {
		for i, line := range p.prose() {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				seen++
				if why := broken(t, p, m[1]); why != "" {
					t.Errorf("%s:%d: %s: %s", p.path, i+1, m[1], why)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("found only %d links: does the test still see them?", seen)
	}
}

// broken says what is wrong with a relative link.
func broken(t *testing.T, from *page, target string) string {
	file, fragment, _ := strings.Cut(target, "#")
	p := from
	if file != "" {
		path := filepath.Join(filepath.Dir(from.path), filepath.FromSlash(file))
		if _, err := os.Stat(path); err != nil {
			return "no such file"
		}
		if !strings.HasSuffix(path, ".md") {
			return ""
		}
		p = readPage(t, path)
	}
	if fragment != "" && !p.anchors[fragment] {
		return "no such heading in " + p.path
	}
	return ""
}

// sameSet reports what is in only one of two lists.
func sameSet(t *testing.T, what string, documented, inCode []string) {
	t.Helper()
	for _, s := range documented {
		if !slices.Contains(inCode, s) {
			t.Errorf("%s: %q is documented and not in the code", what, s)
		}
	}
	for _, s := range inCode {
		if !slices.Contains(documented, s) {
			t.Errorf("%s: %q is in the code and not documented", what, s)
		}
	}
	if len(inCode) == 0 {
		t.Errorf("%s: found nothing in the code", what)
	}
}

// column returns one column of a table, the back quotes taken off.
func column(rows [][]string, n int) []string {
	var out []string
	for _, row := range rows {
		out = append(out, bare(row[min(n, len(row)-1)]))
	}
	return out
}

// expand writes out a{b,c} as ab and ac.
func expand(s string) []string {
	before, rest, ok := strings.Cut(s, "{")
	if !ok {
		return []string{s}
	}
	list, after, _ := strings.Cut(rest, "}")
	var out []string
	for one := range strings.SplitSeq(list, ",") {
		for _, tail := range expand(after) {
			out = append(out, before+one+tail)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

// binary builds the command once for all tests of this package.
func binary(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	buildDir string // set by TestMain, which removes it
	built    = sync.OnceValues(func() (string, error) {
		path := filepath.Join(buildDir, "mbus")
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
		if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mbus-docs-")
	if err != nil {
		panic(err)
	}
	buildDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
