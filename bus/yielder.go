package bus

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A yielder lets other goroutines run, unless that has taken long lately: see
// longYield.
type yielder struct {
	made  time.Time
	until atomic.Int64 // no yield before this, after made
}

func (y *yielder) yield() {
	now := time.Since(y.made)
	if int64(now) < y.until.Load() {
		return
	}
	runtime.Gosched()
	if took := time.Since(y.made) - now; took > longYield {
		y.until.Store(int64(now + yieldRest*took))
	}
}
