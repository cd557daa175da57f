package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// A Process is what the command takes from the operating system. The zero
// value of each field but Args means that there is none of it.
type Process struct {
	// Args are the command-line arguments without the program's name.
	Args []string
	// Env is the environment as KEY=value strings; of a key that is there
	// twice the last counts.
	Env []string

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// Signals brings the signals that the process receives. The first interrupt
	// or termination ends the command in an orderly way, the second makes Main
	// return at once. SIGPIPE is read and ignored, so that a closed pipe is an
	// error of the write and not the death of the process.
	Signals <-chan os.Signal

	// Version is the version of the program. Empty means what the Go toolchain
	// noted when it was built.
	Version string
	// Source is the tree that the program was built from. What "mbus new" makes
	// builds against it. Empty means that the tree is not known.
	Source string
}

// interrupt is the cause of a context that ended because of a signal.
type interrupt struct{ signal os.Signal }

func (i interrupt) Error() string { return i.signal.String() }

// Main runs one command and returns the exit code of the process. It may be
// called from several goroutines at once.
func Main(ctx context.Context, p Process) int {
	if p.Stdin == nil {
		p.Stdin = eof{}
	}
	if p.Stdout == nil {
		p.Stdout = io.Discard
	}
	if p.Stderr == nil {
		p.Stderr = io.Discard
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// The select below waits for this goroutine, except after a second signal:
	// then the process is about to end and takes it along.
	done := make(chan int, 1)
	s := newSession(p)
	go func() {
		err := s.execute(ctx, p.Args)
		s.logs.Flush()
		done <- s.report(err)
	}()
	for {
		select {
		case code := <-done:
			return code
		case sig, ok := <-p.Signals:
			switch {
			case !ok:
				p.Signals = nil
			case sig == syscall.SIGPIPE:
			case sig == os.Interrupt && s.foreground.interrupt():
			case interrupted(ctx):
				return signalCode(sig)
			default:
				cancel(interrupt{sig})
			}
		}
	}
}

// interrupted reports whether ctx ended because of a signal.
func interrupted(ctx context.Context) bool {
	_, ok := errors.AsType[interrupt](context.Cause(ctx))
	return ok
}

// stopped is for commands that run until they are interrupted: that is how they
// succeed.
func stopped(ctx context.Context, err error) error {
	if _, ok := errors.AsType[interrupt](err); ok || interrupted(ctx) {
		return nil
	}
	return err
}

// signalCode is the exit code that shells give a process which a signal ended.
func signalCode(sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitInterrupted
}

// report tells the user about err, if there is anything to tell, and returns
// the exit code.
func (s *session) report(err error) int {
	code := exitCode(err)
	if line := errorLine(err); line != "" {
		s.endProgress()
		_, _ = fmt.Fprintln(s.stderr, "mbus: "+escapeControl(line))
	}
	return code
}

// eof is a standard input that has nothing.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
