package bustest

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// An Option changes the broker or the bubble of one test.
type Option func(*options)

type options struct {
	jetStream bool
	limit     time.Duration
	server    []func(*server.Options)
	lifecycle lifecycle
}

func collect(opts []Option) options {
	o := options{limit: stuckAfter, lifecycle: lifecycle{grace: lifecycleGrace}}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// WithJetStream switches JetStream on. Its files are in a temporary directory
// of the test and outlive Stop and Restart.
func WithJetStream() Option {
	return func(o *options) { o.jetStream = true }
}

// WithServer lets f change the options that the broker starts with: accounts, a
// small MaxPayload or MaxPending, other ping times. f is called again at every
// Start, with fresh options. A broker that listens on a real socket has no place
// in a bubble: virtual time stands still while it waits for the network.
func WithServer(f func(*server.Options)) Option {
	return func(o *options) { o.server = append(o.server, f) }
}

// WithUser adds a user with these rights; nil rights are all rights. A
// connection that names no user keeps all rights.
//
//	bustest.WithUser("guest", "secret", &server.Permissions{
//		Publish: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
//	})
func WithUser(name, password string, rights *server.Permissions) Option {
	return WithServer(func(o *server.Options) {
		if o.NoAuthUser == "" {
			o.NoAuthUser = "bustest"
			o.Users = append(o.Users, &server.User{Username: o.NoAuthUser, Password: "bustest"})
		}
		o.Users = append(o.Users, &server.User{Username: name, Password: password, Permissions: rights})
	})
}

// WithLimit sets after how much virtual time a test counts as stuck; see Run.
// The default is an hour.
func WithLimit(d time.Duration) Option {
	return func(o *options) { o.limit = d }
}
