//go:build unix

package e2e_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A clocks is a lab of processes whose clocks differ.
type clocks struct {
	*lab
	ahead    map[string]time.Duration // by the name of the clock
	programs map[string]map[program]string
}

// openClocks has the names of three clocks, of which two are an hour off.
func openClocks(t *testing.T) (*clocks, error) {
	t.Helper()
	c := &clocks{ahead: map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour, "right": 0}, programs: map[string]map[program]string{}}
	programs := []program{worker, load, mbus}
	for name, ahead := range c.ahead {
		c.programs[name] = map[program]string{}
		for _, p := range programs {
			c.programs[name][p] = p.path()
		}
		if ahead == 0 {
			continue
		}
		var err error
		if c.programs[name], err = skewedPrograms(t, ahead, programs...); err != nil {
			return nil, err
		}
	}
	c.lab = openLab(t, startNode(t, "--ephemeral"))
	maps.Copy(c.lab.ahead, c.ahead) // the workers have the names of their clocks
	return c, nil
}

func (c *clocks) names() []string { return slices.Sorted(maps.Keys(c.ahead)) }

// worker starts an instance that has a clock, and its name.
func (c *clocks) worker(clock string) *process {
	c.t.Helper()
	w := c.launch(clock, c.b, command{path: c.programs[clock][worker], args: c.workerArgs(clock)})
	c.showsItsClock(w, clock)
	return w
}

func (c *clocks) load(clock, kind string, timeout time.Duration, args ...string) *generator {
	c.t.Helper()
	name := kind + "-" + clock
	g := c.generate(command{path: c.programs[clock][load], args: c.loadArgs(name, timeout, args...)}, name, timeout, c.ahead[clock])
	c.showsItsClock(g.process, clock)
	return g
}

func (c *clocks) mbus(clock string, args ...string) command {
	return command{path: c.programs[clock][mbus], args: args}.with(c.b.environment()...)
}

// showsItsClock is the control: without it all clocks might be right.
func (c *clocks) showsItsClock(p *process, clock string) {
	c.t.Helper()
	line, at := p.await(c.t, startup, `"ready":true`)
	off := time.Unix(decode[struct{ Clock int64 }](c.t, line).Clock, 0).Sub(at)
	if wrong := off - c.ahead[clock]; wrong.Abs() > time.Minute {
		c.t.Fatalf("the clock of %s is %v off, want %v", p.name, off, c.ahead[clock])
	}
	c.event("the clock of %s is %v off", filepath.Base(p.cmd.Path), off.Round(time.Second))
}

// An hour that the clocks of services, callers and commands are off, in both
// directions, changes nothing: no time of a clock is on the bus.
func TestChaosClockSkew(t *testing.T) {
	t.Parallel()
	c, err := openClocks(t)
	if err != nil {
		gap(t, "clocks that are an hour off change nothing", "the clock of a Go program could not be set: "+err.Error())
		return
	}
	const how = "an hour ahead, an hour behind and right, mixed"
	watches := map[string]*process{}
	var workers []*process
	for _, clock := range c.names() {
		watches[clock] = start(t, c.mbus(clock, "registry", "watch", "--snapshot", "--output", "json"))
		workers = append(workers, c.worker(clock))
	}
	var calls, talks, slow []*generator
	for _, clock := range c.names() {
		calls = append(calls, c.load(clock, "call", callTimeout, "-request", `"millis":5`, "-plan", "100:0s"))
		talks = append(talks, c.load(clock, "talk", 10*time.Second, "-streams", "7"))
		slow = append(slow, c.load(clock, "slow", 300*time.Millisecond, "-request", `"millis":2000`, "-plan", "40:3s"))
	}
	for _, clock := range c.names() {
		c.seesAll(clock)
	}
	// Beats that count for too old would be missed after seven seconds.
	c.pass(8 * time.Second)
	for _, clock := range c.names() {
		c.seesAll(clock)
		if text := watches[clock].stdout.String(); strings.Contains(text, `"delete"`) {
			t.Errorf("the watch whose clock is %s saw an instance go: %s", clock, text)
		}
	}
	report(t, "discovery shows all, to everyone, and nobody goes", !t.Failed(), how, "%d instances", len(workers))

	var all, conversations, timeouts history
	for i := range calls {
		all.add(calls[i].end())
		conversations.add(talks[i].end())
		timeouts.add(slow[i].complete())
	}
	report(t, "no call fails", len(all.failed().calls) == 0, how, "%s %s", all, all.failed().list())
	report(t, "no stream fails", len(conversations.failed().calls) == 0, how, "%d of %d conversations %s",
		len(conversations.failed().calls), len(conversations.calls), conversations.failed().list())
	book := c.ledger()
	late := append(book.tooLate(all), book.tooLate(timeouts)...)
	report(t, "no handler begins after the time of its call", len(late) == 0, how+", ledger", "%d %s", len(late), joined(late))
	c.deadlines(timeouts, book, how)

	// The control: with the clocks as they are, the ledger shows calls an hour
	// too late.
	clear(c.lab.ahead)
	if wrong := c.ledger(); len(wrong.tooLate(all)) == 0 {
		t.Error("the ledger of a clock that is ahead shows no call that is late")
	}
	stopAll(t, workers...)
}

// seesAll runs commands that have a clock and must show every instance.
func (c *clocks) seesAll(clock string) {
	c.t.Helper()
	if out := succeed(c.t, c.mbus(clock, "list", "services")); !slices.Contains(strings.Fields(out), "worker") {
		c.t.Errorf("mbus list, its clock %s: %q", clock, out)
	}
	for _, args := range [][]string{{"get", "service", "worker"}, {"health", "worker"}} {
		out := succeed(c.t, c.mbus(clock, args...))
		for _, name := range c.names() {
			if !strings.Contains(out, "worker-"+name) {
				c.t.Errorf("mbus %s, its clock %s, does not show the instance whose clock is %s:\n%s", args[0], clock, name, out)
			}
		}
	}
}

// deadlines checks calls that take longer than their time: both ends give up
// when it is over, whatever their clocks say. Pairs whose clocks are right show
// what the machine adds.
func (c *clocks) deadlines(h history, book ledger, how string) {
	c.t.Helper()
	const promise = 50 * time.Millisecond
	ends, cancels := map[string][]time.Duration{}, map[string][]time.Duration{}
	for _, x := range h.calls {
		caller, _, _ := strings.Cut(strings.TrimPrefix(x.ID, "slow-"), "-")
		if !x.timedOut() || len(book[x.ID]) > 1 {
			c.t.Errorf("%v, executed %d times; want a timeout", x, len(book[x.ID]))
		}
		if len(book[x.ID]) == 0 {
			continue // it came after its time, on a busy machine
		}
		run := book[x.ID][0]
		pair := caller + " to " + run.by
		ends[pair] = append(ends[pair], time.Duration(x.End-x.Sent)-h.timeout)
		cancels[pair] = append(cancels[pair], time.Duration(run.cancelled-x.Sent)-h.timeout)
	}
	if len(ends) != len(c.ahead)*len(c.ahead) {
		c.t.Errorf("calls of %d pairs of clocks, want all %d", len(ends), len(c.ahead)*len(c.ahead))
	}
	for what, of := range map[string]map[string][]time.Duration{
		"a call ends when its time is over": ends, "its handler is cancelled within 50 ms of that": cancels,
	} {
		worst, where := time.Duration(0), ""
		for pair, times := range of {
			if m := median(times); m.Abs() >= worst.Abs() {
				worst, where = m, pair
			}
		}
		report(c.t, what, worst.Abs() <= promise, how, "of 9 pairs the worst median is %v off (%s); %v where both clocks are right",
			worst.Round(100*time.Microsecond), where, median(of["right to right"]).Round(100*time.Microsecond))
	}
}
