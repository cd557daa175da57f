// Package greeter is the service that every microservices toolkit begins with:
// it says hello. The package is what server and client share; the programs
// beside it use it.
package greeter

import (
	"context"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/pubsub"
	"github.com/mbus-dev/mbus/rpc"
)

// Service is the name of the greeter on the bus.
const Service = "go.micro.srv.greeter"

// HelloRequest says who is to be greeted.
type HelloRequest struct {
	Name string `json:"name"`
}

// HelloResponse is the greeting.
type HelloResponse struct {
	Msg string `json:"msg"`
}

// Hello is the contract of the method Say.Hello, for both sides.
var Hello = rpc.Method[HelloRequest, HelloResponse]{Service: Service, Name: "Say.Hello"}

// A User is the event on the topic user.created.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// UserCreated is the contract of the topic user.created.
var UserCreated = pubsub.Topic[User]{Name: "user.created"}

// Say holds the methods of the service: its exported methods become Say.Hello
// and so on.
type Say struct {
	// Node is the name of the instance, which begins every greeting, so that
	// one can see who answered.
	Node string
}

// Hello greets.
func (s *Say) Hello(_ context.Context, req *HelloRequest) (*HelloResponse, error) {
	return &HelloResponse{Msg: s.Node + ": Hello " + req.Name}, nil
}

// NewServer makes a greeter on conn. cfg may leave its name and version out. A
// request with a field that Say.Hello does not know is refused by that field's
// name, so that a typing mistake does not greet nobody.
func NewServer(conn *bus.Conn, cfg rpc.ServerConfig) *rpc.Server {
	if cfg.Name == "" {
		cfg.Name = Service
	}
	if cfg.Version == "" {
		cfg.Version = "1.0.0"
	}
	srv := rpc.NewServer(conn, cfg)
	rpc.Register(srv, &Say{Node: cfg.Name + "-" + srv.ID()}, rpc.Strict())
	return srv
}
