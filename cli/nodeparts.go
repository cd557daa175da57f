package cli

import (
	"context"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/examples/lab"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/rpc"
)

// parts are what a node runs besides the broker, in the order of their start.
func (n *nodeRun) parts() ([]bus.Runner, error) {
	log := n.session.logger()
	registry, err := registrar.New(n.conn, registrar.Config{
		System: n.system, Version: n.session.process.build().Version, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	parts := []bus.Runner{registry}
	n.addresses.Services = append(n.addresses.Services, registrar.Service)
	if n.command.Demo {
		parts = append(parts, greeter.NewServer(n.conn, rpc.ServerConfig{Logger: log}))
		parts = append(parts, greeter.NewAPI(n.conn, rpc.ServerConfig{Logger: log}))
		parts = append(parts, greeter.NewWeb(n.conn, "", log))
		parts = append(parts, lab.NewServer(n.conn, rpc.ServerConfig{Logger: log}))
		n.addresses.Services = append(n.addresses.Services, greeter.Service, greeter.APIService, greeter.WebService, lab.Service)
	}
	listeners, err := n.faces.runners(n.session, n.conn)
	if err != nil {
		return nil, err
	}
	for _, f := range n.faces.on {
		n.addresses.Services = append(n.addresses.Services, f.service)
	}
	return append(parts, listeners...), nil
}

// dashboard is what the dashboard of a node gets from it. The connections and
// listeners are there when it is asked.
func (n *nodeRun) dashboard() dashboard {
	return dashboard{
		system: func() *bus.Conn { return n.system },
		links: func() web.Links {
			urls := n.faces.urls()
			return web.Links{API: urls["api"], Sidecar: urls["sidecar"], Bus: n.addresses.Bus, Namespace: n.session.opts.APINamespace}
		},
	}
}

// listeners are the rooms that a node opens, each of which its address can
// leave out.
func (n *nodeRun) listeners(ctx context.Context, ownBroker bool) (faces, error) {
	return n.session.faces(ctx, &n.command.httpFlags, ownBroker,
		n.session.apiFace(&n.command.apiFlags),
		n.session.sidecarFace(&n.command.sidecarFlags, sidecar.App{}),
		n.session.webFace(&n.command.webFlags, n.dashboard()),
	)
}
