package mcp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"slices"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/mcp"
	"github.com/mbus-dev/mbus/rpc"
)

// A program that a model's client starts serves its standard input and output;
// here both ends are in one process.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = node.Stop(ctx) }()
	conn := node.Conn()

	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "greeter"})
	rpc.Handle(srv, "Say.Hello", func(_ context.Context, r *helloRequest) (*helloResponse, error) {
		return &helloResponse{Msg: "Hello " + r.Name}, nil
	})
	gate := gateway.NewBus(conn, gateway.BusConfig{})
	tools, err := mcp.New(gate, mcp.Config{Allow: []string{"greeter/Say.*"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range []bus.Runner{srv, gate, tools} {
		if err := r.Start(ctx); err != nil {
			log.Fatal(err)
		}
		defer func() { _ = r.Stop(ctx) }()
	}

	in, fromClient := io.Pipe()
	toClient, out := io.Pipe()
	go func() { _ = tools.ServeStdio(ctx, in, out) }()
	client := sdk.NewClient(&sdk.Implementation{Name: "example", Version: "1"}, nil)
	session, err := client.Connect(ctx, &sdk.IOTransport{Reader: toClient, Writer: fromClient}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	list, err := session.ListTools(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(slices.Collect(func(yield func(string) bool) {
		for _, tool := range list.Tools {
			yield(tool.Name)
		}
	}))
	res, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "greeter___Say_Hello", Arguments: map[string]any{"name": "John"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Content[0].(*sdk.TextContent).Text)
	// Output:
	// [greeter___Say_Hello]
	// {"msg":"Hello John","big":0}
}
