// Package embedded runs the broker of an all-in-one node: a NATS server inside
// this process, with JetStream, safe by default.
//
//	node, err := embedded.Start(ctx, embedded.Config{StoreDir: dir})
//	if err != nil {
//		return err
//	}
//	defer node.Stop(context.WithoutCancel(ctx))
//	conn := node.Conn() // in process, no socket between
//
// When [Start] returns, the client listener is up, JetStream is enabled and
// both in-process connections are made. [Node.Stop] ends them in the opposite
// order. A Node is also a bus.Runner; put it first, so that it stops last.
//
// # What it may be reached by
//
// The broker listens on the loopback interface, where it asks for no
// credentials. Any other address, for clients or for the cluster, needs TLS and
// an auth file; without them [Start] returns a [*ConfigError] for which
// errors.Is(err, [ErrUnsafe]) holds. Config.InsecureAllowRemote overrides that,
// with a warning in the log.
//
// # Accounts
//
//	user                   account  from
//	anonymous              $G       anywhere; not with an auth file
//	users of the auth file $G       anywhere
//	the node's own         $G       this process only, behind [Node.Conn]
//	the system user        $SYS     this process only, behind [Node.System]
//
// JetStream belongs to $G. The two users of this process have random passwords
// that are never written anywhere, and a socket cannot log in as either.
//
// # The auth file
//
// Config.AuthFile names a JSON file that only its owner can read (mode 0600):
//
//	{
//	  "users": [
//	    {"user": "admin", "password": "$2a$11$…"},
//	    {"user": "shop", "password": "s3cret",
//	     "publish":   ["order.>", "mbus.rpc.greeter.>"],
//	     "subscribe": ["order.> shop", "_INBOX.>"]}
//	  ],
//	  "cluster": {"user": "route", "password": "an0ther"}
//	}
//
//	key        meaning                                absent means
//	users      who may connect; at least one          refused
//	user       1–128 bytes, no spaces, not "_mbus…"   refused
//	password   a bcrypt hash or the password itself   refused
//	publish    subjects the user may publish to       all; [] is none
//	subscribe  subjects the user may subscribe to,    all; [] is none
//	           each with an optional queue name
//	cluster    what routes of the cluster log in      no log in, which only a
//	           with, the same on every node; its      loopback cluster may have
//	           password is not hashed
//
// Unknown keys are refused, since a misspelt right would be no limit at all.
//
// # The store
//
// JetStream keeps its streams in <store>/jetstream, mode 0700, and fsyncs each
// write before it is acknowledged. <store>/lock is locked for as long as the
// node runs and holds its process id, so two nodes never share a store; a
// second one gets an [*InUseError] at once. The lock ends with the process
// however that ends, and the file stays.
//
// # Liveness
//
// The broker pings each client every second and gives up on one after the
// second ping without an answer, so a client that was cut off silently is gone
// within three seconds. A connection that does not read is cut at 64 MiB of
// waiting messages; before that, its publishers are slowed down.
package embedded
