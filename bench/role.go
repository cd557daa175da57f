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
	Grow int   `json:"grow,omitempty"` // so many units have to be open
	Use  bool  `json:"use,omitempty"`  // all of them, once each
	Rest bool  `json:"rest,omitempty"` // before the memory is looked at
}

// A report is one line that it writes: when it is ready, and after each order.
type report struct {
	Address string             `json:"address,omitempty"`
	Error   string             `json:"error,omitempty"`
	Result  *result            `json:"result,omitempty"`
	CPU     time.Duration      `json:"cpu"`               // used so far
	RSS     int64              `json:"rss,omitempty"`     // bytes
	Own     int64              `json:"own,omitempty"`     // bytes that are its own, after a rest
	Elapsed time.Duration      `json:"elapsed,omitempty"` // of growing and using
	Numbers map[string]float64 `json:"numbers,omitempty"` // of the role's own
}

// A role is what runs in one process.
type role struct {
	address string
	client  *client // nil for those that only serve
	growth  *growth // nil for those that open no units
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
		if err := write.Encode(r.obey(ctx, o)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// obey carries an order out.
func (r *role) obey(ctx context.Context, o order) (answer report) {
	if o.Load != nil && r.client != nil {
		got := run(ctx, r.client, *o.Load)
		answer.Result = &got
	}
	if r.growth != nil && (o.Grow > 0 || o.Use) {
		limited, cancel := context.WithTimeout(ctx, 2*patience)
		defer cancel()
		var err error
		if answer.Elapsed, err = r.growth.grow(limited, o); err != nil {
			answer.Error = err.Error()
		}
	}
	if r.numbers != nil {
		answer.Numbers = r.numbers()
	}
	if o.Rest {
		answer.Own = rest()
	}
	answer.CPU, answer.RSS = usedCPU(), residentBytes(os.Getpid())
	return answer
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

// front is the role of what stands before a contender's service.
func front(name, broker string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		c, err := find(name)
		if err != nil {
			return nil, err
		}
		if c.front == nil {
			return nil, fmt.Errorf("nothing stands before the service of %s", name)
		}
		address, stop, err := c.front(ctx, broker)
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
		if c.dial == nil {
			return nil, fmt.Errorf("the client of %s is another program", name)
		}
		client, err := c.dial(ctx, broker, address)
		if err != nil {
			return nil, err
		}
		return &role{client: client, stop: client.close}, nil
	}
}
