package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded/bind"
)

const (
	// connectTimeout is for the connections inside this process, which take a
	// millisecond on a machine with any time to spare.
	connectTimeout = 10 * time.Second
	// routePoll is how often Start looks whether the cluster listener is up;
	// nats-server opens it on the side and tells nobody.
	routePoll = 200 * time.Microsecond
)

var _ bus.Runner = (*Node)(nil)

// A Node is a running broker with two connections to it. All its methods may
// be called from any goroutine.
type Node struct {
	cfg     Config
	client  bind.Address
	srv     *server.Server
	log     *logger
	store   store
	conn    *bus.Conn
	system  *bus.Conn
	listens Addresses
	started sync.Once
	stopped sync.Once
	stopErr error
}

// Addresses are the addresses, as HOST:PORT, that a node listens on, with the
// ports that were chosen for port 0.
type Addresses struct {
	Client  string `json:"client,omitempty"`  // empty with DontListen
	Cluster string `json:"cluster,omitempty"` // empty without a cluster
}

// Start starts a broker. When it returns, clients can connect, JetStream is
// enabled, unless cfg says otherwise, and the node's own connections are made.
// In a cluster JetStream may still be waiting for its peers.
//
// The error is a [*ConfigError] if cfg cannot be obeyed, an [*InUseError] if
// the address or the store belongs to somebody else; both come within a
// second. After an error nothing is left running and nothing is locked.
//
// ctx bounds the start, except that reading the streams in the store cannot be
// interrupted: then Start returns once that is done. After the return ctx no
// longer matters; Stop ends the node.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	p, err := prepared(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := cfg.openStore(p.client.Port)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, client: p.client, log: &logger{log: cfg.Logger}, store: s}
	if err := n.start(ctx, p); err != nil {
		// The start has failed already; what the way back finds says no more.
		_ = n.Stop(ctx)
		return nil, err
	}
	return n, nil
}

// prepared checks cfg, reads its files, looks up its addresses and finds out
// whether they are free. Nothing is left open.
func prepared(ctx context.Context, cfg Config) (plan, error) {
	p := plan{Config: cfg, secrets: newSecrets()}
	if err := cfg.check(); err != nil {
		return p, err
	}
	var endpoints []bind.Address
	var err error
	if !cfg.DontListen {
		if p.client, err = bind.Resolve(ctx, flagListen, cmp.Or(cfg.Listen, localAddress)); err != nil {
			return p, err
		}
		endpoints = append(endpoints, p.client)
	}
	if cfg.clustered() {
		if p.cluster, err = bind.Resolve(ctx, flagClusterListen, cfg.Cluster.Listen); err != nil {
			return p, err
		}
		if p.client.Port == 0 && cfg.ServerName == "" && !cfg.NoJetStream {
			return p, bind.Errorf("JetStream in a cluster needs a name that stays the same; add %s, or a fixed port to %s", flagServer, flagListen)
		}
		endpoints = append(endpoints, p.cluster)
	}
	if p.users, err = readAuthFile(cfg.AuthFile); err != nil {
		return p, err
	}
	exposed, err := cfg.checkSafe(endpoints, p.users)
	if err != nil {
		return p, err
	}
	if p.tls, err = cfg.readTLS(); err != nil {
		return p, err
	}
	for _, e := range endpoints {
		if err := e.CheckFree(ctx); err != nil {
			return p, err
		}
	}
	if len(exposed) > 0 {
		cfg.Logger.Warn().Strs("listeners", exposed).Msg("other machines can use the bus without TLS or authentication, as " + flagInsecure + " allows")
	}
	if cfg.SyncInterval > 0 {
		cfg.Logger.Warn().Dur("interval", cfg.SyncInterval).Msg("JetStream acknowledges before it has synced to disk: a power cut loses messages; leave out " + flagSync + " to sync every write")
	}
	return p, nil
}

func (n *Node) start(ctx context.Context, p plan) error {
	opts, err := p.options(n.store.dir)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return bind.Errorf("the broker cannot use this configuration: %w", err)
	}
	srv.SetLoggerV2(n.log, n.log.wantsDebug(), false, false)
	n.srv = srv
	// Start returns when JetStream has read its store and the client listener
	// is open. There is nothing to poll for but the cluster's listener.
	srv.Start()
	if err := n.waitForRoutes(ctx); err != nil {
		return err
	}
	if text := n.log.failure(); text != "" {
		return n.startError(p, text)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start the broker: %w", context.Cause(ctx))
	}
	if addr := srv.Addr(); addr != nil {
		n.listens.Client = addr.String()
	}
	if addr := srv.ClusterAddr(); addr != nil {
		n.listens.Cluster = addr.String()
	}
	return n.connect(ctx, p.secrets)
}

// waitForRoutes returns when the cluster's listener is open or failed.
func (n *Node) waitForRoutes(ctx context.Context) error {
	if !n.cfg.clustered() {
		return nil
	}
	tick := time.NewTicker(routePoll)
	defer tick.Stop()
	for n.srv.ClusterAddr() == nil && n.log.failure() == "" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("start the broker: wait for its cluster listener: %w", context.Cause(ctx))
		}
	}
	return nil
}

// startError says why nats-server gave up. Somebody may have taken an address
// since it was found free.
func (n *Node) startError(p plan, text string) error {
	if strings.Contains(text, "address already in use") {
		e := p.client
		if strings.Contains(text, "router port") {
			e = p.cluster
		}
		return e.InUse()
	}
	return fmt.Errorf("start the broker: %s", text)
}

// connect makes the node's two connections side by side.
func (n *Node) connect(ctx context.Context, s secrets) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var work sync.WaitGroup
	var systemErr, connErr error
	work.Go(func() {
		n.system, systemErr = n.dial(ctx, "mbus system", systemUser, s.system)
	})
	n.conn, connErr = n.dial(ctx, "mbus node", nodeUser, s.node)
	work.Wait()
	if err := errors.Join(connErr, systemErr); err != nil {
		return fmt.Errorf("connect to the broker in this process: %w", err)
	}
	return nil
}

func (n *Node) dial(ctx context.Context, name, user, password string) (*bus.Conn, error) {
	return bus.Connect(ctx, bus.Config{
		Name: name, User: user, Password: password, InProcess: n.srv, Logger: n.cfg.Logger,
	})
}

// Start does nothing: a Node runs from the beginning. It makes a Node a
// bus.Runner. A second call is an error, as for every Runner.
//
// bus.Run stops what it has started, and it starts nothing when its context
// has ended before; so call Stop as well.
func (n *Node) Start(context.Context) error {
	err := errors.New("a node starts once; make a new one")
	n.started.Do(func() { err = nil })
	return err
}

// Stop ends the node: its connections drain until ctx ends, the clients of a
// clustered node are told to go elsewhere and have a few seconds for it within
// ctx, then the broker shuts down, its store is unlocked, and a temporary one
// is removed. What ctx did not leave time for is cut, and the error says so.
//
// Stop waits for all that. A second Stop waits for the first and returns the
// same.
func (n *Node) Stop(ctx context.Context) error {
	n.stopped.Do(func() { n.stopErr = n.stop(ctx) })
	return n.stopErr
}

func (n *Node) stop(ctx context.Context) error {
	var errs []error
	for _, c := range []*bus.Conn{n.conn, n.system} {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	if n.srv != nil {
		if n.cfg.clustered() && n.conn != nil {
			n.lameDuck(ctx)
		}
		n.srv.Shutdown()
		n.srv.WaitForShutdown()
	}
	errs = append(errs, n.store.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	return nil
}

// lameDuck lets the clients of a clustered node move to another one until ctx
// ends.
func (n *Node) lameDuck(ctx context.Context) {
	moved := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer close(moved)
		n.srv.LameDuckShutdown()
	})
	select {
	case <-moved:
	case <-ctx.Done():
		n.srv.Shutdown() // also ends the wait for clients
	}
	work.Wait()
}

// Conn returns the node's own connection, in the account of anonymous clients
// and users alike, without limits and without a socket between. It belongs to
// the Node, which closes it.
func (n *Node) Conn() *bus.Conn { return n.conn }

// System returns the connection in the account $SYS, where NATS tells of
// connects and disconnects and answers questions about itself. It belongs to
// the Node, which closes it.
func (n *Node) System() *bus.Conn { return n.system }

// URL is where clients on this machine connect, without credentials; empty with
// DontListen. Its port is the chosen one. The scheme is "tls" with TLS.
func (n *Node) URL() string {
	bound, err := netip.ParseAddrPort(n.listens.Client)
	if err != nil {
		return ""
	}
	scheme := "nats"
	if n.cfg.TLSCertFile != "" {
		scheme = "tls"
	}
	return scheme + "://" + n.client.Reachable(bound.Port())
}

// Addresses returns what the node listens on.
func (n *Node) Addresses() Addresses { return n.listens }

// StoreDir returns the directory of the store, empty without JetStream.
func (n *Node) StoreDir() string { return n.store.dir }

// ServerID returns the broker's id, which bus.Conn.Identity and the events of
// the system account carry too.
func (n *Node) ServerID() string { return n.srv.ID() }
