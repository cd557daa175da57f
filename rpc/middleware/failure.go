package middleware

import "github.com/mbus-dev/mbus/bus"

// failed reports whether an error speaks of the service or the way to it: no
// answer in time, nobody listens, the broker is away, a fault of the service. A
// caller's own mistake, a handler's no and a cancel do not.
func failed(e *bus.Error) bool {
	switch e.End {
	case bus.Cancelled:
		return false
	case bus.Timeout, bus.Nobody, bus.Broker:
		return true
	}
	switch e.Code {
	case bus.Internal, bus.Unavailable, bus.DataLoss, bus.DeadlineExceeded:
		return true
	}
	return false
}

// overloaded reports whether the call was turned away for now: a quota that
// stays exhausted is the handler's no.
func overloaded(e *bus.Error) bool {
	return e.Code == bus.ResourceExhausted && (e.End == bus.Refused || e.Retry != bus.RetryNever)
}
