// Package bus connects a program to the bus, which is NATS. It is the only
// package that dials, and everything else in mbus stands on it.
//
//	conn, err := bus.Connect(ctx, bus.Config{}) // MBUS_URL, NATS_URL, or this machine
//	if err != nil {
//		return err
//	}
//	defer conn.Close(context.WithoutCancel(ctx))
//
// Most programs need only [Connect], [Conn.Close] and [Run]; packages rpc and
// pubsub do the rest. [Conn.NATS] and [Conn.JetStream] are the ways out to
// whatever NATS can do and mbus does not wrap.
//
// # Errors
//
// Every failure is an [*Error]. Its [Code] says what went wrong, from a closed
// list; its [End] says how the call ended:
//
//	End        meaning                                  typical codes
//	Nobody     no one listens; never delivered          not_found, unavailable
//	Timeout    no answer in time                        deadline_exceeded
//	Cancelled  the caller gave up                       canceled
//	Refused    overload or rights; handler did not run  resource_exhausted, permission_denied, too_large
//	Handler    the handler ran and said no              any
//	Broker     the broker is unreachable                unavailable
//
// Both work with errors.Is: errors.Is(err, bus.NotFound), errors.Is(err,
// bus.Nobody). Retry tells whether sending again can run a handler twice.
//
// # Guarantees
//
// A connection that is lost is made again, for ever, starting after a tenth of
// a second. Calls that wait at that moment fail at once with End Broker, and
// so does what is sent meanwhile: nothing is buffered for later.
//
// A missing right, which NATS reports only as a remark on the connection, ends
// the call concerned at once with permission_denied.
//
// Everything that waits is bounded: 65,536 calls ([Config.MaxCalls], then
// refused), 16,384 messages in each [Lane], 131,072 in that of streams, and
// about a million replies of together 256 MiB (then the newest are dropped, and
// [Conn.Dropped] and the log tell).
package bus
