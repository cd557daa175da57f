package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A runner holds the processes of a run and what it has found.
type runner struct {
	plan     plan
	only     []string // contenders, none for all
	parts    []string // of the run, none for all
	env      []string // of processes started from now on
	mbus     string   // the program of the node and of the command
	errors   *os.File // what the processes write to standard error
	progress io.Writer

	broker   *child
	children []*child
	records  []record
}

func orchestrate(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	pace := flags.String("pace", "quick", "how much is measured: quick, normal or full")
	only := flags.String("only", "", "contenders, with commas between; none means all")
	parts := flags.String("parts", "", "calls, events, gateway, local, discovery, scale, yield or node, with commas between; none means all")
	dir := flags.String("out", "out", "where latest.json goes")
	docs := flags.String("docs", "", "where benchmarks.md and its charts go; none means nowhere")
	program := flags.String("mbus", "", "the mbus program, for the node and the command; none leaves them out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := paces(*pace)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(*dir, "stderr.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	r := &runner{plan: p, mbus: *program, errors: log, progress: os.Stderr}
	if *only != "" {
		r.only = strings.Split(*only, ",")
		for _, name := range r.only {
			if _, err := find(name); err != nil {
				return err
			}
		}
	}
	if *parts != "" {
		r.parts = strings.Split(*parts, ",")
	}
	begun := time.Now()
	if err := r.run(ctx); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(*dir, "latest.json"), r.records); err != nil {
		return err
	}
	if err := writeTables(out, r.records); err != nil {
		return err
	}
	fmt.Fprintf(r.progress, "took %s\n", time.Since(begun).Round(time.Second))
	if *docs == "" {
		return nil
	}
	return writeDocs(*docs, *pace, p, begun, r.records)
}

// run measures everything and leaves no process behind.
func (r *runner) run(ctx context.Context) error {
	defer r.clear(0)
	steps := []struct {
		name string
		run  func(context.Context) error
	}{{"calls", r.calls}, {"events", r.events}, {"gateway", r.gateway}, {"local", r.local}, {"yield", r.yield}, {"discovery", r.discovery}, {"scale", r.scale}, {"node", r.node}}
	command, err := self("broker")
	if err != nil {
		return err
	}
	if r.broker, err = r.spawn("broker", command); err != nil {
		return err
	}
	for _, step := range steps {
		if len(r.parts) > 0 && !slices.Contains(r.parts, step.name) {
			continue
		}
		begun := time.Now()
		if err := step.run(ctx); err != nil {
			return err
		}
		fmt.Fprintf(r.progress, "%s: took %s\n", step.name, time.Since(begun).Round(time.Second))
	}
	return nil
}

func (r *runner) spawn(name string, command []string) (*child, error) {
	c, err := spawn(name, r.errors, command, r.env)
	if err == nil {
		r.children = append(r.children, c)
	}
	return c, err
}

// role starts a role of this program.
func (r *runner) role(args ...string) (*child, error) {
	command, err := self(args...)
	if err != nil {
		return nil, err
	}
	return r.spawn(strings.Join(args, " "), command)
}

// clear stops the processes that were started after the first n, the newest
// first.
func (r *runner) clear(n int) {
	for _, c := range slices.Backward(r.children[n:]) {
		c.stop()
	}
	r.children = r.children[:n]
}

// calls measures the calls and the streams.
func (r *runner) calls(ctx context.Context) error {
	before := len(r.children)
	defer r.clear(before)
	var pairs []*pair
	for _, c := range callers() {
		pairs = append(pairs, r.pair(c, 1))
	}
	for _, p := range pairs { // so that compilers at run time have seen the code
		if p.missing != "" {
			continue
		}
		if _, err := p.load(load{Size: small, InFlight: 64, Duration: r.plan.Heat}); err != nil {
			p.missing = reason(err)
		}
	}
	for _, k := range append(slices.Clone(r.plan.Calls), r.plan.Streams...) {
		if err := r.cell(ctx, pairs, k); err != nil {
			return err
		}
	}
	return nil
}

// gateway measures the way from HTTP to the bus and back.
func (r *runner) gateway(ctx context.Context) error {
	before := len(r.children)
	defer r.clear(before)
	var pairs []*pair
	for _, c := range gateways() {
		pairs = append(pairs, r.pair(c, 1))
	}
	for _, k := range r.plan.Gateway {
		if err := r.cell(ctx, pairs, k); err != nil {
			return err
		}
	}
	return nil
}

// events measures the events, with as many subscriber processes as a cell says.
func (r *runner) events(ctx context.Context) error {
	for _, k := range r.plan.Events {
		before := len(r.children)
		var pairs []*pair
		for _, c := range publishers() {
			pairs = append(pairs, r.pair(c, k.Fan))
		}
		err := r.cell(ctx, pairs, k)
		r.clear(before)
		if err != nil {
			return err
		}
	}
	return nil
}

// pair starts the processes of a contender. One that cannot be started stays
// in the tables with the reason.
func (r *runner) pair(c contender, services int) *pair {
	p := &pair{contender: c, counts: map[cell]int{}}
	if r.skips(c.name) {
		p.missing = "not asked for"
		return p
	}
	if err := r.start(p, services); err != nil {
		p.missing = reason(err)
	}
	return p
}

// reason is an error as a cell of a table can hold it.
func reason(err error) string {
	text := strings.ReplaceAll(strings.Join(strings.Fields(err.Error()), " "), "|", "/")
	if len(text) > 120 {
		text = strings.ToValidUTF8(text[:120], "") + "…"
	}
	return text
}

// skips tells that a contender was not asked for. The floors always run.
func (r *runner) skips(name string) bool {
	return len(r.only) > 0 && !slices.Contains(r.only, name) && !strings.HasPrefix(name, "raw") && name != gateways()[0].name && name != unyielding && name != codecAlone
}

func (r *runner) start(p *pair, services int) error {
	command := p.program
	if command == nil {
		command = func(role, broker, address string) ([]string, error) {
			args := []string{role, p.name, broker}
			switch {
			case role == "call" && p.events:
				args = append(args, strconv.Itoa(services))
			case role == "call" && p.serve != nil:
				args = append(args, address)
			}
			return self(args...)
		}
	}
	start := func(role string) (*child, error) {
		address := ""
		if n := len(p.services); n > 0 {
			address = p.services[n-1].address
		}
		line, err := command(role, r.broker.address, address)
		if err != nil {
			return nil, err
		}
		return r.spawn(role+" "+p.name, line)
	}
	for range services {
		if p.serve == nil && p.program == nil {
			break
		}
		c, err := start("serve")
		if err != nil {
			return err
		}
		p.services = append(p.services, c)
	}
	if p.front != nil {
		c, err := start("front")
		if err != nil {
			return err
		}
		p.services = append(p.services, c)
	}
	var err error
	p.client, err = start("call")
	return err
}

// cell measures all contenders at one thing, there and back: each repetition
// takes them in the other order, so that none always follows the same one.
func (r *runner) cell(ctx context.Context, pairs []*pair, k cell) error {
	samples := make([][]sample, len(pairs))
	failed := make([]string, len(pairs))
	for i, p := range pairs {
		failed[i] = p.missing
		if k.Case == "stream" && failed[i] == "" {
			failed[i] = p.streams
		}
	}
	for rep := range r.plan.Reps {
		order := make([]int, len(pairs))
		for i := range order {
			order[i] = i
		}
		if rep%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			if failed[i] != "" {
				continue
			}
			if err := ctx.Err(); err != nil {
				return errors.New("stopped")
			}
			s, err := r.sample(pairs[i], k)
			if err != nil {
				failed[i] = reason(err)
				continue
			}
			samples[i] = append(samples[i], s)
		}
	}
	if failed[0] != "" {
		return fmt.Errorf("the floor failed, and there is nothing to divide by: %s: %s", k, failed[0])
	}
	fmt.Fprintf(r.progress, "%s:", k)
	for i, p := range pairs {
		rec := summary(p.contender, k, samples[i], samples[0], failed[i])
		r.records = append(r.records, rec)
		fmt.Fprintf(r.progress, " %s %s", p.name, rec.short())
	}
	fmt.Fprintln(r.progress)
	return nil
}
