package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/mbus-dev/mbus/bus"
)

// The exit codes. The table in doc.go says what they mean.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNoBus       = 3
	exitRights      = 4
	exitNobody      = 5
	exitOverload    = 6
	exitTimeout     = 124
	exitInterrupted = 130
)

// errReported ends a command as failed when what went wrong has been printed
// already, such as one sick instance among the rows of a table.
var errReported = errors.New("reported")

// An exitError passes on the exit code of a command that has reported already.
type exitError int

func (e exitError) Error() string { return errReported.Error() }

func (e exitError) Unwrap() error { return errReported }

// exitWith is nil for exit code 0.
func exitWith(code int) error {
	if code == exitOK {
		return nil
	}
	return exitError(code)
}

// A usageError is a command line, an environment or a configuration that
// cannot be obeyed. Nothing has been sent when it is returned.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// exitCode is the one place that turns errors into exit codes.
func exitCode(err error) int {
	if err == nil || outputClosed(err) {
		return exitOK
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	e, ok := errors.AsType[*bus.Error](err)
	if !ok {
		return exitOfPlain(err)
	}
	switch e.End {
	case bus.Nobody:
		return exitNobody
	case bus.Timeout:
		return exitTimeout
	case bus.Cancelled:
		return exitInterrupted
	case bus.Broker:
		return exitNoBus
	case bus.Handler:
		return exitFailed
	case bus.Refused:
		if e.Code == bus.PermissionDenied || e.Code == bus.Unauthenticated {
			return exitRights
		}
		if e.Code == bus.TooLarge || e.Code == bus.InvalidArgument {
			return exitFailed
		}
		return exitOverload
	}
	return exitOfCode(e.Code)
}

// exitOfCode serves errors that are not the end of a call: what is invalid has
// been found so on this side, before anything was sent.
func exitOfCode(code bus.Code) int {
	switch code {
	case bus.InvalidArgument:
		return exitUsage
	case bus.Unauthenticated, bus.PermissionDenied:
		return exitRights
	case bus.ResourceExhausted:
		return exitOverload
	case bus.Canceled:
		return exitInterrupted
	case bus.DeadlineExceeded:
		return exitTimeout
	case bus.Unavailable:
		return exitNoBus
	}
	return exitFailed
}

// outputClosed reports whether whoever reads the output has enough of it. A
// connection that breaks has the same errno and is something else.
func outputClosed(err error) bool {
	file, ok := errors.AsType[*fs.PathError](err)
	return ok && errors.Is(file.Err, syscall.EPIPE)
}

func exitOfPlain(err error) int {
	if _, ok := errors.AsType[interrupt](err); ok || errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitTimeout
	}
	return exitFailed
}

// errorLine is what the user reads about err: one line, or nothing.
func errorLine(err error) string {
	if err == nil || errors.Is(err, errReported) || outputClosed(err) {
		return ""
	}
	if _, ok := errors.AsType[interrupt](err); ok || errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	line := err.Error()
	if e, ok := errors.AsType[*bus.Error](err); ok {
		line += detail(e)
		if e.End == bus.Timeout && !strings.Contains(line, "--timeout") {
			line += "; --timeout sets how long to wait"
		}
	}
	return strings.Join(strings.Fields(line), " ")
}

// detail is what a handler adds for programs, if it fits. The near names of a
// registrar are in its message already.
func detail(e *bus.Error) string {
	text := strings.TrimSpace(string(e.Detail))
	if text == "" || len(text) > maxDetail || strings.Contains(text, `"near":[`) {
		return ""
	}
	return " " + text
}

// maxDetail is how much JSON detail of an error still reads well in one line.
const maxDetail = 400
