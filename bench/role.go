package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// An order is one line that a process of the benchmark reads. Its input ends
// when it has to stop, also when whoever started it is gone.
type order struct {
	Load *load `json:"load,omitempty"` // nil asks for the usage only
}

// A report is one line that it writes: when it is ready, and after each order.
type report struct {
	Address string             `json:"address,omitempty"`
	Error   string             `json:"error,omitempty"`
	Result  *result            `json:"result,omitempty"`
	CPU     time.Duration      `json:"cpu"`               // used so far
	RSS     int64              `json:"rss,omitempty"`     // bytes
	Numbers map[string]float64 `json:"numbers,omitempty"` // of the role's own
}

// A role is what runs in one process.
type role struct {
	address string
	client  *client // nil for those that only serve
	numbers func() map[string]float64
	stop    func()
}

// play runs a role until its input ends.
func play(ctx context.Context, in io.Reader, out io.Writer, start func(context.Context) (*role, error)) error {
	write := json.NewEncoder(out)
	starting, cancel := context.WithTimeout(ctx, patience)
	r, err := start(starting)
	cancel()
	if err != nil {
		return write.Encode(report{Error: err.Error()})
	}
	defer r.stop()
	if err := write.Encode(report{Address: r.address, CPU: usedCPU()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		answer := report{}
		if o.Load != nil && r.client != nil {
			got := run(ctx, r.client, *o.Load)
			answer.Result = &got
		}
		if r.numbers != nil {
			answer.Numbers = r.numbers()
		}
		answer.CPU, answer.RSS = usedCPU(), residentBytes(os.Getpid())
		if err := write.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// server is the role of a contender's service.
func server(name, broker string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		c, err := find(name)
		if err != nil {
			return nil, err
		}
		if c.serve == nil {
			return nil, fmt.Errorf("%s has no service of its own", name)
		}
		address, stop, err := c.serve(ctx, broker)
		return &role{address: address, stop: stop}, err
	}
}

// caller is the role of a contender's client.
func caller(name, broker, address string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		c, err := find(name)
		if err != nil {
			return nil, err
		}
		client, err := c.dial(ctx, broker, address)
		if err != nil {
			return nil, err
		}
		return &role{client: client, stop: client.close}, nil
	}
}
