package embedded

import (
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/embedded/bind"
)

const (
	localAddress = "127.0.0.1:4222"

	// maxPending is what may wait for one connection that does not read; then
	// the broker cuts it. It also bounds MaxPayload.
	maxPending = 64 << 20
)

// A Config says how the broker of a node runs. The zero Config listens on
// 127.0.0.1:4222, keeps its streams under the user's state directory and asks
// for no credentials.
type Config struct {
	// Listen is the HOST:PORT that clients connect to. Empty means
	// 127.0.0.1:4222, port 0 a free port. A host that other machines can reach
	// (an empty one, as in ":4222", means all of them) needs TLS and AuthFile.
	Listen string
	// DontListen leaves out the client listener: only this process can
	// connect. It excludes Cluster.
	DontListen bool

	// StoreDir is where JetStream keeps its streams. Empty means
	// $XDG_STATE_HOME/mbus/PORT, without the variable ~/.local/state/mbus/PORT,
	// on macOS ~/Library/Application Support/mbus/PORT and on Windows
	// %LocalAppData%\mbus\PORT, where PORT is that of Listen ("in-process" with
	// DontListen). The directory is made with mode 0700.
	StoreDir string
	// Ephemeral keeps the streams in a new temporary directory that is removed
	// at the stop. Nothing in it has to survive a power cut, so it is not
	// fsynced. It excludes StoreDir.
	Ephemeral bool
	// NoJetStream leaves out JetStream, and with it the store.
	NoJetStream bool
	// SyncInterval is how often JetStream fsyncs what it wrote. 0 means at
	// every write, before it is acknowledged. More is faster and loses
	// acknowledged messages when the machine loses power; the log warns.
	SyncInterval time.Duration
	// Domain is the JetStream domain. Empty means none. A node with LeafNodes
	// needs one to keep its streams apart from those of the other side.
	Domain string

	// MaxPayload is the most bytes, headers included, of one message. 0 means
	// 1 MiB; at most 64 MiB.
	MaxPayload int

	// TLSCertFile and TLSKeyFile turn on TLS for clients and routes. The key
	// file must not be readable by group or others.
	TLSCertFile, TLSKeyFile string
	// TLSCAFile holds certificate authorities. With it, clients and routes
	// must show a certificate that one of them signed, and it verifies the
	// other side of routes and leaf node connections.
	TLSCAFile string
	// AuthFile lists the users that may connect; the package comment says how.
	// Empty means that anybody who reaches the listener may.
	AuthFile string
	// InsecureAllowRemote permits listeners that other machines can reach
	// without TLS and AuthFile. The log warns.
	InsecureAllowRemote bool

	// Cluster makes the node one of a NATS cluster.
	Cluster Cluster
	// LeafNodes are brokers that this one joins as a leaf node.
	LeafNodes []LeafNode

	// ServerName is the broker's name, unique in its cluster, without spaces.
	// Empty means HOSTNAME-PORT, with a random part instead of a port that is
	// not fixed. JetStream in a cluster finds its own data by this name.
	ServerName string

	// Logger receives the broker's log: its warnings and errors as such, its
	// notices at debug level, its debug lines at trace level. The zero value
	// is silent.
	Logger zerolog.Logger
}

// A Cluster says how a node finds the other nodes of a NATS cluster. The zero
// Cluster means that there are none.
type Cluster struct {
	// Listen is the HOST:PORT for the other nodes; it turns clustering on. The
	// rules of Config.Listen apply to it, and a host that other machines can
	// reach also needs the "cluster" entry in the auth file.
	Listen string
	// Name is the same on all nodes of a cluster. Empty means "mbus".
	Name string
	// Routes are the cluster addresses of the other nodes, such as
	// "nats://10.0.0.2:6222". Its own address among them does no harm. With
	// JetStream there must be one, as a single node never elects a leader.
	Routes []string
}

// A LeafNode is a broker to join as a leaf node: its subjects and this node's
// become one, without being one cluster.
type LeafNode struct {
	// URLs are addresses of the other side, "nats://" or "tls://", of which one
	// is used at a time.
	URLs []string
	// Creds is the path of a NATS credentials file. Empty means that the URLs
	// carry the credentials or none are needed.
	Creds string
}

func (c Config) clustered() bool { return c.Cluster.Listen != "" }

// check finds what is wrong with c without touching anything outside it.
func (c Config) check() error {
	switch {
	case c.DontListen && c.Listen != "":
		return bind.Errorf("a node without a listener has no address; leave out %s or set no DontListen", flagListen)
	case c.DontListen && c.clustered():
		return bind.Errorf("a clustered node needs a client listener; leave out %s", flagClusterListen)
	case c.Ephemeral && c.StoreDir != "":
		return bind.Errorf("%s and %s exclude each other; give one", flagEphemeral, flagStoreDir)
	case c.SyncInterval < 0:
		return bind.Errorf("%s %v is negative; 0 syncs every write", flagSync, c.SyncInterval)
	case c.MaxPayload < 0 || c.MaxPayload > maxPending:
		return bind.Errorf("%s %d is not between 1 byte and 64 MiB", flagMaxPayload, c.MaxPayload)
	case strings.ContainsAny(c.Domain, " \t.*>"):
		return bind.Errorf("%s %q contains a space, a dot or a wildcard", flagDomain, c.Domain)
	case strings.ContainsAny(c.ServerName, " \t"):
		return bind.Errorf("%s %q contains a space", flagServer, c.ServerName)
	case (c.TLSCertFile == "") != (c.TLSKeyFile == ""):
		return bind.Errorf("%s and %s need each other; give both", flagTLSCert, flagTLSKey)
	case c.TLSCAFile != "" && c.TLSCertFile == "" && len(c.LeafNodes) == 0:
		return bind.Errorf("%s asks clients for certificates, which needs TLS; add %s and %s", flagTLSCA, flagTLSCert, flagTLSKey)
	case !c.clustered() && (c.Cluster.Name != "" || len(c.Cluster.Routes) > 0):
		return bind.Errorf("a cluster needs an address for its other nodes; add %s", flagClusterListen)
	case c.clustered() && len(c.Cluster.Routes) == 0 && !c.NoJetStream:
		return bind.Errorf("one clustered node alone never elects a JetStream leader; name the others with %s, or leave out %s", flagRoutes, flagClusterListen)
	}
	return nil
}
