package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The flags of the mbus command that set the fields of Config. Errors name
// them, since they reach people who never see a Config.
const (
	flagListen        = "--listen"
	flagStoreDir      = "--store-dir"
	flagEphemeral     = "--ephemeral"
	flagSync          = "--jetstream-sync"
	flagDomain        = "--jetstream-domain"
	flagMaxPayload    = "--max-payload"
	flagTLSCert       = "--tls-cert-file"
	flagTLSKey        = "--tls-key-file"
	flagTLSCA         = "--tls-ca-file"
	flagAuth          = "--auth-file"
	flagInsecure      = "--insecure-allow-remote"
	flagServer        = "--server-name"
	flagClusterListen = "--cluster-listen"
	flagRoutes        = "--cluster-routes"
	flagLeaf          = "--leaf-node"
)

// ErrUnsafe is what a ConfigError wraps when the configuration would let other
// machines use the bus without TLS and authentication.
var ErrUnsafe = errors.New("other machines could use the bus without TLS and authentication")

// A ConfigError says that a Config cannot be obeyed. Nothing has been started.
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

// configError makes a ConfigError whose flags are those that its text names. A
// %w operand becomes the cause.
func configError(format string, args ...any) *ConfigError {
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

// An InUseError says that an address or a store belongs to somebody else at
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
