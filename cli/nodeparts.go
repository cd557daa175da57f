package cli

import (
	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/rs/zerolog"
)

// parts are what a node runs besides the broker, in the order of their start.
func (n *nodeRun) parts() ([]bus.Runner, error) {
	var parts []bus.Runner
	if n.command.Demo {
		parts = append(parts, greeter.NewServer(n.conn, rpc.ServerConfig{Logger: n.session.logger(zerolog.InfoLevel)}))
		n.addresses.Services = append(n.addresses.Services, greeter.Service)
	}
	return parts, nil
}
