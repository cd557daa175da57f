// Command client greets whoever its arguments name, John if there are none.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
)

func main() {
	name := "John"
	if len(os.Args) > 1 {
		name = strings.Join(os.Args[1:], " ")
	}
	if err := greet(name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func greet(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := bus.Connect(ctx, bus.Config{FailFast: true})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()

	res, err := greeter.Hello.Call(ctx, rpc.NewClient(conn, rpc.ClientConfig{}), &greeter.HelloRequest{Name: name})
	if err != nil {
		return err
	}
	fmt.Println(res.Msg)
	return nil
}
