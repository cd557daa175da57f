package main

import (
	"fmt"
	"time"
)

// A cell is one thing that every contender is measured at.
type cell struct {
	Case     string  // unary, open, stream, events, gateway or local
	InFlight int     // of unary and gateway
	Size     int     // bytes each way
	Rate     float64 // of open, calls per second
	Fan      int     // of events, subscribers
	Procs    int     // of a cell with and without the yield, GOMAXPROCS of all processes
}

func (c cell) String() string {
	if c.Procs > 0 {
		usual := c
		usual.Procs = 0
		return fmt.Sprintf("with and without the yield, %d threads: %s", c.Procs, usual.String())
	}
	switch c.Case {
	case "unary":
		return fmt.Sprintf("unary, %d in flight, %s", c.InFlight, size(c.Size))
	case "open":
		return fmt.Sprintf("open loop, %g calls a second, %s", c.Rate, size(c.Size))
	case "gateway":
		return fmt.Sprintf("HTTP to the bus and back, %d connections, %s", c.InFlight, size(c.Size))
	case "local":
		return fmt.Sprintf("one call after the other in one process, %s", size(c.Size))
	case "stream":
		return "stream, " + size(c.Size)
	}
	return fmt.Sprintf("events to %d, %s", c.Fan, size(c.Size))
}

func size(n int) string {
	if n >= 1<<10 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// A plan is how much is measured.
type plan struct {
	Reps         int
	Window, Warm time.Duration
	Heat         time.Duration // of each contender, once
	Calls        []cell        // unary and open
	Streams      []cell
	Events       []cell
	Gateway      []cell
	Local        []cell        // calls within a process, one after the other
	Instances    []int         // of discovery
	Watch        time.Duration // of discovery, at least one beat
	Starts       int           // of the node, and of the command
	Counts       []int         // of streams and of connections
	Idle         time.Duration // that these are left alone
	Yields       []cell        // with and without the yield before a write
	YieldReps    int
}

const (
	small  = 16
	medium = 1 << 10
	large  = 64 << 10
)

// paces are the plans by name.
func paces(name string) (plan, error) {
	p := plan{
		Streams: []cell{{Case: "stream", Size: small}, {Case: "stream", Size: medium}},
		Events:  []cell{{Case: "events", Fan: 1, Size: small}, {Case: "events", Fan: 4, Size: small}},
		Gateway: []cell{{Case: "gateway", InFlight: 64, Size: small}},
		Local:   []cell{{Case: "local", Size: small}},
	}
	unary := func(inFlight, size int) {
		p.Calls = append(p.Calls, cell{Case: "unary", InFlight: inFlight, Size: size})
	}
	open := func(rate float64) { p.Calls = append(p.Calls, cell{Case: "open", Rate: rate, Size: small}) }
	switch name {
	case "quick":
		p.Reps, p.Window, p.Warm, p.Heat = 3, 200*time.Millisecond, 50*time.Millisecond, 300*time.Millisecond
		p.Instances, p.Watch, p.Starts = []int{100, 1000}, 3*time.Second, 5
		p.Counts, p.Idle = []int{100, 1000}, 500*time.Millisecond
		p.Streams, p.Events = p.Streams[:1], p.Events[:1]
		unary(1, small)
		unary(64, small)
		open(2000)
	case "normal":
		p.Reps, p.Window, p.Warm, p.Heat = 3, 600*time.Millisecond, 100*time.Millisecond, time.Second
		p.Instances, p.Watch, p.Starts = []int{100, 1000, 10_000}, 10*time.Second, 15
		p.Counts, p.Idle = []int{100, 1000, 10_000}, time.Second
		p.yields(3, 10_000)
		for _, n := range []int{1, 16, 64, 256} {
			unary(n, small)
		}
		unary(64, medium)
		unary(64, large)
		open(5000)
	case "full":
		p.Reps, p.Window, p.Warm, p.Heat = 9, 2*time.Second, 300*time.Millisecond, 3*time.Second
		p.Instances, p.Watch, p.Starts = []int{100, 1000, 10_000}, 30*time.Second, 50
		p.Counts, p.Idle = []int{100, 1000, 10_000}, 5*time.Second
		p.yields(5, 5000, 10_000, 20_000)
		for _, size := range []int{small, medium, large} {
			for _, n := range []int{1, 16, 64, 256} {
				unary(n, size)
			}
		}
		open(5000)
		open(10_000)
		p.Events = append(p.Events, cell{Case: "events", Fan: 1, Size: medium}, cell{Case: "events", Fan: 4, Size: medium})
	default:
		return p, fmt.Errorf("no pace %q: there are quick, normal and full", name)
	}
	return p, nil
}
