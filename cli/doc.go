// Package cli is the mbus command: arguments, environment and streams go in,
// an exit code comes out. It holds no state of its own and touches neither
// os.Args nor os.Exit, so a program can embed it and a test can run it.
//
//	os.Exit(cli.Main(ctx, cli.Process{Args: os.Args[1:], Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}))
//
// The grammar is one struct read by kong, one file per command. Three things
// happen around it:
//
//   - arguments.go puts a command line into one canonical order first, which is
//     why every option works before and after the command, and with Micro's
//     underscores as well as with hyphens.
//   - environment.go gives every option its environment variable, MBUS_X, with
//     Micro's MICRO_X behind it.
//   - exit.go turns every error into one line and one exit code.
//
// What a command prints on standard output is its result and nothing else;
// errors, warnings and progress go to standard error. Bytes that come from
// other people's services are escaped when they would reach a terminal.
//
//	code | meaning
//	0    | it worked; also the end of a stream, and ctrl-C of node, subscribe, top and watch
//	1    | the call failed
//	2    | wrong usage, or a configuration that is not safe
//	3    | no connection to the bus, said within a second
//	4    | refused for missing rights
//	5    | nobody listens
//	6    | refused because of overload
//	124  | no answer in time
//	130  | interrupted in a call
package cli
