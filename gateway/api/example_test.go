package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// A gateway in front of a greeter, called by full names and by Micro's path.
func Example() {
	if err := greetOverHTTP(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"msg":"Hello John"}
	// {"msg":"Hello Mary"}
}

func greetOverHTTP() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		return err
	}
	defer node.Stop(context.WithoutCancel(ctx))
	conn := node.Conn()

	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.greeter", Version: "1.0.0"})
	rpc.Handle(srv, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
		return &HelloResponse{Msg: "Hello " + r.Name}, nil
	})
	b := gateway.NewBus(conn, gateway.BusConfig{From: "go.micro.api"})
	room, err := api.New(b, api.Config{Namespace: "go.micro.srv"})
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	defer b.Stop(context.WithoutCancel(ctx))
	if err := srv.Start(ctx); err != nil {
		return err
	}
	defer srv.Stop(context.WithoutCancel(ctx))
	web := httptest.NewServer(room) // gateway.Server and gateway.Edge, outside of a test
	defer web.Close()

	for _, call := range []struct{ path, kind, body string }{
		{"/go.micro.srv.greeter/Say.Hello", "application/json", `{"name":"John"}`},
		{"/greeter/say/hello", "application/x-www-form-urlencoded", "name=Mary"},
	} {
		res, err := http.Post(web.URL+call.path, call.kind, strings.NewReader(call.body))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return err
		}
		fmt.Println(string(body))
	}
	return nil
}
