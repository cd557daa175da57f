package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/rpc"
)

type statsCommand struct {
	Service string `arg:"" complete:"service" help:"Service whose instances are asked."`
}

// A statsLine is one instance in the JSON output.
type statsLine struct {
	Node    string     `json:"node"`
	Version string     `json:"version"`
	Address string     `json:"address"`
	Stats   *rpc.Stats `json:"stats,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// Run asks every instance for its counters. An instance that does not answer
// has empty columns, as in Micro, and JSON output says why.
func (c *statsCommand) Run(ctx context.Context, s *session) error {
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	ctx, cancel := s.within(ctx)
	defer cancel()
	s.begin("asking the instances of " + c.Service)
	services, answers, err := askAll(ctx, way, c.Service, rpc.MethodStats)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "service  %s\n", c.Service)
	var lines []statsLine
	for _, service := range services {
		formatVersion(&b, service.Version)
		b.WriteString("\nnode\t\taddress:port\t\tstarted\tuptime\tmemory\tthreads\tgc\n")
		for _, n := range service.Nodes {
			line := newStatsLine(answers[n.ID])
			line.Node, line.Version, line.Address = n.ID, service.Version, where(n)
			lines = append(lines, line)
			fmt.Fprintf(&b, "%s\t\t%s\t\t%s\n", n.ID, line.Address, statsColumns(line.Stats))
			if line.Error != "" {
				s.warn("%s: %s", n.ID, line.Error)
			}
		}
	}
	return s.printTable(b.String(), lines)
}

func newStatsLine(a asked) statsLine {
	if a.err != nil {
		return statsLine{Error: oneLine(a.err)}
	}
	stats := &rpc.Stats{}
	if err := json.Unmarshal(a.answer, stats); err != nil {
		return statsLine{Error: "no statistics in the answer"}
	}
	return statsLine{Stats: stats}
}

// statsColumns are the columns from started on.
func statsColumns(st *rpc.Stats) string {
	if st == nil {
		return "\t\t\t0\t"
	}
	return fmt.Sprintf("%s\t%s\t%.2fmb\t%d\t%s",
		time.Unix(st.Started, 0).Format("Jan 2 15:04:05"), time.Duration(st.Uptime)*time.Second,
		float64(st.Memory)/(1<<20), st.Threads, time.Duration(st.GC))
}
