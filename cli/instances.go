package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// maxAsked is how many instances are asked at the same time.
const maxAsked = 64

// An asked is what one instance answered.
type asked struct {
	answer json.RawMessage
	err    *bus.Error
}

// askAll calls a method on every instance of a service and returns the answers
// in the order of the instances, by version.
func (s *session) askAll(ctx context.Context, conn *bus.Conn, service, method string) ([]discovery.Service, map[string]asked, error) {
	services, err := lookUp(ctx, conn, service)
	if err != nil {
		return nil, nil, err
	}
	client, release := s.client(ctx, conn)
	defer release()
	answers := map[string]asked{}
	var mu sync.Mutex
	var work sync.WaitGroup
	slots := make(chan struct{}, maxAsked)
	for _, version := range services {
		for _, node := range version.Nodes {
			slots <- struct{}{}
			work.Go(func() {
				defer func() { <-slots }()
				a := askOne(ctx, client, version, method, node)
				mu.Lock()
				defer mu.Unlock()
				answers[node.ID] = a
			})
		}
	}
	work.Wait()
	return services, answers, callError(ctx, context.Cause(ctx))
}

func askOne(ctx context.Context, client *rpc.Client, service discovery.Service, method string, node discovery.Node) asked {
	offered := func(e discovery.ServiceEndpoint) bool { return e.Name == method }
	switch {
	case node.Port != 0:
		return asked{err: bus.Errorf(bus.Unimplemented, "it is not on the bus: ask %s itself", where(node))}
	case !slices.ContainsFunc(service.Endpoints, offered):
		return asked{err: errNotOffered(method)}
	}
	res, err := client.Do(ctx, &rpc.Request{
		Service: service.Name, Method: method, Instance: instanceID(service.Name, node.ID),
		Codec: codec.JSON, Body: []byte("{}"), Idempotent: true,
	})
	if err != nil {
		return asked{err: bus.AsError(err)}
	}
	return asked{answer: res.Body}
}

// errNotOffered is about services that are on the bus without mbus, such as
// those of plain NATS, and the registry itself.
func errNotOffered(method string) *bus.Error {
	return bus.Errorf(bus.Unimplemented, "it has no %s", method)
}

// where is the column address:port.
func where(n discovery.Node) string {
	if n.Port == 0 {
		return n.Address
	}
	return n.Address + ":" + strconv.Itoa(n.Port)
}

// oneLine makes an error fit into a table.
func oneLine(e *bus.Error) string {
	text := e.Code.String()
	if e.Message != "" {
		text += ": " + e.Message
	}
	return strings.Join(strings.Fields(text), " ")
}
