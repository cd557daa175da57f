package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

type healthCommand struct {
	Service string `arg:"" complete:"service" help:"Service whose instances are asked."`
}

// Help explains what the one-line summary cannot.
func (*healthCommand) Help() string {
	return `Every instance is asked on its own. The exit code is 1 if one of them does not
say ok.`
}

// A healthLine is one instance in the JSON output.
type healthLine struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Address string `json:"address"`
	Status  string `json:"status"`
}

// Run asks every instance how it is.
func (c *healthCommand) Run(ctx context.Context, s *session) error {
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	ctx, cancel := s.within(ctx)
	defer cancel()
	s.begin("asking the instances of " + c.Service)
	services, answers, err := askAll(ctx, way, c.Service, rpc.MethodHealth)
	if err != nil {
		return err
	}
	pingRest(ctx, way, services, answers)
	var b strings.Builder
	fmt.Fprintf(&b, "service  %s\n", c.Service)
	var lines []healthLine
	sick := false
	for _, service := range services {
		formatVersion(&b, service.Version)
		b.WriteString("\nnode\t\taddress:port\t\tstatus\n")
		for _, n := range service.Nodes {
			status := healthStatus(answers[n.ID])
			sick = sick || status != "ok"
			fmt.Fprintf(&b, "%s\t\t%s\t\t%s\n", n.ID, where(n), status)
			lines = append(lines, healthLine{n.ID, service.Version, where(n), status})
		}
	}
	if err := s.printTable(b.String(), lines); err != nil {
		return err
	}
	if sick {
		return errReported
	}
	return nil
}

// pingRest asks the instances that have no Debug.Health whether they are there.
func pingRest(ctx context.Context, way reach, services []discovery.Service, answers map[string]asked) {
	for _, service := range services {
		for _, n := range service.Nodes {
			if n.Port != 0 || answers[n.ID].err == nil || answers[n.ID].err.Code != bus.Unimplemented {
				continue
			}
			if err := way.ping(ctx, service.Name, n); err != nil {
				answers[n.ID] = asked{err: bus.AsError(err)}
			} else {
				answers[n.ID] = asked{answer: json.RawMessage(`{"status":"ok"}`)}
			}
		}
	}
}

func healthStatus(a asked) string {
	if a.err != nil {
		return oneLine(a.err)
	}
	var h rpc.Health
	if json.Unmarshal(a.answer, &h) != nil || h.Status == "" {
		return "no status in the answer"
	}
	return strings.Join(strings.Fields(h.Status), " ")
}

// printTable prints text, or with --output json what it shows.
func (s *session) printTable(text string, lines any) error {
	if s.json() {
		return s.printJSON(lines)
	}
	return s.printf("%s", text)
}
