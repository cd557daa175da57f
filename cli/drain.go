package cli

import (
	"context"

	"github.com/mbus-dev/mbus/rpc"
)

// commandOrigin is the name that drain gives itself, for the log of the service.
const commandOrigin = "go.micro.cli"

type drainCommand struct {
	Service string `arg:"" complete:"service" help:"Service that the instance is of."`
	Node    string `arg:"" name:"id" complete:"node" help:"The instance, by its id as get shows it."`
	Undo    bool   `help:"Put it back."`
}

// Help explains what the one-line summary cannot.
func (*drainCommand) Help() string {
	return `The instance leaves the queue groups of its methods, so that calls of the service
go to the others, and nothing is cut: what is at work there ends as usual. It
stays on the bus, takes the calls that name it (query --node), shows as draining
in health and get, and is out until --undo, or until it starts anew. The command
returns once no more calls come; "in_flight" of stats says how many are left.

    mbus drain go.micro.srv.greeter go.micro.srv.greeter-GKQ3W8MZ4NP0X1Y2Z3A4B5
    mbus drain --undo go.micro.srv.greeter GKQ3W8MZ4NP0X1Y2Z3A4B5`
}

// A drainLine is the outcome in the JSON output.
type drainLine struct {
	Node     string `json:"node"`
	Draining bool   `json:"draining"`
}

// Run takes an instance out of rotation, or puts it back.
func (c *drainCommand) Run(ctx context.Context, s *session) error {
	id := instanceID(c.Service, c.Node)
	if id == "" {
		return usagef("drain: the id is empty")
	}
	conn, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	client, release := s.newClient(ctx, conn, rpc.ClientConfig{From: commandOrigin, Timeout: -1}) // --timeout counts
	defer release()
	ctx, cancel := s.within(ctx)
	defer cancel()
	node := c.Service + "-" + id
	s.begin("draining " + node)
	out := !c.Undo
	res, err := rpc.Call[rpc.Draining](ctx, client, c.Service, rpc.MethodDrain, &rpc.DrainRequest{Drain: &out}, rpc.WithNode(id))
	if err != nil {
		return err
	}
	if s.json() {
		return s.printJSON(drainLine{node, res.Draining})
	}
	if res.Draining {
		return s.printf("%s is out of rotation\n", node)
	}
	return s.printf("%s is in rotation\n", node)
}
