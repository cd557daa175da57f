package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// referenceCommand prints docs/cli.md, which a test compares with the file.
type referenceCommand struct{}

// Run prints the reference of all commands as Markdown.
func (*referenceCommand) Run(_ context.Context, s *session) error {
	_, parser, err := newGrammar()
	if err != nil {
		return err
	}
	return s.printf("%s", reference(parser.Model.Node))
}

const referenceHead = `# The mbus command

This page is made from the grammar of the command; "make docs" writes it anew.

    mbus [OPTION...] COMMAND [ARGUMENT...]

Every option works before and after the command, as ` + "`--name value` and as `--name=value`" + `, with hyphens or with the
underscores of Micro. A word ` + "`--`" + ` ends the options. Negative numbers and ` + "`-`" + ` are arguments. Every option has an environment
variable, ` + "`MBUS_NAME`, behind it Micro's `MICRO_NAME`" + `; one that is empty counts as unset. What stands on the command
line counts most, then the environment, then the default.

Results go to standard output and nothing else does; errors are one line on standard error. On a terminal, control
characters in what services answer are escaped, and ` + "`NO_COLOR`" + ` is honoured.

| exit code | meaning |
|---|---|
| 0 | it worked; also the end of a stream, and ctrl-C of node, subscribe, top and watch |
| 1 | the call failed |
| 2 | wrong usage, or a configuration that is not safe |
| 3 | no connection to the bus, said within a second |
| 4 | refused for missing rights |
| 5 | nobody listens |
| 6 | refused because of overload |
| 124 | no answer in time |
| 130 | interrupted in a call |
`

func reference(root *kong.Node) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Options of every command\n")
	for _, group := range []string{"Connection", "Output"} {
		flagReference(&b, root.Flags, group)
	}
	b.WriteString("\nThe global options of Micro:\n")
	flagReference(&b, root.Flags, "Micro")
	for _, group := range groups() {
		fmt.Fprintf(&b, "\n## %s\n", group)
		for _, n := range commands(root, group) {
			commandReference(&b, n)
		}
	}
	return b.String()
}

func commandReference(b *strings.Builder, n *kong.Node) {
	fmt.Fprintf(b, "\n### %s\n\n", commandName(n))
	fmt.Fprintf(b, "    %s\n\n%s", usage(n), n.Help)
	if len(n.Aliases) > 0 {
		fmt.Fprintf(b, " Also: `%s`.", strings.Join(n.Aliases, "`, `"))
	}
	b.WriteString("\n")
	if n.Detail != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(n.Detail))
	}
	if len(n.Positional) > 0 {
		b.WriteString("\n| argument | |\n|---|---|\n")
		for _, p := range n.Positional {
			fmt.Fprintf(b, "| `%s` | %s |\n", argumentName(p), cell(p.Help))
		}
	}
	flagReference(b, n.Flags, "")
	for _, child := range n.Children {
		commandReference(b, child)
	}
}

func flagReference(b *strings.Builder, flags []*kong.Flag, group string) {
	header := "\n| option | environment | |\n|---|---|---|\n"
	for _, f := range flags {
		if f.Hidden || group != "" && f.Group.Key != group {
			continue
		}
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		if !f.IsBool() {
			name += " " + f.PlaceHolder
		}
		var names []string
		for _, v := range variables(f) {
			names = append(names, "`"+v+"`")
		}
		fmt.Fprintf(b, "%s| `%s` | %s | %s |\n", header, cell(name), strings.Join(names, " "), cell(f.Help))
		header = ""
	}
}

// cell keeps the bars of a text from ending a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
