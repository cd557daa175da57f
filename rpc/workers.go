package rpc

import (
	"sync"
	"sync/atomic"
)

// maxParked bounds the goroutines of one server that wait for their next call.
const maxParked = 32

// workers run calls, each on a goroutine of its own. A goroutine that is done
// takes the next call if one comes, which spares the start of a new one; more
// than maxParked do not wait. How many run at once is bounded by the server's
// admission, not here.
type workers struct {
	calls  chan job // unbuffered: only a parked goroutine takes from it
	quit   chan struct{}
	parked atomic.Int32
	wg     sync.WaitGroup
}

// A job is one call to serve.
type job interface{ serve() }

var (
	_ job = (*inbound)(nil)
	_ job = (*parting)(nil)
	_ job = (*local)(nil)
)

func newWorkers() *workers {
	return &workers{calls: make(chan job), quit: make(chan struct{})}
}

func (w *workers) run(c job) {
	select {
	case w.calls <- c:
	default:
		w.wg.Go(func() { w.loop(c) })
	}
}

func (w *workers) loop(c job) {
	for {
		c.serve()
		if w.parked.Add(1) > maxParked {
			w.parked.Add(-1)
			return
		}
		select {
		case c = <-w.calls:
			w.parked.Add(-1)
		case <-w.quit:
			return
		}
	}
}

// stop ends the parked goroutines, and those at work once they are done. It
// waits for them unless some are known to be stuck.
func (w *workers) stop(wait bool) {
	close(w.quit)
	if wait {
		w.wg.Wait()
	}
}
