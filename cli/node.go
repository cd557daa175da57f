package cli

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/embedded/bind"
	"github.com/mbus-dev/mbus/gateway/token"
)

type nodeCommand struct {
	Listen        string `placeholder:"HOST:PORT" group:"Broker" help:"Where the broker listens; port 0 is any free port. Default 127.0.0.1:4222."`
	Demo          bool   `group:"Node" help:"Run the greeter example too."`
	AddressesFile string `placeholder:"FILE" group:"Node" help:"Write the addresses to this file as JSON once the node is ready."`
	Grace         span   `default:"10s" placeholder:"TIME" group:"Node" help:"How long a stop may take to finish what is running. Default ${default}."`
	SysCreds      string `placeholder:"FILE" group:"Node" help:"With --url: NATS credentials file of a user in the broker's system account, so that lost connections are noticed at once."`

	StoreDir        string `placeholder:"DIR" group:"Broker" help:"Where JetStream keeps its streams. Default is the user's state directory, under mbus/PORT."`
	Ephemeral       bool   `group:"Broker" help:"Keep the streams in a temporary directory that is removed at the end."`
	NoJetStream     bool   `name:"no-jetstream" group:"Broker" help:"Leave out JetStream, and with it the store."`
	JetStreamSync   span   `name:"jetstream-sync" placeholder:"TIME" group:"Broker" help:"Sync streams to disk this often and not before each acknowledgement. Faster, and a power cut loses messages."`
	JetStreamDomain string `name:"jetstream-domain" placeholder:"NAME" group:"Broker" help:"JetStream domain, for nodes with --leaf-node."`
	MaxPayload      int    `placeholder:"BYTES" group:"Broker" help:"Largest message. Default 1048576."`

	AuthFile string `placeholder:"FILE" group:"Safety" help:"JSON file, mode 0600, with the users that may connect."`

	httpFlags    `embed:""`
	apiFlags     `embed:""`
	sidecarFlags `embed:""`
	webFlags     `embed:""`

	ClusterListen string   `placeholder:"HOST:PORT" group:"Cluster" help:"Where the other nodes of a cluster connect; turns clustering on."`
	ClusterName   string   `name:"cluster" placeholder:"NAME" group:"Cluster" help:"Name of the cluster, the same on all its nodes. Default mbus."`
	ClusterRoutes []string `placeholder:"URL" group:"Cluster" help:"Cluster addresses of the other nodes, a comma list or repeated."`
	LeafNode      []string `placeholder:"URL" group:"Cluster" help:"Brokers to join as a leaf node, a comma list or repeated; --creds is what they get."`
}

// Help explains what the one-line summary cannot.
func (*nodeCommand) Help() string {
	return `One process is the broker, the registry, the API gateway, the sidecar and the
dashboard. It listens on this machine only and asks nobody for credentials there.
Any other address needs --tls-cert-file, --tls-key-file and --auth-file, for HTTP
--tls-client-ca-file or --jwt-keys; without them the node does not start.
--api-address off leaves the gateway out, and so for the others.

On a terminal five lines say that it is ready, elsewhere one line of JSON does.
SIGTERM and ctrl-C finish what is running and exit with 0; a second one exits at
once. With --url there is no broker in the process: the registry joins the one
that is named, and waits for it if it is not there yet.`
}

// Run runs the node until it is told to stop.
func (c *nodeCommand) Run(ctx context.Context, s *session) error {
	s.defaultLevel = zerolog.InfoLevel
	if s.opts.line.given("url") && s.opts.URL != "" {
		return c.join(ctx, s)
	}
	cfg, err := c.config(s)
	if err != nil {
		return err
	}
	n := &nodeRun{session: s, command: c}
	if n.faces, err = n.listeners(ctx, true); err != nil {
		return err
	}
	s.begin("starting the broker")
	node, err := embedded.Start(ctx, cfg)
	if err != nil {
		return nodeError(err)
	}
	n.conn, n.system = node.Conn(), node.System()
	n.addresses = addresses{Bus: node.URL(), Cluster: node.Addresses().Cluster, Store: node.StoreDir()}
	err = n.run(ctx, node)
	// A stop during the start leaves the node out of what was stopped.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(c.Grace))
	defer cancel()
	return errors.Join(err, node.Stop(stopping))
}

// join runs everything but the broker.
func (c *nodeCommand) join(ctx context.Context, s *session) error {
	if flag := c.brokerFlag(s); flag != "" {
		return usagef("--%s is for the broker in this process, and with --url there is none; leave one of them out", flag)
	}
	n := &nodeRun{session: s, command: c, addresses: addresses{Bus: s.opts.busURL}}
	var err error
	if n.faces, err = n.listeners(ctx, false); err != nil {
		return err
	}
	cfg := s.busConfig()
	cfg.FailFast = false
	conn, err := bus.Connect(ctx, cfg)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { s.disconnect(ctx, conn) }()
	n.conn = conn
	if c.SysCreds != "" {
		cfg.Creds, cfg.User, cfg.Password, cfg.Token = c.SysCreds, "", "", ""
		system, err := bus.Connect(ctx, cfg)
		if err != nil {
			return stopped(ctx, err)
		}
		defer func() { s.disconnect(ctx, system) }()
		n.system = system
	}
	return n.run(ctx)
}

// brokerFlag returns a flag on the command line that only makes sense with a
// broker in this process.
func (c *nodeCommand) brokerFlag(s *session) string {
	for _, f := range s.opts.line.node.Flags {
		switch f.Group.Key {
		case "Broker", "Safety", "Cluster":
			if s.opts.line.given(f.Name) {
				return f.Name
			}
		}
	}
	return ""
}

// config is what the flags ask of the broker.
func (c *nodeCommand) config(s *session) (embedded.Config, error) {
	o := &s.opts
	if c.SysCreds != "" {
		return embedded.Config{}, usagef("--sys-creds goes with --url: a broker in this process needs none")
	}
	if o.EnableTLS && (o.TLSCertFile == "" || o.TLSKeyFile == "") {
		return embedded.Config{}, usagef("--enable-tls: TLS certificate and key files not specified; add --tls-cert-file and --tls-key-file")
	}
	cfg := embedded.Config{
		Listen: c.Listen, StoreDir: c.StoreDir, Ephemeral: c.Ephemeral, NoJetStream: c.NoJetStream,
		SyncInterval: time.Duration(c.JetStreamSync), Domain: c.JetStreamDomain, MaxPayload: c.MaxPayload,
		TLSCertFile: o.TLSCertFile, TLSKeyFile: o.TLSKeyFile, TLSCAFile: o.TLSCAFile,
		AuthFile: c.AuthFile, InsecureAllowRemote: c.InsecureAllowRemote,
		Cluster: embedded.Cluster{Listen: c.ClusterListen, Name: c.ClusterName, Routes: c.ClusterRoutes},
		Logger:  s.logger(),
	}
	if len(c.LeafNode) > 0 {
		cfg.LeafNodes = []embedded.LeafNode{{URLs: c.LeafNode, Creds: o.Creds}}
	}
	// In the environment the server name is that of some service.
	if o.line.given("server-name") {
		cfg.ServerName = o.ServerName
	}
	return cfg, nil
}

// nodeError gives the errors of listeners their exit codes: 2 for what cannot
// be obeyed, 1 for what is in the way at this moment.
func nodeError(err error) error {
	if e, ok := errors.AsType[*bind.ConfigError](err); ok {
		return usagef("%s", e.Message)
	}
	if e, ok := errors.AsType[*token.FileError](err); ok {
		return usagef("%s", e)
	}
	if e, ok := errors.AsType[*bind.InUseError](err); ok {
		return e
	}
	return err
}

// addresses is where a node can be reached, as its ready line and
// --addresses-file have it.
type addresses struct {
	API      string   `json:"api,omitempty"`
	Sidecar  string   `json:"sidecar,omitempty"`
	Web      string   `json:"web,omitempty"`
	Bus      string   `json:"bus"`
	Cluster  string   `json:"cluster,omitempty"`
	Store    string   `json:"store,omitempty"`
	Services []string `json:"services"`
}

// add puts in where the listeners are.
func (a *addresses) add(fs faces) {
	urls := fs.urls()
	a.API, a.Sidecar, a.Web = urls["api"], urls["sidecar"], urls["web"]
}

// nodeRun is a node from its connections on.
type nodeRun struct {
	session   *session
	command   *nodeCommand
	conn      *bus.Conn
	system    *bus.Conn // in the system account, or nil
	faces     faces
	addresses addresses
}

// run runs the parts of the node, and before them the broker if it is one of
// them.
func (n *nodeRun) run(ctx context.Context, broker ...bus.Runner) error {
	parts, err := n.parts()
	if err != nil {
		return err
	}
	ready := ready{n.session, n.command.AddressesFile, &n.addresses, func() { n.addresses.add(n.faces) }, n.text}
	runners := append(append(broker, parts...), ready)
	return nodeError(bus.Run(ctx, time.Duration(n.command.Grace), runners...))
}

// tryNext is the next command for someone who has just started a node.
func (n *nodeRun) tryNext() string {
	command := "mbus"
	if n.addresses.Bus != localBroker {
		command += " --url " + n.addresses.Bus
	}
	if n.command.Demo {
		return command + ` query go.micro.srv.greeter Say.Hello '{"name": "John"}'`
	}
	return command + " list services"
}

// text is the five lines that a person reads.
func (n *nodeRun) text() string {
	return strings.Join([]string{
		"  dashboard " + cmp.Or(n.addresses.Web, "none"),
		"  api       " + cmp.Or(n.addresses.API, "none"),
		"  bus       " + n.addresses.Bus,
		"  store     " + cmp.Or(n.addresses.Store, "none"),
		"  try       " + n.tryNext(),
	}, "\n")
}
