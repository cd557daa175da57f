// Command mbus is a microservices toolkit whose runtime is one message bus.
// Its documentation is docs/cli.md and "mbus help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mbus-dev/mbus/cli"
)

// What the build notes with -ldflags "-X main.version=V -X main.source=DIR": the
// version, and the tree that the program was built from. Either may be empty.
var version, source string

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	os.Exit(cli.Main(context.Background(), cli.Process{
		Args: os.Args[1:], Env: os.Environ(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Signals: signals, Version: version, Source: source,
	}))
}
