package cli

import (
	"context"
	"encoding/json"
	"errors"
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
func askAll(ctx context.Context, way reach, service, method string) ([]discovery.Service, map[string]asked, error) {
	services, err := way.get(ctx, service)
	if err != nil {
		return nil, nil, err
	}
	answers := map[string]asked{}
	var mu sync.Mutex
	var work sync.WaitGroup
	slots := make(chan struct{}, maxAsked)
	for _, version := range services {
		for _, node := range version.Nodes {
			slots <- struct{}{}
			work.Go(func() {
				defer func() { <-slots }()
				a := askOne(ctx, way, version, method, node)
				mu.Lock()
				defer mu.Unlock()
				answers[node.ID] = a
			})
		}
	}
	work.Wait()
	return services, answers, callError(ctx, context.Cause(ctx))
}

func askOne(ctx context.Context, way reach, service discovery.Service, method string, node discovery.Node) asked {
	offered := func(e discovery.ServiceEndpoint) bool { return e.Name == method }
	// What a sidecar serves for an app is not among the methods that the app lists.
	app := node.Port != 0
	if !app && !slices.ContainsFunc(service.Endpoints, offered) {
		return asked{err: errNotOffered(method)}
	}
	res, err := way.call(ctx, &rpc.Request{
		Service: service.Name, Method: method, Instance: instanceID(service.Name, node.ID),
		Codec: codec.JSON, Body: []byte("{}"), Idempotent: true,
	})
	if app && errors.Is(err, bus.Nobody) {
		return asked{err: bus.Errorf(bus.Unavailable, "it is not on the bus, and no sidecar serves it; ask %s itself", where(node))}
	}
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
