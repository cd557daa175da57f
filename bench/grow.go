package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// together is how many units are opened, or used, at a time. More are no faster
// on two processors, and keep the broker from its pings.
const together = 16

// A unit is one of many of a kind, a stream or a connection, that stays open.
// It is used by sending a small message there and back.
type unit func(ctx context.Context) error

// A growth opens ever more units and keeps them.
type growth struct {
	open  func(ctx context.Context, n int) (unit, error)
	units []unit
}

// to opens as many as are missing. All fail if one does.
func (g *growth) to(ctx context.Context, count int) error {
	first := len(g.units)
	g.units = append(g.units, make([]unit, max(count-first, 0))...)
	return share(len(g.units)-first, func(n int) error {
		u, err := g.open(ctx, first+n)
		if err != nil {
			return fmt.Errorf("number %d: %w", first+n+1, err)
		}
		g.units[first+n] = u
		return nil
	})
}

// use uses every unit once.
func (g *growth) use(ctx context.Context) error {
	return share(len(g.units), func(n int) error {
		if err := g.units[n](ctx); err != nil {
			return fmt.Errorf("number %d: %w", n+1, err)
		}
		return nil
	})
}

// share does count things, several at a time, until one fails.
func share(count int, do func(n int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range min(together, count) {
		workers.Go(func() {
			for failed.Load() == nil {
				n := int(next.Add(1)) - 1
				if n >= count {
					return
				}
				if err := do(n); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// grower is the role of the process that opens the units of a holder.
func grower(name, broker, address string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		h, err := findHolder(name)
		if err != nil {
			return nil, err
		}
		open, err := h.dial(ctx, broker, address)
		return &role{growth: &growth{open: open}, stop: func() {}}, err // it ends with everything open
	}
}

// keeper is the role of the service at the other end of them.
func keeper(name, broker string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		h, err := findHolder(name)
		if err != nil {
			return nil, err
		}
		address, stop, err := h.serve(ctx, broker)
		return &role{address: address, stop: stop}, err
	}
}

// grow carries an order to a growth out, and tells how long that took.
func (g *growth) grow(ctx context.Context, o order) (time.Duration, error) {
	start := time.Now()
	var err error
	if o.Grow > len(g.units) {
		err = g.to(ctx, o.Grow)
	}
	if err == nil && o.Use {
		err = g.use(ctx)
	}
	return time.Since(start), err
}

// rest collects garbage and gives free memory back, and tells how many bytes of
// its own the process has left in RAM, or heap and stacks where that is unknown.
// Pools need two collections to be empty.
func rest() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	if own := ownBytes(); own > 0 {
		return own
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
