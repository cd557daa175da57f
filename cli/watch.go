package cli

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/discovery"
)

type watchCommand struct {
	Service  []string `arg:"" optional:"" complete:"service" help:"Services to watch. Without any all are watched."`
	Snapshot bool     `help:"First print what is there already, as if it had just come."`
}

// Help explains what the one-line summary cannot.
func (*watchCommand) Help() string {
	return `Each change is a line: what happened, the service, its version and the instance.
--output json prints it as {"action": "create|update|delete", "service": {…},
"at": TIME}. The command runs until it is interrupted.`
}

// A watchLine is a change in the JSON output: the service with the one
// instance that it is about.
type watchLine struct {
	Action  discovery.Action  `json:"action"`
	Service discovery.Service `json:"service"`
	At      string            `json:"at"`
}

// Run prints changes.
func (c *watchCommand) Run(ctx context.Context, s *session) error {
	s.defaultLevel = zerolog.WarnLevel
	way, err := s.reach(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer way.close()
	s.begin("watching")
	defer s.endProgress()
	for line, err := range way.watch(ctx, c.Service, c.Snapshot) {
		if err == nil {
			err = s.printChange(line)
		}
		if err != nil {
			return stopped(ctx, err)
		}
		s.begin("watching")
	}
	return nil
}

func (s *session) printChange(l watchLine) error {
	if s.json() {
		return s.printLine(l)
	}
	node := ""
	if len(l.Service.Nodes) > 0 {
		node = l.Service.Nodes[0].ID
	}
	return s.printf("%s\t%s\t%s\t%s\n", l.Action, l.Service.Name, l.Service.Version, node)
}
