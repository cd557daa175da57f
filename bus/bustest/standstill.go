package bustest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// standstill is for how long, in real time, virtual time may stand still before
// that is worth a word.
const (
	standstill = 5 * time.Second
	lookEvery  = time.Second
)

// A clock watches from outside a bubble that virtual time goes on in it.
type clock struct {
	ticks atomic.Uint64
	stop  chan struct{}
	done  sync.WaitGroup
}

// watch starts a clock for the bubble of the named test. It says on standard
// error if time stands still, and why; the time limit of go test ends the test.
func watch(name string) *clock {
	c := &clock{stop: make(chan struct{})}
	c.done.Go(func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		last, since := uint64(0), time.Now()
		for {
			select {
			case <-c.stop:
				return
			case <-look.C:
			}
			if now := c.ticks.Load(); now != last {
				last, since = now, time.Now()
			}
			if time.Since(since) < standstill {
				continue
			}
			if waits := lockWaits(); waits != "" {
				fmt.Fprintf(os.Stderr, "bustest: virtual time of %s has stood still for %v, because a goroutine waits for a lock or the network, not for a channel or a timer:\n\n%s\n", name, standstill, waits)
				return
			}
		}
	})
	return c
}

// tick makes the clock go; it is called inside the bubble. The returned function
// stops it.
func (c *clock) tick() (stop func()) {
	c.ticks.Add(1)
	end := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				c.ticks.Add(1)
			case <-end:
				return
			}
		}
	})
	return func() { close(end); ticking.Wait() }
}

// end ends the watch.
func (c *clock) end() {
	close(c.stop)
	c.done.Wait()
}

// lockWaits returns the stacks of the goroutines in bubbles that wait for what
// does not let virtual time go on.
func lockWaits() string {
	var waits []string
	for g := range strings.SplitSeq(stacks(), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if !bubbleName.MatchString(head) || strings.Contains(head, "(durable)") {
			continue
		}
		if strings.Contains(head, "sync.") || strings.Contains(head, "IO wait") || strings.Contains(head, "semacquire") {
			waits = append(waits, g)
		}
	}
	return strings.Join(waits, "\n\n")
}
