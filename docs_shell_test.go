package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestShellLinesAreCommands reads every command line that a page shows and asks
// the command itself whether it knows the words and the options.
func TestShellLinesAreCommands(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	known := &manual{t: t, help: map[string]string{}}
	lines := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			for i, line := range commandLines(b) {
				where := fmt.Sprintf("%s:%d", p.path, b.line+i)
				for _, words := range commands(line) {
					switch words[0] {
					case "mbus", "bin/mbus":
						lines++
						known.check(where, words[1:])
					case "make":
						for _, target := range words[1:] {
							if !strings.Contains(target, "=") && !strings.Contains(string(makefile), "\n"+target+":") {
								t.Errorf("%s: the Makefile has no target %s", where, target)
							}
						}
					}
				}
			}
		}
	}
	if lines < 20 {
		t.Errorf("found only %d lines with mbus: does the test still see them?", lines)
	}
}

// commandLines are the lines of a block that are typed; the others are empty.
func commandLines(b block) []string {
	out := make([]string, len(b.lines))
	for i, line := range b.lines {
		command, prompt := strings.CutPrefix(line, "$ ")
		switch {
		case prompt:
			out[i] = command
		case b.lang == "sh":
			out[i] = line
		}
		// A line that goes on in the next is read there.
		if before, ok := strings.CutSuffix(out[i], `\`); ok && i+1 < len(b.lines) {
			b.lines[i+1] = before + strings.TrimSpace(b.lines[i+1])
			if prompt {
				b.lines[i+1] = "$ " + b.lines[i+1]
			}
			out[i] = ""
		}
	}
	return out
}

var (
	quoted    = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	separator = regexp.MustCompile(`\|\|?|&&?|;`)
)

// commands splits a line as a shell does, as far as the pages need it. What is
// quoted becomes the word Q.
func commands(line string) [][]string {
	line, _, _ = strings.Cut(quoted.ReplaceAllString(line, "Q"), "#")
	var out [][]string
	for _, part := range separator.Split(line, -1) {
		words := strings.Fields(part)
		for len(words) > 0 && strings.Contains(words[0], "=") { // a variable before the command
			words = words[1:]
		}
		if len(words) > 0 {
			out = append(out, words)
		}
	}
	return out
}

// A manual is what the command says about itself.
type manual struct {
	t    *testing.T
	help map[string]string
}

func (m *manual) page(command ...string) string {
	m.t.Helper()
	name := strings.Join(command, " ")
	if text, ok := m.help[name]; ok {
		return text
	}
	out, err := exec.Command(binary(m.t), append([]string{"help"}, command...)...).CombinedOutput()
	text := string(out)
	if err != nil {
		text = ""
	}
	m.help[name] = text
	return text
}

// check finds the command in the words after "mbus" and looks for its options.
func (m *manual) check(where string, words []string) {
	m.t.Helper()
	if len(words) == 0 {
		return
	}
	global := m.page() + m.page("options")
	at := slices.IndexFunc(words, func(word string) bool { return !strings.HasPrefix(word, "-") && m.page(word) != "" })
	if at < 0 {
		if strings.HasPrefix(words[0], "--") && strings.Contains(global, words[0]) {
			return // mbus --version
		}
		m.t.Errorf("%s: there is no command in: mbus %s", where, strings.Join(words, " "))
		return
	}
	if words[at] == "help" && at+1 < len(words) && m.page(words[at+1]) == "" {
		m.t.Errorf("%s: there is no help on %s", where, words[at+1])
	}
	own := m.page(words[at])
	if at+1 < len(words) && words[at] == "registry" {
		own += m.page(words[at], words[at+1])
	}
	for i, word := range words {
		name, _, _ := strings.Cut(word, "=")
		if !strings.HasPrefix(name, "--") || name == "--" {
			continue
		}
		if !strings.Contains(own, name+" ") && !strings.Contains(own, name+"\n") && !strings.Contains(global, name) {
			m.t.Errorf("%s: mbus %s has no option %s", where, words[at], words[i])
		}
	}
}

// TestOptionsInTheTextExist looks for the options and targets that sentences
// mention.
func TestOptionsInTheTextExist(t *testing.T) {
	known := &manual{t: t, help: map[string]string{}}
	all := known.page() + known.page("options")
	for line := range strings.Lines(known.page()) {
		if words := strings.Fields(line); len(words) > 1 && strings.HasPrefix(line, "  ") && !strings.HasPrefix(words[0], "-") {
			all += known.page(words[0])
		}
	}
	seen := 0
	for _, p := range pages(t) {
		if p.path == filepath.Join("docs", "cli.md") {
			continue // comes out of the grammar itself
		}
		fenced := false
		for i, line := range p.lines {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			if fenced {
				continue
			}
			for _, code := range codeIn(line) {
				for _, word := range strings.Fields(code) {
					if name, ok := strings.CutPrefix(strings.TrimRight(word, "…,"), "--"); ok && name != "" {
						seen++
						if name, _, _ = strings.Cut(name, "="); !strings.Contains(all, "--"+name+" ") && !strings.Contains(all, "--"+name+"\n") {
							t.Errorf("%s:%d: no command has the option --%s", p.path, i+1, name)
						}
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("found only %d options: does the test still see them?", seen)
	}
}
