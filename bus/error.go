package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

// An Error is the one error type of mbus. Code, Message, Detail, Status and
// Retry travel between processes; End, Service, Method, Instance and Elapsed
// are filled in by the caller's side; a cause never travels.
//
// errors.Is(err, bus.NotFound) compares codes, errors.Is(err, bus.Nobody)
// compares ends, and errors.AsType[*bus.Error](err) gives the whole.
type Error struct {
	Code    Code
	End     End
	Message string
	// Detail is JSON that a handler adds for programs to read, or nil.
	Detail []byte
	// Status is the HTTP number. It is Code's own unless the handler chose a
	// number outside the list of codes.
	Status int
	Retry  Retry

	Service  string
	Method   string
	Instance string
	// Elapsed is how long the caller waited.
	Elapsed time.Duration

	cause error
}

// Errorf makes an error with a code and a formatted message. A %w operand
// becomes the cause, which errors.Is and errors.As reach and which stays in
// this process.
func Errorf(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Status: code.Status(), Message: wrapped.Error(), cause: errors.Unwrap(wrapped)}
}

// AsError returns err as an *Error: itself if it is one or wraps one, with the
// code that err is or wraps, canceled or deadline_exceeded for the errors of
// contexts, and internal for anything else. AsError(nil) is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled, End: Cancelled, Status: Canceled.Status(), Message: "the caller gave up", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: DeadlineExceeded, End: Timeout, Status: DeadlineExceeded.Status(), Message: "no answer in time", cause: err}
	}
	code, ok := errors.AsType[Code](err)
	if !ok {
		code = Internal
	}
	return &Error{Code: code, Status: code.Status(), Message: err.Error(), cause: err}
}

// Error returns one line: what was called, the code and the message, and how
// long a call took whose time ran out. Both sides watch the deadline, so that
// is the same line whoever was first to notice.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Service != "" {
		b.WriteString(e.Service)
		if e.Method != "" {
			b.WriteString("." + e.Method)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Code.String())
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.End == Timeout && e.Elapsed > 0 {
		b.WriteString(", after " + e.Elapsed.Round(time.Millisecond).String())
	}
	return b.String()
}

// Unwrap yields the code, the end and the cause, which makes errors.Is work on
// all three.
func (e *Error) Unwrap() []error {
	errs := []error{e.Code}
	if e.End != 0 {
		errs = append(errs, e.End)
	}
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	return errs
}

// Header returns the plain spelling of e as the headers of an error reply; the
// body of that reply is e.Detail. Line breaks in the message become spaces and
// a message over 4 KiB is cut.
func (e *Error) Header() nats.Header {
	status := e.Status
	if status == 0 {
		status = e.Code.Status()
	}
	return nats.Header{
		wire.HeaderServiceError:     {e.text()},
		wire.HeaderServiceErrorCode: {strconv.Itoa(status)},
		wire.HeaderError:            {e.Code.String()},
		wire.HeaderRetry:            {e.Retry.String()},
	}
}

// text makes the message fit for the wire, where an empty description would
// make the reply look like no error.
func (e *Error) text() string {
	if s := strings.TrimSpace(wire.CleanMessage(e.Message)); s != "" {
		return s
	}
	return e.Code.String()
}

// AppendFrame appends the frame spelling of e as the answer to the frame with
// the given sequence number.
func (e *Error) AppendFrame(dst []byte, seq uint64) []byte {
	status := e.Status
	if status == 0 {
		status = e.Code.Status()
	}
	return wire.AppendErrorFrame(dst, &wire.ErrorFrame{
		Seq: seq, Status: uint16(status), Retry: e.Retry, Code: e.Code.String(),
		Message: e.text(), Detail: e.Detail,
	})
}

// ReplyError returns the error that a reply carries in either spelling, or nil
// when the reply is an answer. A reply counts as an error as soon as one of
// the two Nats-Service-Error headers is there, since foreign services do not
// always set both. Its End is Refused when the code speaks of rights, or speaks
// of overload and another try is safe; Timeout when it is deadline_exceeded;
// else Handler.
func ReplyError(m *nats.Msg) *Error {
	if wire.IsFrame(m.Data) && wire.TypeOf(m.Data) == wire.FrameError {
		return FrameError(m.Data)
	}
	if m.Header == nil {
		return nil
	}
	text, status := m.Header.Get(wire.HeaderServiceError), m.Header.Get(wire.HeaderServiceErrorCode)
	if text == "" && status == "" {
		return nil
	}
	n, err := strconv.Atoi(status)
	if err != nil {
		n = Internal.Status()
	}
	retry, err := wire.ParseRetry(m.Header.Get(wire.HeaderRetry))
	if err != nil {
		retry = RetryNever // the only answer that cannot hurt
	}
	return remote(m.Header.Get(wire.HeaderError), n, text, retry, m.Data)
}

// FrameError reads an error frame as ReplyError does; one that cannot be read is
// data_loss.
func FrameError(frame []byte) *Error {
	f, err := wire.ParseErrorFrame(frame)
	if err != nil {
		e := Errorf(DataLoss, "a broken error frame: %w", err)
		e.End = Handler
		return e
	}
	return remote(f.Code, int(f.Status), f.Message, f.Retry, f.Detail)
}

func remote(name string, status int, text string, retry Retry, detail []byte) *Error {
	code, ok := CodeOf(name)
	if !ok {
		code = CodeOfStatus(status)
	}
	if status < 100 || status > 999 {
		status = code.Status()
	}
	e := &Error{Code: code, Status: status, Message: text, Retry: retry, End: Handler}
	if len(detail) > 0 {
		e.Detail = append([]byte(nil), detail...)
	}
	switch code {
	case PermissionDenied, Unauthenticated:
		e.End = Refused
	case ResourceExhausted, Unavailable:
		if retry != RetryNever {
			e.End = Refused
		}
	case DeadlineExceeded:
		// What the other side says about the time is the same end as when the
		// caller's own clock says it.
		e.End = Timeout
	}
	return e
}
