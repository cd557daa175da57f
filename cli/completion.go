package cli

import (
	"context"
	_ "embed"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help explains what the one-line summary cannot.
func (*completionCommand) Help() string {
	return `Names of services and methods are completed from the live bus.

    bash  source <(mbus completion bash)          in ~/.bashrc
    zsh   source <(mbus completion zsh)           in ~/.zshrc, after compinit
    fish  mbus completion fish | source           in ~/.config/fish/config.fish`
}

var (
	//go:embed completion/mbus.bash
	bashCompletion string
	//go:embed completion/mbus.zsh
	zshCompletion string
	//go:embed completion/mbus.fish
	fishCompletion string
)

// Run prints the script for a shell.
func (c *completionCommand) Run(_ context.Context, s *session) error {
	switch c.Shell {
	case "bash":
		return s.printf("%s", bashCompletion)
	case "zsh":
		return s.printf("%s", zshCompletion)
	}
	return s.printf("%s", fishCompletion)
}

// completeCommand is what the scripts call.
type completeCommand struct {
	Words []string `arg:"" optional:"" help:"The words of the command line, the one to complete last."`
}

// Run prints the candidates, one a line. It never fails: a shell has no use
// for an error while someone types.
func (c *completeCommand) Run(ctx context.Context, s *session) error {
	for _, candidate := range s.candidates(ctx, c.Words) {
		if err := s.printf("%s\n", candidate); err != nil {
			return err
		}
	}
	return nil
}

// completionLimit is how long a completion may ask the bus: people wait for it
// with a finger on the tab key.
const completionLimit = 800 * time.Millisecond

// candidates returns what the last of words may become.
func (s *session) candidates(ctx context.Context, words []string) []string {
	_, parser, err := newGrammar()
	if err != nil || len(words) == 0 {
		return nil
	}
	c := completer{session: s, root: parser.Model.Node}
	c.arranger = arranger{flags: flagIndex(c.root), invocation: invocation{node: c.root}}
	prior, current := joinEquals(words[:len(words)-1], words[len(words)-1])
	open := c.walk(prior)
	found := c.find(ctx, open, current)
	return slices.DeleteFunc(found, func(name string) bool { return !strings.HasPrefix(name, current) })
}

// joinEquals undoes what bash does to --name=value, which it hands over as
// three words.
func joinEquals(prior []string, current string) ([]string, string) {
	n := len(prior)
	switch {
	case current == "=" && n > 0 && strings.HasPrefix(prior[n-1], "--"):
		return prior, ""
	case n > 1 && prior[n-1] == "=" && strings.HasPrefix(prior[n-2], "--"):
		return prior[:n-1], current
	}
	return prior, current
}

type completer struct {
	arranger
	session *session
	root    *kong.Node
}

// walk reads the words before the current one, as far as they make sense, and
// returns the flag that still waits for its value.
func (c *completer) walk(prior []string) *kong.Flag {
	for i := 0; i < len(prior); i++ {
		word := prior[i]
		if !isOption(word) || word == "--" {
			if word != "--" {
				_ = c.word(word) // a word nobody knows completes to nothing
			}
			continue
		}
		o, flag := c.arranger.find(word)
		if flag == nil {
			continue
		}
		o.name = flag.Name
		if !flag.IsBool() && !o.valued {
			if i+1 == len(prior) {
				return flag
			}
			i++
			o.value, o.valued = prior[i], true
		}
		c.options = append(c.options, o)
	}
	return nil
}

func (c *completer) find(ctx context.Context, open *kong.Flag, current string) []string {
	name, _, valued := strings.Cut(current, "=")
	switch {
	case open != nil:
		return c.values(ctx, open)
	case valued && strings.HasPrefix(name, "--"):
		if _, flag := c.arranger.find(name); flag != nil {
			return prefixed(name+"=", c.values(ctx, flag))
		}
	case strings.HasPrefix(current, "-"):
		return c.flagNames()
	case len(c.node.Children) > 0:
		var names []string
		for _, child := range c.node.Children {
			if !child.Hidden {
				names = append(names, child.Name)
			}
		}
		return names
	}
	return c.positional(ctx)
}

func prefixed(prefix string, values []string) []string {
	for i := range values {
		values[i] = prefix + values[i]
	}
	return values
}

func (c *completer) flagNames() []string {
	var names []string
	for _, group := range c.node.AllFlags(true) {
		for _, f := range group {
			names = append(names, "--"+f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// values are the values that a flag can have.
func (c *completer) values(ctx context.Context, flag *kong.Flag) []string {
	switch flag.Name {
	case "log-level":
		return []string{"debug", "disabled", "error", "info", "trace", "warn"}
	case "selector":
		return selector.Names()
	case "broker", "registry", "transport":
		return []string{"nats"}
	case "node":
		return c.nodes(ctx)
	}
	if flag.Enum != "" {
		return flag.EnumSlice()
	}
	return nil
}

// positional completes an argument by the kind that its tag names.
func (c *completer) positional(ctx context.Context) []string {
	n := len(c.arguments)
	if len(c.node.Positional) == 0 {
		return nil
	}
	p := c.node.Positional[min(n, len(c.node.Positional)-1)]
	if n >= len(c.node.Positional) && !p.IsCumulative() {
		return nil
	}
	switch p.Tag.Get("complete") {
	case "service":
		return c.services(ctx)
	case "method":
		return c.methods(ctx)
	case "node":
		return c.nodes(ctx)
	case "noun":
		if n > 0 {
			return nil
		}
		return []string{"services"}
	case "noun service":
		switch {
		case n == 0:
			return append([]string{"service"}, c.services(ctx)...)
		case n == 1 && c.arguments[0] == "service":
			return c.services(ctx)
		}
		return nil
	case "noun json":
		if n == 0 {
			return []string{"service"}
		}
		return nil
	case "command":
		return c.commandNames()
	}
	if p.Enum != "" {
		return p.EnumSlice()
	}
	return nil
}

// commandNames completes the arguments of help.
func (c *completer) commandNames() []string {
	a := arranger{invocation: invocation{node: c.root}}
	for _, word := range c.arguments {
		if a.word(word) != nil {
			return nil
		}
	}
	var names []string
	for _, child := range a.node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// ask runs f with a connection that the options on the line lead to.
func (c *completer) ask(ctx context.Context, f func(context.Context, *session) []string) []string {
	process := c.session.process
	process.Stderr = io.Discard
	s := newSession(process)
	s.kept, s.keptFor = c.session.kept, c.session.keptFor
	line := &invocation{node: c.root.Children[slices.IndexFunc(c.root.Children, isVersion)]}
	for _, o := range c.options {
		if slices.ContainsFunc(c.root.Flags, func(f *kong.Flag) bool { return f.Name == o.name }) {
			line.options = append(line.options, o)
		}
	}
	if err := s.prepare(line); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	return f(ctx, s)
}

func (c *completer) services(ctx context.Context) []string {
	return c.ask(ctx, func(ctx context.Context, s *session) []string {
		way, err := s.reach(ctx)
		if err != nil {
			return nil
		}
		defer way.close()
		names, err := way.list(ctx)
		if err != nil {
			return nil
		}
		return names
	})
}

// service fetches what the line's first argument names.
func (c *completer) service(ctx context.Context, collect func(discovery.Service) []string) []string {
	if len(c.arguments) == 0 {
		return nil
	}
	return c.ask(ctx, func(ctx context.Context, s *session) []string {
		way, err := s.reach(ctx)
		if err != nil {
			return nil
		}
		defer way.close()
		services, err := way.get(ctx, c.arguments[0])
		if err != nil {
			return nil
		}
		var found []string
		for _, service := range services {
			found = append(found, collect(service)...)
		}
		slices.Sort(found)
		return slices.Compact(found)
	})
}

func (c *completer) methods(ctx context.Context) []string {
	return c.service(ctx, func(service discovery.Service) []string {
		var names []string
		for _, e := range service.Endpoints {
			names = append(names, e.Name)
		}
		return names
	})
}

func (c *completer) nodes(ctx context.Context) []string {
	return c.service(ctx, func(service discovery.Service) []string {
		var ids []string
		for _, n := range service.Nodes {
			ids = append(ids, n.ID)
		}
		return ids
	})
}
