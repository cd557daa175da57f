package embedded

import (
	"cmp"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nuid"

	"github.com/mbus-dev/mbus/embedded/bind"
)

const (
	defaultCluster = "mbus"

	// A stop of a clustered node tells its clients first, waits for them to
	// find another node, and then cuts those that have not, one by one.
	// A peer that falls silent is cut after three to four intervals: the broker
	// leaves out the ping of the first one, in which it has still heard
	// something.
	pingInterval = 700 * time.Millisecond

	lameDuckGrace    = time.Second
	lameDuckDuration = 4 * time.Second
)

// A plan is a Config that has been checked against the world around it.
type plan struct {
	Config
	client  bind.Address // zero with DontListen
	cluster bind.Address // zero without a cluster
	users   authFile
	tls     material
	secrets secrets
}

// options spells the plan for nats-server.
func (p plan) options(dir string) (*server.Options, error) {
	opts := &server.Options{}
	if err := authorize(opts, p.users, p.secrets); err != nil {
		return nil, err
	}
	opts.ServerName = p.serverName()
	opts.Host, opts.Port, opts.DontListen = p.client.Host, serverPort(p.client), p.DontListen
	opts.TLSConfig = p.tls.server()
	opts.TLSVerify = p.TLSCAFile != ""

	// A library must leave signals, and the end of the process, to the program.
	opts.NoSigs = true
	opts.DisableJetStreamBanner = true

	opts.PingInterval = pingInterval
	opts.MaxPingsOut = 2
	opts.MaxPending = maxPending
	opts.MaxPayload = int32(cmp.Or(p.MaxPayload, server.MAX_PAYLOAD_SIZE))
	opts.LameDuckGracePeriod, opts.LameDuckDuration = lameDuckGrace, lameDuckDuration

	if !p.NoJetStream {
		opts.JetStream = true
		opts.StoreDir = dir
		opts.JetStreamDomain = p.Domain
		opts.SyncInterval = p.SyncInterval
		opts.SyncAlways = p.SyncInterval == 0 && !p.Ephemeral
	}
	if err := p.clusterOptions(opts); err != nil {
		return nil, err
	}
	return opts, p.leafOptions(opts)
}

// serverName makes a name that stays the same from start to start where the
// address does.
func (p plan) serverName() string {
	if p.ServerName != "" {
		return p.ServerName
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "mbus"
	}
	last := nuid.Next()
	if p.client.Port != 0 {
		last = strconv.Itoa(p.client.Port)
	}
	return strings.ReplaceAll(host, " ", "_") + "-" + last
}

func (p plan) clusterOptions(opts *server.Options) error {
	if !p.clustered() {
		return nil
	}
	c := &opts.Cluster
	c.Name = cmp.Or(p.Cluster.Name, defaultCluster)
	c.Host, c.Port = p.cluster.Host, serverPort(p.cluster)
	c.TLSConfig = p.tls.server()
	// The cut of a silent peer is as urgent as that of a client.
	c.PingInterval, c.MaxPingsOut = opts.PingInterval, opts.MaxPingsOut
	if p.users.Cluster != nil {
		c.Username, c.Password = p.users.Cluster.User, p.users.Cluster.Password
	}
	for _, route := range p.Cluster.Routes {
		u, err := url.Parse(route)
		if err != nil || u.Host == "" || u.Port() == "" {
			return bind.Errorf("%s wants nats://HOST:PORT, not %q", flagRoutes, redacted(route))
		}
		if u.User == nil && p.users.Cluster != nil {
			u.User = url.UserPassword(c.Username, c.Password)
		}
		opts.Routes = append(opts.Routes, u)
	}
	return nil
}

func (p plan) leafOptions(opts *server.Options) error {
	for _, leaf := range p.LeafNodes {
		remote := &server.RemoteLeafOpts{Credentials: leaf.Creds}
		if len(leaf.URLs) == 0 {
			return bind.Errorf("%s names no address", flagLeaf)
		}
		if leaf.Creds != "" {
			if _, err := readSecret(flagLeaf, leaf.Creds); err != nil {
				return err
			}
		}
		for _, address := range leaf.URLs {
			u, err := url.Parse(address)
			if err != nil || u.Host == "" {
				return bind.Errorf("%s wants nats://HOST:PORT, not %q", flagLeaf, redacted(address))
			}
			if u.Scheme == "tls" || u.Scheme == "wss" {
				remote.TLS = true
				remote.TLSConfig = p.tls.client()
			}
			remote.URLs = append(remote.URLs, u)
		}
		opts.LeafNode.Remotes = append(opts.LeafNode.Remotes, remote)
	}
	return nil
}

// redacted hides what stands before the host of an address.
func redacted(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return "xxxxx" + address[at:]
	}
	return address
}

// serverPort is the port as nats-server spells it.
func serverPort(a bind.Address) int {
	if a.Port == 0 {
		return -1
	}
	return a.Port
}
