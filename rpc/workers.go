package rpc

import "sync"

// maxParked bounds the goroutines of one server that wait for their next call.
const maxParked = 64

// workers run calls, each on a goroutine of its own. A goroutine that is done
// takes the next call if one comes, which spares the start of a new one; more
// than maxParked do not wait. How many run at once is bounded by the server's
// admission, not here.
type workers struct {
	mu      sync.Mutex
	parked  []chan job // one of each that waits; the last to come is the next to go
	stopped bool
	wg      sync.WaitGroup
}

// A job is one call to serve.
type job interface{ serve() }

var (
	_ job = (*inbound)(nil)
	_ job = (*parting)(nil)
	_ job = (*batch)(nil)
	_ job = (*local)(nil)
)

func (w *workers) run(c job) {
	if next := w.unpark(); next != nil {
		next <- c // has room for one
		return
	}
	w.wg.Go(func() { w.loop(c) })
}

func (w *workers) loop(c job) {
	next := make(chan job, 1)
	for ok := true; ok; c, ok = <-next {
		c.serve()
		if !w.park(next) {
			return
		}
	}
}

// park reports whether the goroutine that is done should wait.
func (w *workers) park(next chan job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || len(w.parked) == maxParked {
		return false
	}
	w.parked = append(w.parked, next)
	return true
}

func (w *workers) unpark() chan job {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.parked) - 1
	if last < 0 {
		return nil
	}
	next := w.parked[last]
	w.parked = w.parked[:last]
	return next
}

// stop ends the parked goroutines, and those at work once they are done. It
// waits for them unless some are known to be stuck.
func (w *workers) stop(wait bool) {
	w.mu.Lock()
	for _, next := range w.parked {
		close(next)
	}
	w.parked, w.stopped = nil, true
	w.mu.Unlock()
	if wait {
		w.wg.Wait()
	}
}
