package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A grammar is the whole command line. What does not work is not in it.
type grammar struct {
	Options options `embed:""`

	List       listCommand       `cmd:"" group:"Services" help:"Print the names of the services."`
	Get        getCommand        `cmd:"" group:"Services" help:"Print what a service is and where its instances are."`
	Query      queryCommand      `cmd:"" aliases:"call" group:"Services" help:"Call a method of a service."`
	Stream     streamCommand     `cmd:"" group:"Services" help:"Open a stream of a service and print its messages."`
	Health     healthCommand     `cmd:"" group:"Services" help:"Ask every instance of a service whether it is well."`
	Stats      statsCommand      `cmd:"" group:"Services" help:"Ask every instance of a service for its counters."`
	Drain      drainCommand      `cmd:"" group:"Services" help:"Take an instance out of rotation, or put it back."`
	Top        topCommand        `cmd:"" group:"Services" help:"Show what the services do, live."`
	Register   registerCommand   `cmd:"" group:"Services" help:"Register a service that is not on the bus."`
	Deregister deregisterCommand `cmd:"" group:"Services" help:"Take a service out of the registry."`
	Registry   registryCommand   `cmd:"" group:"Services" help:"The registry: list, get, register, deregister, watch."`
	Bench      benchCommand      `cmd:"" group:"Services" help:"Call a method many times and measure."`

	Publish   publishCommand   `cmd:"" group:"Events" help:"Publish an event."`
	Subscribe subscribeCommand `cmd:"" group:"Events" help:"Print the events of a topic."`

	Node    nodeCommand    `cmd:"" group:"Node" help:"Run the bus in one process: broker, registry, gateways and dashboard."`
	API     apiCommand     `cmd:"" name:"api" group:"Node" help:"Run the API gateway alone."`
	Sidecar sidecarCommand `cmd:"" group:"Node" help:"Run the sidecar alone."`
	Web     webCommand     `cmd:"" group:"Node" help:"Run the dashboard alone."`

	Mcp        mcpCommand        `cmd:"" group:"Tools" help:"Give the services to a language model, as tools."`
	Cli        promptCommand     `cmd:"" group:"Tools" help:"Take commands at a prompt."`
	Doctor     doctorCommand     `cmd:"" group:"Tools" help:"Find out what is in the way."`
	New        newCommand        `cmd:"" group:"Tools" help:"Make a new service."`
	Completion completionCommand `cmd:"" group:"Tools" help:"Print the completion script for a shell."`
	Complete   completeCommand   `cmd:"" name:"__complete" hidden:"" help:"Print what the last word may become."`
	Reference  referenceCommand  `cmd:"" name:"__reference" hidden:"" help:"Print docs/cli.md."`
	Version    versionCommand    `cmd:"" group:"Tools" help:"Print the version."`
	Help       helpCommand       `cmd:"" aliases:"h" group:"Tools" help:"Print help for a command."`
}

const tagline = "mbus, a microservices toolkit whose runtime is one message bus"

func newGrammar() (*grammar, *kong.Kong, error) {
	g := &grammar{}
	k, err := kong.New(g, kong.Name("mbus"), kong.Description(tagline), kong.NoDefaultHelp())
	return g, k, err
}

// execute runs one command line.
func (s *session) execute(ctx context.Context, args []string) error {
	g, parser, err := newGrammar()
	if err != nil {
		return err // a fault of the grammar, which any test finds
	}
	root := parser.Model.Node
	line, err := arrange(root, args)
	switch {
	case err != nil:
		return err
	case line.help, line.node == root:
		return s.help(root, line.node)
	}
	command, err := s.bind(g, parser, line)
	if err != nil {
		return err
	}
	s.stdin = cancelReader{ctx, s.process.Stdin}
	command.BindTo(ctx, (*context.Context)(nil))
	return callError(ctx, command.Run(s))
}

// bind fills the grammar and the session's options from the command line and
// the environment.
func (s *session) bind(g *grammar, parser *kong.Kong, line *invocation) (*kong.Context, error) {
	from := origins{}
	command, err := parse(parser, line, fromEnvironment(s.env, from), from)
	if err != nil {
		return nil, err
	}
	g.Options.line, g.Options.from = line, from
	g.Options.command = commandName(line.node)
	s.opts = g.Options
	warning, err := s.opts.settle()
	if err != nil {
		return nil, err
	}
	if warning != "" {
		s.warn("%s", warning)
	}
	return command, nil
}

// prepare settles the options without running anything.
func (s *session) prepare(line *invocation) error {
	g, parser, err := newGrammar()
	if err != nil {
		return err
	}
	_, err = s.bind(g, parser, line)
	return err
}

// commandLine is the words of a command, the program's first.
func commandLine(n *kong.Node) string {
	if n.Parent == nil {
		return n.Name
	}
	return commandLine(n.Parent) + " " + n.Name
}

// commandName is the words of a command, without the program's.
func commandName(n *kong.Node) string { return strings.TrimPrefix(commandLine(n), "mbus ") }

// parse lets kong read an ordered command line and the environment.
func parse(parser *kong.Kong, line *invocation, env kong.Resolver, from origins) (*kong.Context, error) {
	command, err := kong.Trace(parser, line.args())
	if err == nil {
		err = command.Error
	}
	if err != nil {
		return nil, usagef("%s: %v", commandName(line.node), err)
	}
	command.AddResolver(env)
	for _, step := range []func() error{
		command.Reset, command.Resolve,
		func() error { _, err := command.Apply(); return err },
		command.Validate,
	} {
		if err := step(); err != nil {
			return nil, valueError(err, from)
		}
	}
	return command, nil
}

// valueError names the environment variable that a wrong value came from.
func valueError(err error, from origins) error {
	text := err.Error()
	for _, flag := range slices.Sorted(maps.Keys(from)) {
		if rest, ok := strings.CutPrefix(text, "--"+flag); ok && !strings.HasPrefix(rest, "-") {
			text += from.of(flag)
		}
	}
	if u, ok := errors.AsType[*usageError](err); ok && u.text == text {
		return u
	}
	return usagef("%s", text)
}
