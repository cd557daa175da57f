package greeter

import (
	"context"
	"encoding/json"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// APIService is the name of the greeter's API: behind the API gateway, its method
// Say.Hello is at /greeter/say/hello.
const APIService = "go.micro.api.greeter"

// NewAPI makes the greeter's API, which takes HTTP requests as messages: it reads
// the name from the query, asks Say.Hello of the greeter and answers with its
// message. cfg may leave name and version out.
//
//	curl 'localhost:8080/greeter/say/hello?name=John'
func NewAPI(conn *bus.Conn, cfg rpc.ServerConfig) *rpc.Server {
	if cfg.Name == "" {
		cfg.Name = APIService
	}
	if cfg.Version == "" {
		cfg.Version = "1.0.0"
	}
	client := rpc.NewClient(conn, rpc.ClientConfig{From: cfg.Name})
	srv := rpc.NewServer(conn, cfg)
	rpc.Handle(srv, "Say.Hello", func(ctx context.Context, req *api.Request) (*api.Response, error) {
		name, ok := req.Get["name"]
		if !ok || len(name.Values) == 0 || name.Values[0] == "" {
			return nil, bus.Errorf(bus.InvalidArgument, "Name cannot be blank")
		}
		res, err := Hello.Call(ctx, client, &HelloRequest{Name: name.Values[0]})
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(map[string]string{"message": res.Msg})
		if err != nil {
			return nil, err
		}
		return &api.Response{StatusCode: 200, Body: string(body)}, nil
	}, rpc.Note("handler", "api"), rpc.Describe("Greets who is named in the query."))
	return srv
}
