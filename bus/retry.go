package bus

import (
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

// A Retry says whether a failed call may be sent again without the risk of
// running a handler twice. The zero Retry is never.
type Retry = wire.Retry

// The fixed kinds of Retry.
const (
	RetryNever = wire.RetryNever // the handler may have run
	RetrySafe  = wire.RetrySafe  // the handler has not run: try again at once
)

// RetryAfter allows another try once d has passed; the handler has not run.
// Durations are kept to the millisecond.
func RetryAfter(d time.Duration) Retry { return wire.RetryAfter(d) }
