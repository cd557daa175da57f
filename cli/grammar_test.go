package cli

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Options are found before the command is known, so those of one name must be
// read in the same way.
func TestOptionsOfOneNameAreReadAlike(t *testing.T) {
	_, parser, err := newGrammar()
	if err != nil {
		t.Fatal(err)
	}
	for name, flags := range flagIndex(parser.Model.Node) {
		for _, f := range flags[1:] {
			if f.IsBool() != flags[0].IsBool() || f.Name != flags[0].Name {
				t.Errorf("%s takes a value in one command and none in another, or is two options", name)
			}
		}
	}
}

func TestEverythingInTheGrammarIsExplained(t *testing.T) {
	_, parser, err := newGrammar()
	if err != nil {
		t.Fatal(err)
	}
	sentence := func(what, help string) {
		if !strings.HasSuffix(help, ".") {
			t.Errorf("%s: help is %q, want a sentence", what, help)
		}
	}
	walk(parser.Model.Node, func(n *kong.Node) {
		if n.Hidden {
			return
		}
		if n.Parent != nil {
			sentence(commandName(n), n.Help)
		}
		for _, f := range n.Flags {
			sentence(commandName(n)+" --"+f.Name, f.Help)
			if !f.IsBool() && f.PlaceHolder == "" {
				t.Errorf("%s --%s has no placeholder", commandName(n), f.Name)
			}
		}
		for _, p := range n.Positional {
			sentence(commandName(n)+" "+p.Name, p.Help)
		}
	})
}

func TestSplitLine(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"", nil},
		{"  list  services ", []string{"list", "services"}},
		{`call s M {"name": "John Doe"}`, []string{"call", "s", "M", `{"name": "John Doe"}`}},
		{`call s M '{"name": "John"}' --node x`, []string{"call", "s", "M", `{"name": "John"}`, "--node", "x"}},
		{`publish t {"a": "}"} -H k:v`, []string{"publish", "t", `{"a": "}"}`, "-H", "k:v"}},
		{`publish t {"a": "\"}"}`, []string{"publish", "t", `{"a": "\"}"}`}},
		{`publish t "two words"`, []string{"publish", "t", "two words"}},
		{`publish t {"open`, []string{"publish", "t", `{"open`}},
		{`publish t 'open`, []string{"publish", "t", `'open`}},
		{`publish t "`, []string{"publish", "t", `"`}},
	}
	for _, tt := range tests {
		got := splitLine(tt.line)
		if strings.Join(got, "\x00") != strings.Join(tt.want, "\x00") {
			t.Errorf("splitLine(%q) = %q, want %q", tt.line, got, tt.want)
		}
	}
}

// Whatever is typed, the command line is refused or kong understands it.
func FuzzArrange(f *testing.F) {
	for _, line := range []string{
		"query a B.C {} --node x -H k:v", "--server_name=x list", "-Hk:v call a b -", "publish t -- -x --y", "-5", "--", "---", "-=", "--=x", "registry -h watch", "help h",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, parser, err := newGrammar()
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Split(line, " ")
		got, err := arrange(parser.Model.Node, words)
		if err != nil {
			if exitCode(err) != exitUsage || strings.Contains(errorLine(err), "\n") {
				t.Errorf("arrange(%q) = %v, want a usage error of one line", words, err)
			}
			return
		}
		if got.help || got.node.Parent == nil {
			return
		}
		command, err := kong.Trace(parser, got.args())
		if err == nil {
			err = command.Error
		}
		if err != nil && !strings.HasPrefix(err.Error(), "--") { // of a value
			t.Errorf("kong does not understand %q: %v", got.args(), err)
		}
	})
}
