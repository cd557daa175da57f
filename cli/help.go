package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type helpCommand struct {
	Command []string `arg:"" optional:"" complete:"command" help:"Command to explain, or \"options\" for the options kept from Micro."`
}

// Run prints help for the command that the words name.
func (c *helpCommand) Run(_ context.Context, s *session) error {
	_, parser, err := newGrammar()
	if err != nil {
		return err
	}
	root := parser.Model.Node
	if len(c.Command) == 1 && c.Command[0] == "options" {
		return s.printf("%s", microOptions(root))
	}
	a := arranger{invocation: invocation{node: root}}
	for _, word := range c.Command {
		if err := a.word(word); err != nil {
			return err
		}
	}
	return s.help(root, a.node)
}

// help prints what a command does and takes.
func (s *session) help(root, node *kong.Node) error {
	if node == root {
		return s.printf("%s", overview(root))
	}
	return s.printf("%s", commandHelp(root, node))
}

// groups are the headings of the overview, in order.
func groups() []string { return []string{"Services", "Events", "Node", "Tools"} }

func overview(root *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: mbus [OPTION...] COMMAND [ARGUMENT...]\n", root.Help)
	for _, group := range groups() {
		fmt.Fprintf(&b, "\n%s\n", group)
		var rows [][2]string
		for _, n := range commands(root, group) {
			rows = append(rows, [2]string{n.Name, n.Help})
		}
		twoColumns(&b, rows)
	}
	for _, group := range []string{"Connection", "Output"} {
		b.WriteString("\n" + group + " options, before or after the command\n")
		flagTable(&b, root.Flags, group)
	}
	b.WriteString("\n\"mbus help COMMAND\" explains a command, \"mbus help options\" the options kept from Micro.\n")
	return b.String()
}

// commands are the visible commands of a group.
func commands(root *kong.Node, group string) []*kong.Node {
	var found []*kong.Node
	for _, n := range root.Children {
		if !n.Hidden && n.Group != nil && n.Group.Key == group {
			found = append(found, n)
		}
	}
	return found
}

func commandHelp(root, n *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", synopsis(n), n.Help)
	if n.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(n.Detail))
	}
	if len(n.Positional) > 0 {
		b.WriteString("\nArguments\n")
		var rows [][2]string
		for _, p := range n.Positional {
			rows = append(rows, [2]string{argumentName(p), p.Help})
		}
		twoColumns(&b, rows)
	}
	if len(n.Children) > 0 {
		b.WriteString("\nCommands\n")
		var rows [][2]string
		for _, child := range n.Children {
			rows = append(rows, [2]string{child.Name, child.Help})
		}
		twoColumns(&b, rows)
	}
	if len(n.Flags) > 0 {
		b.WriteString("\nOptions\n")
		flagTable(&b, n.Flags, "")
	}
	var global []string
	for _, f := range root.Flags {
		if !f.Hidden && f.Group.Key != "Micro" {
			global = append(global, "--"+f.Name)
		}
	}
	fmt.Fprintf(&b, "\nGlobal options: %s\n", strings.Join(global, " "))
	return b.String()
}

// synopsis is the usage line of a command with its other name.
func synopsis(n *kong.Node) string {
	text := "Usage: " + usage(n) + " [OPTION...]"
	if len(n.Aliases) > 0 {
		text += "  (also: " + strings.Join(n.Aliases, ", ") + ")"
	}
	return text
}

func microOptions(root *kong.Node) string {
	var b strings.Builder
	b.WriteString("Global options of Micro, before or after the command, with hyphens or underscores.\n")
	b.WriteString("Each has an environment variable MBUS_NAME and, behind it, MICRO_NAME.\n\n")
	flagTable(&b, root.Flags, "Micro")
	return b.String()
}

// flagTable lists the visible flags of a group, or of all groups.
func flagTable(b *strings.Builder, flags []*kong.Flag, group string) {
	var rows [][2]string
	for _, f := range flags {
		if f.Hidden || group != "" && f.Group.Key != group {
			continue
		}
		name := "    --" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", --" + f.Name
		}
		if !f.IsBool() {
			name += " " + f.PlaceHolder
		}
		rows = append(rows, [2]string{name, f.Help + envNote(f)})
	}
	twoColumns(b, rows)
}

// helpWidth is how wide help is, whatever the terminal, so that it reads the
// same in a script, a page and a bug report.
const helpWidth = 100

// twoColumns prints names and what they are, wrapped.
func twoColumns(b *strings.Builder, rows [][2]string) {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	for _, row := range rows {
		line := fmt.Sprintf("  %-*s ", width, row[0])
		indent := strings.Repeat(" ", len(line))
		for word := range strings.FieldsSeq(row[1]) {
			if len(line)+1+len(word) > helpWidth && len(line) > len(indent) {
				b.WriteString(line + "\n")
				line = indent
			}
			line += " " + word
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// envNote names the variables of a flag that are worth knowing: its own, and
// those that it does not share a scheme with.
func envNote(f *kong.Flag) string {
	names := variables(f)
	if len(names) == 0 {
		return ""
	}
	names = append(names[:1:1], f.Tag.GetAll("also")...)
	return " [" + strings.Join(names, ", ") + "]"
}
