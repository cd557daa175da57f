package bus

import (
	"context"
	"sync/atomic"
)

// An ending is done once, however many ask for it. The first does it; the
// others wait for that, each no longer than its own context, which a sync.Once
// would ignore.
type ending struct {
	begun atomic.Bool
	done  chan struct{}
	err   error // once done is closed
}

func newEnding() *ending { return &ending{done: make(chan struct{})} }

// do returns the error of the first f, or why ctx ended before it was done.
func (e *ending) do(ctx context.Context, f func(context.Context) error) error {
	if e.begun.CompareAndSwap(false, true) {
		e.err = f(ctx)
		close(e.done)
		return e.err
	}
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
