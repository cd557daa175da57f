package cli_test

import (
	"context"
	"fmt"
	"os"

	"github.com/mbus-dev/mbus/cli"
)

// The command as a library: a program can offer it under its own name.
func ExampleMain() {
	code := cli.Main(context.Background(), cli.Process{
		Args:   []string{"publish", "user.*", "{}"},
		Stdout: os.Stdout,
		Stderr: os.Stdout,
	})
	fmt.Println("exit code", code)
	// Output:
	// mbus: topic "user.*": wildcards are not allowed here (token "*")
	// exit code 2
}
