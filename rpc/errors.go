package rpc

import (
	"context"
	"fmt"
	"strconv"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

func reservedName(name string) error {
	return bus.Errorf(bus.InvalidArgument, "metadata %s: names of the protocol (Mbus-*, Nats-*, Content-Type) cannot be metadata", strconv.Quote(name))
}

func headerFlood(pairs, size int) error {
	return bus.Errorf(bus.TooLarge, "%d headers of %d bytes: at most %d headers and %d bytes are allowed", pairs, size, wire.MaxMetaPairs, wire.MaxMetaBytes)
}

// refused marks e as something that happened before the handler: it did not
// run, so another try is safe.
func refused(e *bus.Error) *bus.Error {
	e.End, e.Retry = bus.Refused, bus.RetrySafe
	return e
}

// Causes of the end of a handler's context. A handler may return them as it may
// return the context's own error.
var (
	errReturned = fmt.Errorf("the handler has returned: %w", context.Canceled)
	errStopped  = fmt.Errorf("the server has stopped: %w", context.Canceled)
	errGaveUp   = fmt.Errorf("the caller gave up: %w", context.Canceled)
)
