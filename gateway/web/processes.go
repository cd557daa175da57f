package web

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	// maxProcesses is how many nodes are asked at a time for memory and threads,
	// while somebody looks at the nodes; those asked longest ago come first.
	maxProcesses    = 100
	processFresh    = 5 * time.Second
	processPatience = time.Second
)

// due are the instances to ask next about their processes.
func (c *collector) due(now time.Time) []discovery.Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.nodesAsked) > interest && !c.hub.wants(topicNodes) {
		return nil
	}
	var all []*instance
	for _, i := range c.t.nodes {
		if _, ok := i.info.Endpoint(rpc.MethodStats); ok && !i.info.Registered() && now.Sub(i.processAsked) > processFresh {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b *instance) int {
		return cmp.Or(a.processAsked.Compare(b.processAsked), cmp.Compare(a.info.ID, b.info.ID))
	})
	var due []discovery.Instance
	for _, i := range all[:min(len(all), maxProcesses)] {
		i.processAsked = now
		due = append(due, i.info)
	}
	return due
}

// measure asks instances about their processes.
func (c *collector) measure(ctx context.Context, w *Web, now time.Time) {
	due := c.due(now)
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, processPatience)
	defer cancel()
	gather(len(due), func(n int) {
		var s rpc.Stats
		numbers := noProcess()
		if w.askOne(ctx, due[n], rpc.MethodStats, "{}", &s) == nil {
			numbers = processOf(&s)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := c.t.nodes[instanceKey{due[n].Service, due[n].ID}]; i != nil {
			i.process = numbers
		}
	})
}
