package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// A caller that passes a large answer on, to a file or to a client of its own,
// reads it as it comes: what that reader does not take stays with the service.
func ExampleParts() {
	ctx, conn, stop := connect()
	defer stop()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.storage"})
	srv.HandleRaw("Store.Get", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Codec: codec.Raw, Body: bytes.Repeat([]byte("mbus"), 1<<20), Meta: rpc.Metadata{"Media-Type": "text/plain"}}, nil
	})
	if err := srv.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = srv.Stop(ctx) }()

	client := rpc.NewClient(conn, rpc.ClientConfig{})
	res, err := client.Do(ctx, &rpc.Request{Service: "go.micro.srv.storage", Method: "Store.Get", InParts: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if res.Parts == nil { // it came in one message
		fmt.Println(len(res.Body), "bytes")
		return
	}
	defer res.Parts.Close()
	fmt.Println(res.Meta.Get("Media-Type"), "of", res.Parts.Size(), "bytes")
	n, err := io.Copy(io.Discard, res.Parts)
	fmt.Println(n, err)
	// Output:
	// text/plain of 4194304 bytes
	// 4194304 <nil>
}
