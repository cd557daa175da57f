package bind

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A ConfigError says that a configuration cannot be obeyed. Nothing has been
// started.
type ConfigError struct {
	// Flags are the flags of the mbus command that have to do with it.
	Flags []string
	// Message is one line: what is wrong and what to do.
	Message string

	cause error
}

// Error returns the message.
func (e *ConfigError) Error() string { return e.Message }

// Unwrap returns the cause, or nil.
func (e *ConfigError) Unwrap() error { return e.cause }

// Because returns a copy of e that wraps cause.
func (e *ConfigError) Because(cause error) *ConfigError {
	own := *e
	own.cause = cause
	return &own
}

// Errorf makes a ConfigError whose flags are those that its text names. A %w
// operand becomes the cause.
func Errorf(format string, args ...any) *ConfigError {
	wrapped := fmt.Errorf(format, args...)
	e := &ConfigError{Message: wrapped.Error(), cause: errors.Unwrap(wrapped)}
	for word := range strings.FieldsSeq(e.Message) {
		word = strings.TrimRight(word, ",;:.")
		if strings.HasPrefix(word, "--") && !slices.Contains(e.Flags, word) {
			e.Flags = append(e.Flags, word)
		}
	}
	return e
}

// An InUseError says that an address or a directory belongs to somebody else at
// this moment.
type InUseError struct {
	// Name is the address, as HOST:PORT, or the directory.
	Name string
	// Flag is the flag of the mbus command that sets it.
	Flag string
	// PID is the process that holds it, 0 if that cannot be told.
	PID int
	// Process is the name of that process, empty if that cannot be told.
	Process string
}

// Error says who holds it and what to do.
func (e *InUseError) Error() string {
	holder := "another process"
	switch {
	case e.PID == os.Getpid():
		holder = fmt.Sprintf("this process (%d)", e.PID)
	case e.PID != 0:
		holder = fmt.Sprintf("%s (process %d)", cmp.Or(e.Process, "another program"), e.PID)
	}
	return fmt.Sprintf("%s is in use by %s; stop that or choose another %s", e.Name, holder, e.Flag)
}
