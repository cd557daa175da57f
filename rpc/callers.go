package rpc

import (
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// maxKnownCallers bounds the callers that an endpoint tells apart.
	maxKnownCallers = 64
	// maxCallerName bounds the bytes of a name; longer ones are among the others.
	maxCallerName = 128
	otherCallers  = "other"
)

// callers count the requests of an endpoint by where they came from. The zero
// value is ready. Counting allocates only for a name that is new.
type callers struct {
	mu    sync.Mutex
	known atomic.Pointer[map[string]*atomic.Uint64] // replaced whenever a name is new
}

// count counts a request.
func (c *callers) count(from string) {
	if len(from) > maxCallerName {
		from = otherCallers
	}
	if known := c.known.Load(); known != nil {
		if n := (*known)[from]; n != nil {
			n.Add(1)
			return
		}
	}
	c.meet(from).Add(1)
}

// meet returns the counter of a name that was not there a moment ago.
func (c *callers) meet(from string) *atomic.Uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var before map[string]*atomic.Uint64
	if known := c.known.Load(); known != nil {
		before = *known
	}
	if n := before[from]; n != nil {
		return n
	}
	if len(before) >= maxKnownCallers {
		from = otherCallers
		if n := before[from]; n != nil {
			return n
		}
	}
	after := make(map[string]*atomic.Uint64, len(before)+1)
	for name, n := range before {
		after[name] = n
	}
	n := new(atomic.Uint64)
	after[strings.Clone(from)] = n
	c.known.Store(&after)
	return n
}

// read returns the counts, nil if there are none.
func (c *callers) read() map[string]uint64 {
	known := c.known.Load()
	if known == nil {
		return nil
	}
	out := make(map[string]uint64, len(*known))
	for name, n := range *known {
		out[name] = n.Load()
	}
	return out
}
