package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

type benchCommand struct {
	Service     string   `arg:"" complete:"service" help:"Service to call."`
	Method      string   `arg:"" complete:"method" help:"Method of it."`
	Request     []string `arg:"" optional:"" help:"The request as JSON, @FILE, or - for standard input. Default {}."`
	Rate        float64  `placeholder:"N" help:"Calls per second, begun on time whether or not earlier ones have ended. Without it each of the callers begins a call when its last one has ended."`
	Count       int      `placeholder:"N" help:"Number of calls. Default 1000, without a limit with --duration."`
	Concurrency int      `placeholder:"N" help:"Number of callers, with --rate the most calls at a time. Default 1, with --rate 1000."`
	Duration    span     `placeholder:"TIME" help:"Begin no call after this long."`
}

// Help explains what the one-line summary cannot.
func (*benchCommand) Help() string {
	return `A latency is counted from the moment a call was due, so with --rate a service that
falls behind shows it. --output json prints {ok, errors: {CODE: N}, p50_ms, p99_ms,
max_ms, per_second}. The exit code is 0 if any call succeeded.

    mbus bench go.micro.srv.greeter Say.Hello '{"name": "John"}' --concurrency 10
    mbus bench go.micro.srv.greeter Say.Hello --rate 500 --duration 10s --output json`
}

const (
	benchCount  = 1000
	benchInRate = 1000
)

// A benchResult is the JSON output.
type benchResult struct {
	OK     int            `json:"ok"`
	Errors map[string]int `json:"errors"`
	P50    float64        `json:"p50_ms"`
	P99    float64        `json:"p99_ms"`
	Max    float64        `json:"max_ms"`
	PerSec float64        `json:"per_second"`
}

// Run makes the calls and prints what they took.
func (c *benchCommand) Run(ctx context.Context, s *session) error {
	if err := c.settle(); err != nil {
		return err
	}
	q := queryCommand{Service: c.Service, Method: c.Method, Request: c.Request}
	request, err := q.request(s)
	if err != nil {
		return err
	}
	conn, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	client, release := s.newClient(ctx, conn, rpc.ClientConfig{Timeout: -1, Retries: new(0)})
	defer release()
	b := &bench{client: client, request: request, session: s, errors: map[string]int{}}
	s.begin("calling " + c.Service + " " + c.Method)
	start := time.Now()
	b.run(ctx, c)
	result := b.result(time.Since(start))
	if err := s.printTable(result.text(), result); err != nil {
		return err
	}
	switch {
	case interrupted(ctx):
		return context.Cause(ctx)
	case result.OK == 0 && b.first != nil:
		return b.first
	}
	return nil
}

// settle checks the flags and fills in what was left out.
func (c *benchCommand) settle() error {
	if c.Rate < 0 || c.Count < 0 || c.Concurrency < 0 {
		return usagef("--rate, --count and --concurrency cannot be negative")
	}
	if c.Rate > 1e6 {
		return usagef("--rate %g is over 1000000 calls a second", c.Rate)
	}
	if c.Concurrency > 1e5 {
		return usagef("--concurrency %d is over 100000 callers", c.Concurrency)
	}
	if c.Count == 0 && c.Duration == 0 {
		c.Count = benchCount
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1
		if c.Rate > 0 {
			c.Concurrency = benchInRate
		}
	}
	return nil
}

// A bench is the calls of one run and what became of them.
type bench struct {
	client  *rpc.Client
	request *rpc.Request
	session *session

	mu        sync.Mutex
	ok        int
	errors    map[string]int
	first     error // the first that failed
	latencies latencies
}

func (b *bench) run(ctx context.Context, c *benchCommand) {
	due := make(chan time.Time) // when each call should begin; zero is at once
	var callers sync.WaitGroup
	for range c.Concurrency {
		callers.Go(func() {
			for at := range due {
				b.call(ctx, at)
			}
		})
	}
	b.schedule(ctx, c, due)
	close(due)
	callers.Wait()
}

// schedule hands out the calls until there are enough of them.
func (b *bench) schedule(ctx context.Context, c *benchCommand, due chan<- time.Time) {
	start := time.Now()
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	for n := 0; c.Count == 0 || n < c.Count; n++ {
		var at time.Time
		if c.Rate > 0 {
			at = start.Add(time.Duration(float64(n) / c.Rate * float64(time.Second)))
			if early := time.Until(at); early > 0 {
				wait.Reset(early)
				select {
				case <-wait.C:
				case <-ctx.Done():
				}
			}
		}
		if c.Duration > 0 && time.Since(start) >= time.Duration(c.Duration) {
			return
		}
		select {
		case due <- at:
		case <-ctx.Done():
			return
		}
	}
}

func (b *bench) call(ctx context.Context, at time.Time) {
	if at.IsZero() {
		at = time.Now()
	}
	limited, cancel := b.session.within(ctx)
	defer cancel()
	_, err := b.client.Do(limited, b.request)
	took := time.Since(at)
	if err != nil && interrupted(ctx) {
		return // it was not the service that ended it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.errors[bus.AsError(err).Code.String()]++
		if b.first == nil {
			b.first = err
		}
		return
	}
	b.ok++
	b.latencies.add(took)
}

func (b *bench) result(took time.Duration) benchResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	return benchResult{
		OK: b.ok, Errors: b.errors, PerSec: round(float64(b.ok) / took.Seconds()),
		P50: milliseconds(b.latencies.quantile(0.50)), P99: milliseconds(b.latencies.quantile(0.99)), Max: milliseconds(b.latencies.max),
	}
}

func milliseconds(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// round keeps three digits behind the point, which is more than is certain.
func round(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }

func (r benchResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ok          %d\n", r.OK)
	for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(&b, "errors      %d %s\n", r.Errors[code], code)
	}
	fmt.Fprintf(&b, "per second  %g\np50         %g ms\np99         %g ms\nmax         %g ms\n", r.PerSec, r.P50, r.P99, r.Max)
	return b.String()
}
