package cli

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// An invocation is a command line put in order: first the words of the
// command, then its options, then "--" and the arguments. In this order kong
// reads it without guessing, whatever the order it was typed in.
type invocation struct {
	node      *kong.Node
	options   []option
	arguments []string
	help      bool
	version   bool
}

type option struct {
	typed  string // as it was typed, for messages
	name   string // the flag's own name
	value  string
	valued bool
}

// args returns the command line for kong.
func (v *invocation) args() []string {
	var args []string
	for n := v.node; n.Parent != nil; n = n.Parent {
		args = append(args, n.Name)
	}
	slices.Reverse(args)
	for _, o := range v.options {
		if o.valued {
			args = append(args, "--"+o.name+"="+o.value)
		} else {
			args = append(args, "--"+o.name)
		}
	}
	return append(append(args, "--"), v.arguments...)
}

// given reports whether the flag is on the command line.
func (v *invocation) given(name string) bool {
	return slices.ContainsFunc(v.options, func(o option) bool { return o.name == name })
}

// arrange puts args in order. Its errors are usage errors that name the
// nearest thing there is.
func arrange(root *kong.Node, args []string) (*invocation, error) {
	a := arranger{flags: flagIndex(root), invocation: invocation{node: root}}
	if err := a.read(args); err != nil {
		return nil, err
	}
	v := &a.invocation
	if v.help {
		return v, nil
	}
	if v.version {
		v.node, v.arguments = root.Children[slices.IndexFunc(root.Children, isVersion)], nil
	}
	if err := a.checkOptions(); err != nil {
		return nil, err
	}
	return v, checkArguments(v)
}

func isVersion(n *kong.Node) bool { return n.Name == "version" }

type arranger struct {
	invocation
	flags map[string][]*kong.Flag
}

// flagIndex holds every flag of every command under the spellings that select
// it. Flags of one spelling in several commands agree on whether they take a
// value, which a test holds the grammar to.
func flagIndex(root *kong.Node) map[string][]*kong.Flag {
	index := map[string][]*kong.Flag{}
	walk(root, func(n *kong.Node) {
		for _, f := range n.Flags {
			index["--"+f.Name] = append(index["--"+f.Name], f)
			if f.Short != 0 {
				short := "-" + string(f.Short)
				index[short] = append(index[short], f)
			}
			for _, alias := range f.Aliases {
				index["--"+alias] = append(index["--"+alias], f)
			}
		}
	})
	return index
}

// walk calls f for n and every command below it.
func walk(n *kong.Node, f func(*kong.Node)) {
	f(n)
	for _, child := range n.Children {
		walk(child, f)
	}
}

func (a *arranger) read(args []string) error {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			a.arguments = append(a.arguments, args...)
			return nil
		case !isOption(word):
			if err := a.word(word); err != nil {
				return err
			}
		default:
			rest, err := a.option(word, args)
			if err != nil {
				return err
			}
			args = rest
		}
	}
	return nil
}

// isOption tells options from "-", which is standard input, and from negative
// numbers.
func isOption(word string) bool {
	return len(word) > 1 && word[0] == '-' && word[1] != '.' && (word[1] < '0' || word[1] > '9')
}

// word takes a word that is no option: a step down to a command, or an
// argument of the command that was reached.
func (a *arranger) word(word string) error {
	if len(a.node.Children) == 0 {
		a.arguments = append(a.arguments, word)
		return nil
	}
	for _, child := range a.node.Children {
		if child.Name == word || slices.Contains(child.Aliases, word) {
			a.node = child
			return nil
		}
	}
	if a.help {
		return nil
	}
	return unknownCommand(a.node, word)
}

func unknownCommand(parent *kong.Node, word string) error {
	var names []string
	for _, child := range parent.Children {
		if !child.Hidden {
			names = append(names, child.Name)
			for _, alias := range child.Aliases {
				if len(alias) > 1 { // a letter is near every other letter
					names = append(names, alias)
				}
			}
		}
	}
	if parent.Parent == nil {
		return usagef(`no command %q%s; "mbus help" lists them`, word, didYouMean(word, names))
	}
	return usagef("%s has no %q; it has %s", commandName(parent), word, strings.Join(names, ", "))
}

// option takes one option and returns the words that are left.
func (a *arranger) option(word string, rest []string) ([]string, error) {
	o, flag := a.find(word)
	if flag == nil {
		a.options = append(a.options, o) // reported once the command is known
		return rest, nil
	}
	o.name = flag.Name
	switch {
	case flag.IsBool():
	case !o.valued && len(rest) == 0:
		return nil, usagef("%s needs a value", o.typed)
	case !o.valued:
		o.value, o.valued, rest = rest[0], true, rest[1:]
	}
	switch {
	case o.name == "help" && (!o.valued || o.value == "true"):
		a.help = true
	case o.name == "version" && (!o.valued || o.value == "true"):
		a.version = true
	default:
		a.options = append(a.options, o)
	}
	return rest, nil
}

// find splits an option into name and value and looks its flag up: --name,
// --name=value, --micro_name, -x, -xVALUE, and -name as Micro accepted it.
func (a *arranger) find(word string) (option, *kong.Flag) {
	name, value, valued := strings.Cut(word, "=")
	o := option{typed: name, value: value, valued: valued}
	long := "--" + strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-")
	if found := a.flags[long]; len(found) > 0 {
		return o, found[0]
	}
	if strings.HasPrefix(word, "--") {
		return o, nil
	}
	found := a.flags[word[:2]]
	if len(found) == 0 {
		return o, nil
	}
	tail := strings.TrimPrefix(word[2:], "=")
	return option{typed: word[:2], value: tail, valued: len(word) > 2}, found[0]
}

// checkOptions refuses options that the command does not have.
func (a *arranger) checkOptions() error {
	var names []string
	known := map[string]bool{}
	for _, group := range a.node.AllFlags(false) {
		for _, f := range group {
			known[f.Name] = true
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		}
	}
	for _, o := range a.options {
		if known[o.name] {
			continue
		}
		if o.name != "" && a.node.Parent == nil {
			return usagef("%s belongs to a command and there is none; \"mbus help\" lists them", o.typed)
		}
		return usagef("%s has no option %s%s; \"%s --help\" lists them", commandName(a.node), o.typed, didYouMean(o.typed, names), commandLine(a.node))
	}
	return nil
}

// checkArguments refuses too few and too many arguments.
func checkArguments(v *invocation) error {
	n := v.node
	if n.Parent == nil {
		return nil
	}
	if len(n.Children) > 0 {
		var names []string
		for _, child := range n.Children {
			names = append(names, child.Name)
		}
		return usagef("%s needs one of %s", commandName(n), strings.Join(names, ", "))
	}
	required, open := 0, false
	for _, p := range n.Positional {
		if p.Required {
			required++
		}
		open = open || p.IsCumulative()
	}
	switch {
	case len(v.arguments) < required:
		return usagef("%s: %s is missing; usage: %s", commandName(n), argumentName(n.Positional[len(v.arguments)]), usage(n))
	case len(v.arguments) > len(n.Positional) && !open:
		return usagef("%s: do not know what to do with %q; usage: %s", commandName(n), v.arguments[len(n.Positional)], usage(n))
	}
	return nil
}

// usage is the synopsis of a command.
func usage(n *kong.Node) string {
	parts := []string{commandLine(n)}
	for _, p := range n.Positional {
		name := argumentName(p)
		if p.IsCumulative() {
			name += "..."
		}
		if !p.Required {
			name = "[" + name + "]"
		}
		parts = append(parts, name)
	}
	if len(n.Children) > 0 {
		parts = append(parts, "COMMAND")
	}
	return strings.Join(parts, " ")
}

func argumentName(p *kong.Positional) string {
	return strings.ToUpper(p.Name)
}
