package cli

import (
	"context"
	"slices"
	"strings"
)

type listCommand struct {
	Noun []string `arg:"" optional:"" complete:"noun" help:"The word services, or nothing."`
}

// Run prints the names of the services, one a line.
func (c *listCommand) Run(ctx context.Context, s *session) error {
	if len(c.Noun) > 1 || len(c.Noun) == 1 && c.Noun[0] != "services" && c.Noun[0] != "service" {
		return usagef("list lists services; there is no %q to list", strings.Join(c.Noun, " "))
	}
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	ctx, cancel := s.within(ctx)
	defer cancel()
	s.begin("asking who is there")
	names, err := way.list(ctx)
	if err != nil {
		return err
	}
	slices.Sort(names)
	if s.json() {
		return s.printJSON(append([]string{}, names...)) // never null
	}
	if len(names) == 0 {
		return nil
	}
	return s.printf("%s\n", strings.Join(names, "\n"))
}
