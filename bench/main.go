// Command bench measures mbus beside its peers. "bench run" starts clients,
// services and brokers as processes of their own, which are roles of the same
// program, or of a sibling built beside it; docs/benchmarks.md has the results and
// how to read them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: bench run [-pace quick|normal|full] [-only NAMES] [-parts NAMES] [-out DIR] [-docs DIR] [-mbus FILE]

The other roles are for the processes that run starts:
  bench broker
  bench serve CONTENDER BROKER
  bench front CONTENDER BROKER
  bench call CONTENDER BROKER [ADDRESS]
  bench registry BROKER
  bench announce BROKER INSTANCES SERVICES
  bench watch BROKER WATCHERS SERVICES
  bench keep HOLDER BROKER
  bench grow HOLDER BROKER [ADDRESS]
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := begin(ctx, os.Args[1:], os.Stdin, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func begin(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	at := func(n int) string {
		if n < len(args) {
			return args[n]
		}
		return ""
	}
	// A role ends when its input does, and leaves ctrl-C to whoever started it.
	quiet := context.Background()
	switch at(0) {
	case "run":
		return orchestrate(ctx, args[1:], out)
	case "broker":
		return play(quiet, in, out, broker())
	case "serve":
		return play(quiet, in, out, server(at(1), at(2)))
	case "front":
		return play(quiet, in, out, front(at(1), at(2)))
	case "call":
		return play(quiet, in, out, caller(at(1), at(2), at(3)))
	case "registry":
		return play(quiet, in, out, registry(at(1)))
	case "announce":
		return play(quiet, in, out, crowd(at(1), at(2), at(3)))
	case "watch":
		return play(quiet, in, out, audience(at(1), at(2), at(3)))
	case "keep":
		return play(quiet, in, out, keeper(at(1), at(2)))
	case "grow":
		return play(quiet, in, out, grower(at(1), at(2), at(3)))
	}
	fmt.Fprint(os.Stderr, usage)
	return flag.ErrHelp
}
