package embedded

import (
	"errors"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// The flags of the mbus command that set the fields of Config. Errors name
// them, since they reach people who never see a Config.
const (
	flagListen        = "--listen"
	flagStoreDir      = "--store-dir"
	flagEphemeral     = "--ephemeral"
	flagSync          = "--jetstream-sync"
	flagDomain        = "--jetstream-domain"
	flagMaxPayload    = "--max-payload"
	flagTLSCert       = "--tls-cert-file"
	flagTLSKey        = "--tls-key-file"
	flagTLSCA         = "--tls-ca-file"
	flagAuth          = "--auth-file"
	flagInsecure      = "--insecure-allow-remote"
	flagServer        = "--server-name"
	flagClusterListen = "--cluster-listen"
	flagRoutes        = "--cluster-routes"
	flagLeaf          = "--leaf-node"
)

// ErrUnsafe is what a ConfigError wraps when the configuration would let other
// machines use the bus without TLS and authentication.
var ErrUnsafe = errors.New("other machines could use the bus without TLS and authentication")

// A ConfigError says that a Config cannot be obeyed. Nothing has been started.
type ConfigError = bind.ConfigError

// An InUseError says that an address or a store belongs to somebody else at
// this moment.
type InUseError = bind.InUseError
