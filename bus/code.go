package bus

// A Code classifies an error. The list is closed and the same everywhere: on
// the wire, in the command line and at the HTTP edge. A Code is itself an
// error, so errors.Is(err, bus.NotFound) asks whether err has that code.
type Code uint8

// The codes, each with its HTTP number and the name used on the wire.
const (
	InvalidArgument   Code = iota + 1 // 400 invalid_argument: the request is wrong and stays wrong
	Unauthenticated                   // 401 unauthenticated: who is calling is not known
	PermissionDenied                  // 403 permission_denied: the caller is known and may not
	NotFound                          // 404 not_found: no such service, method or thing
	Conflict                          // 409 conflict: it exists already, or changed meanwhile
	TooLarge                          // 413 too_large: a payload over a limit
	ResourceExhausted                 // 429 resource_exhausted: over a quota or a bound, try later
	Canceled                          // 499 canceled: the caller gave up
	Internal                          // 500 internal: a fault of the service
	Unimplemented                     // 501 unimplemented: a handler or a version mismatch says so
	Unavailable                       // 503 unavailable: not now; the broker or every instance is away
	DeadlineExceeded                  // 504 deadline_exceeded: no answer in time
	DataLoss                          // 500 data_loss: a gap in a stream or a broken payload
)

// CodeOf returns the code with the given wire name; ok is false when there is
// none.
func CodeOf(name string) (code Code, ok bool) {
	for c := InvalidArgument; c <= DataLoss; c++ {
		if c.String() == name {
			return c, true
		}
	}
	return 0, false
}

// CodeOfStatus returns the code of an HTTP number. A number outside the list
// gets the code of its class: InvalidArgument for 4xx, Internal for the rest.
func CodeOfStatus(status int) Code {
	switch status {
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return NotFound
	case 409:
		return Conflict
	case 413:
		return TooLarge
	case 429:
		return ResourceExhausted
	case 499:
		return Canceled
	case 501:
		return Unimplemented
	case 503:
		return Unavailable
	case 504:
		return DeadlineExceeded
	}
	if status >= 400 && status < 500 {
		return InvalidArgument
	}
	return Internal
}

// Status returns the HTTP number of the code.
func (c Code) Status() int {
	switch c {
	case InvalidArgument:
		return 400
	case Unauthenticated:
		return 401
	case PermissionDenied:
		return 403
	case NotFound:
		return 404
	case Conflict:
		return 409
	case TooLarge:
		return 413
	case ResourceExhausted:
		return 429
	case Canceled:
		return 499
	case Unimplemented:
		return 501
	case Unavailable:
		return 503
	case DeadlineExceeded:
		return 504
	}
	return 500
}

// String returns the wire name, such as "not_found".
func (c Code) String() string {
	switch c {
	case InvalidArgument:
		return "invalid_argument"
	case Unauthenticated:
		return "unauthenticated"
	case PermissionDenied:
		return "permission_denied"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case TooLarge:
		return "too_large"
	case ResourceExhausted:
		return "resource_exhausted"
	case Canceled:
		return "canceled"
	case Unimplemented:
		return "unimplemented"
	case Unavailable:
		return "unavailable"
	case DeadlineExceeded:
		return "deadline_exceeded"
	case DataLoss:
		return "data_loss"
	}
	return "internal"
}

// Error returns the wire name, so that a Code can be the target of errors.Is.
func (c Code) Error() string { return c.String() }

// An End says how a call ended, which a code alone does not: a missing method
// and a handler that answers not_found share the code and differ in the end.
// An End is itself an error, so errors.Is(err, bus.Nobody) asks for it. The
// zero End belongs to errors that are not the end of a call.
type End uint8

// The ends of a failed call.
const (
	Nobody    End = iota + 1 // no one listens; the request was not delivered
	Timeout                  // no answer in time
	Cancelled                // the caller gave up
	Refused                  // overload or missing rights; the handler did not run
	Handler                  // the handler ran and said no
	Broker                   // the broker is unreachable; whether the handler ran is unknown unless the error is safe to retry
)

// String returns the end's name as the command line and HTTP show it; the zero
// End is "".
func (e End) String() string {
	switch e {
	case Nobody:
		return "nobody"
	case Timeout:
		return "timeout"
	case Cancelled:
		return "cancelled"
	case Refused:
		return "refused"
	case Handler:
		return "handler"
	case Broker:
		return "broker"
	}
	return ""
}

// Error returns the end's name, so that an End can be the target of errors.Is.
func (e End) Error() string { return e.String() }
