package bus

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const (
	localURL = "nats://127.0.0.1:4222"

	// A broker that is there answers in milliseconds; one that is cut off
	// silently must not hold up a command for longer than a second.
	dialTimeout     = 2 * time.Second
	failFastTimeout = 900 * time.Millisecond

	// Two missed pings of a second each find a silent cut; NATS' own default
	// takes minutes.
	pingInterval = time.Second
	maxPingsOut  = 2

	// A broker that comes back is found within half a second, so the longest
	// pause between tries stays below it.
	firstPause = 100 * time.Millisecond
	maxPause   = 400 * time.Millisecond
)

// A Config says how to reach the bus. The zero Config reaches the broker named
// by MBUS_URL or NATS_URL, else the one on this machine.
type Config struct {
	// URL is a comma-separated list of broker addresses. Empty means the
	// environment variable MBUS_URL, then NATS_URL, then nats://127.0.0.1:4222.
	URL string
	// Name is what the broker shows for this connection. Empty means none.
	Name string

	// Creds is the path of a NATS credentials file.
	Creds string
	// User and Password, or Token, are the simpler credentials.
	User, Password, Token string

	// TLSCAFile holds the authorities to trust, instead of the system's.
	TLSCAFile string
	// TLSCertFile and TLSKeyFile are a client certificate.
	TLSCertFile, TLSKeyFile string

	// InboxPrefix begins the subjects that replies come to. Empty means
	// "_INBOX". It must begin with "_": services drop requests whose reply
	// would go anywhere else.
	InboxPrefix string

	// FailFast makes Connect return the first failure, within a second, as a
	// command wants it. Without it Connect waits for a missing broker until its
	// context ends, as a service wants it, and logs a line every 5 s.
	FailFast bool

	// MaxCalls bounds the calls that wait for a reply on this connection. At
	// the bound a call is refused with resource_exhausted. 0 means 65,536.
	MaxCalls int

	// Logger receives what cannot be returned. Its zero value is silent.
	Logger zerolog.Logger

	// InProcess connects to a broker in this process without a socket.
	InProcess nats.InProcessConnProvider
	// Dialer replaces the dialing of broker addresses, for proxies and for
	// fault injection. Nil means a plain dialer.
	Dialer nats.CustomDialer
}

func (c Config) url() string {
	return cmp.Or(c.URL, os.Getenv("MBUS_URL"), os.Getenv("NATS_URL"), localURL)
}

// options builds what nats.go is told; ctx ends the dialing of the first
// connection only, and tap is put on every one.
func (c Config) options(ctx context.Context, tap func(net.Conn) net.Conn) []nats.Option {
	timeout := dialTimeout
	if c.FailFast {
		timeout = failFastTimeout
	}
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(deadline)), time.Millisecond)
	}
	opts := []nats.Option{
		nats.Name(c.Name),
		nats.Timeout(timeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPingsOut),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(reconnectPause),
		// What is published while the broker is away fails at once. Buffered
		// requests would be answered after their callers have given up.
		nats.ReconnectBufSize(-1),
		nats.CustomInboxPrefix(c.inboxPrefix()),
	}
	switch {
	case c.InProcess != nil:
		opts = append(opts, nats.InProcessServer(yieldingProvider{c.InProcess, tap}))
	case c.Dialer != nil:
		opts = append(opts, nats.SetCustomDialer(yieldingDialer{c.Dialer, tap}))
	default:
		opts = append(opts, nats.SetCustomDialer(yieldingDialer{&firstDialer{ctx: ctx, timeout: timeout}, tap}))
	}
	if c.Creds != "" {
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.TLSCAFile != "" {
		opts = append(opts, nats.RootCAs(c.TLSCAFile))
	}
	if c.TLSCertFile != "" || c.TLSKeyFile != "" {
		opts = append(opts, nats.ClientCert(c.TLSCertFile, c.TLSKeyFile))
	}
	return opts
}

func (c Config) inboxPrefix() string { return cmp.Or(c.InboxPrefix, "_INBOX") }

// reconnectPause grows from about 100 ms to about 400 ms. The jitter keeps the
// clients of a restarted broker from arriving together.
func reconnectPause(tries int) time.Duration {
	pause := min(firstPause<<min(max(tries-1, 0), 4), maxPause)
	return pause/2 + rand.N(pause/2)
}

// firstDialer lets the context of Connect end the dialing that Connect waits
// for. Later dials, at a reconnect, have only a time limit: by then that context
// may be long over.
type firstDialer struct {
	ctx     context.Context
	timeout time.Duration
	reached atomic.Bool // a broker has been
}

// Dial connects to one broker address.
func (d *firstDialer) Dial(network, address string) (net.Conn, error) {
	ctx, dialer := d.ctx, net.Dialer{Timeout: d.timeout}
	if d.reached.Load() {
		ctx, dialer.Timeout = context.WithoutCancel(d.ctx), dialTimeout
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		d.reached.Store(true)
	}
	return conn, err
}
