package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"
)

// waitLogInterval is how often Connect says that it still waits for a broker.
const waitLogInterval = 5 * time.Second

// A Conn is one connection to the bus. It reconnects for ever until it is
// closed. All its methods may be called from any goroutine.
type Conn struct {
	nc      *nats.Conn
	id      string
	cfg     Config
	log     zerolog.Logger
	mux     *mux
	replies *nats.Subscription
	lanes   [3]*lane
	pulse   *pulse
	denied  denials
	epoch   atomic.Uint64
	limit   atomic.Int64        // the broker's on a message, in bytes
	beside  atomic.Pointer[tap] // by which to send past NATS, nil while there is none
	writers sync.WaitGroup
	closed  chan struct{}
	closing *ending

	mu      sync.Mutex
	changed chan struct{}
	shared  sync.Map // written under mu

	yielder yielder // of who gathers frames
}

// Now is [time.Now] for deadlines and durations, at two thirds of its price: the time of
// the day in it is that of Connect and what has passed since.
func (c *Conn) Now() time.Time { return c.yielder.made.Add(time.Since(c.yielder.made)) }

// Connect connects to the bus. Without Config.FailFast it tries until ctx ends
// if there is no broker; a broker that refuses the credentials ends it at once.
// The error is an *Error: unavailable with End Broker when no broker could be
// reached, unauthenticated or permission_denied with End Refused when it said
// no, invalid_argument when cfg is wrong.
//
// After Connect ctx no longer matters; Close ends the connection.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, AsError(err)
	}
	if !strings.HasPrefix(cfg.inboxPrefix(), "_") {
		return nil, Errorf(InvalidArgument, "inbox prefix %q must begin with \"_\": services drop requests that want their reply elsewhere", cfg.InboxPrefix)
	}
	c := &Conn{
		id: nuid.Next(), cfg: cfg, log: cfg.Logger,
		closed: make(chan struct{}), closing: newEnding(), changed: make(chan struct{}),
	}
	c.mux = newMux(cfg.inboxPrefix()+"."+c.id+".", cfg.MaxCalls)
	for i := range c.lanes {
		c.lanes[i] = newLane(laneSize, c.Now)
	}
	c.lanes[Streams].size = streamLaneSize
	c.pulse = newPulse(c)
	c.yielder.made = time.Now()
	if err := c.dial(ctx); err != nil {
		return nil, err
	}
	c.epoch.Store(1)
	c.limit.Store(c.nc.MaxPayload())
	if err := c.subscribeReplies(ctx); err != nil {
		c.nc.Close()
		c.writers.Wait()
		return nil, err
	}
	return c, nil
}

// dial makes the first connection, waiting for a missing broker if it may.
func (c *Conn) dial(ctx context.Context) error {
	start, said := time.Now(), time.Now().Add(-waitLogInterval)
	for try := 1; ; try++ {
		opts := append(c.cfg.options(ctx, func(conn net.Conn) net.Conn { return newTap(conn, c) }),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.disconnected(err) }),
			nats.ReconnectHandler(func(*nats.Conn) { c.reconnected() }),
			nats.ClosedHandler(func(*nats.Conn) { c.ended() }),
			nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) { c.asyncError(sub, err) }),
		)
		nc, err := nats.Connect(c.cfg.url(), opts...)
		if err == nil {
			c.nc = nc
			return nil
		}
		refused := connectError(c.cfg, err)
		if c.cfg.FailFast || refused.End != Broker {
			refused.Elapsed = time.Since(start)
			return refused
		}
		if time.Since(said) >= waitLogInterval {
			said = time.Now()
			c.log.Warn().Err(err).Str("url", redact(c.cfg.url())).Msg("no broker yet, still trying")
		}
		pause := time.NewTimer(reconnectPause(try))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			refused.Elapsed = time.Since(start)
			refused.cause = errors.Join(refused.cause, context.Cause(ctx))
			return refused
		}
	}
}

// connectError says why the first connection failed.
func connectError(cfg Config, err error) *Error {
	at := redact(cfg.url())
	if cfg.InProcess != nil {
		at = "the broker in this process"
	}
	e := &Error{cause: err}
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		e.Code, e.End = Unauthenticated, Refused
		e.Message = fmt.Sprintf("%s refuses these credentials (%v); give a user or a creds file that it knows", at, err)
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		e.Code, e.End = Unauthenticated, Refused
		e.Message = fmt.Sprintf("%s: %v; name its certificate authority", at, err)
	case isTLS(err):
		e.Code, e.End = Unauthenticated, Refused
		e.Message = fmt.Sprintf("%s: TLS failed: %v; name its certificate authority (--tls-ca-file), and a client certificate if it wants one", at, err)
	case isConfig(err):
		e.Code = InvalidArgument
		e.Message = fmt.Sprintf("cannot use this configuration for %s: %v", at, err)
	default:
		e.Code, e.End, e.Retry = Unavailable, Broker, RetrySafe
		e.Message = fmt.Sprintf("no broker at %s (%v); start one with \"mbus node\" or name another with --url or MBUS_URL", at, err)
	}
	e.Status = e.Code.Status()
	return e
}

// Close ends the connection. What the broker has sent already is still handed
// to listeners and subscriptions, and what was published is flushed, within
// ctx; when ctx ends first the connection is cut and the error says so. Closing
// twice is allowed.
func (c *Conn) Close(ctx context.Context) error {
	select {
	case <-c.closing.done:
		return nil
	default:
	}
	err := c.closing.do(ctx, c.drain)
	c.nc.Close()
	<-c.closed
	c.writers.Wait()
	c.pulse.stop()
	for _, l := range c.lanes {
		l.stop()
	}
	c.mux.fail(func(*slot) bool { return true }, c.brokerGone("the connection is closed", RetryNever))
	return err
}

func (c *Conn) drain(ctx context.Context) error {
	if !c.nc.IsConnected() {
		return nil
	}
	for _, l := range c.lanes {
		if err := l.drain(ctx); err != nil {
			return fmt.Errorf("drain the connection: %w", err)
		}
	}
	if c.nc.Drain() != nil {
		return nil // it lost the broker meanwhile: nothing is left to drain
	}
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain the connection: %w", context.Cause(ctx))
	}
}

// NATS returns the NATS connection underneath, for what mbus does not offer.
// Its connection-wide handlers belong to the Conn: do not replace them.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// JetStream returns a JetStream handle on this connection.
func (c *Conn) JetStream() (jetstream.JetStream, error) { return jetstream.New(c.nc) }

// ID returns the token that names the connection in its reply subjects.
func (c *Conn) ID() string { return c.id }

// Identity returns the ids of the broker's server and of this client on it.
// Both are new after a reconnect.
func (c *Conn) Identity() (server string, client uint64) {
	client, err := c.nc.GetClientID()
	if err != nil {
		client = 0
	}
	return c.nc.ConnectedServerId(), client
}

// Connected reports whether the broker is there at this moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Epoch counts the times that the connection was made: 1 after Connect, one
// more after each reconnect.
func (c *Conn) Epoch() uint64 { return c.epoch.Load() }

// Changed returns a channel that is closed when the connection is next lost,
// made again or closed. Take the channel before reading the state it guards.
func (c *Conn) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Closed returns a channel that is closed once the connection has ended.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// MaxPayload is the most bytes, headers included, that the broker takes in one
// message, as it said when the connection was last made.
func (c *Conn) MaxPayload() int {
	// Every call asks, and NATS answers only between two writes to the socket.
	return int(c.limit.Load())
}

// Logger returns the logger of the Config.
func (c *Conn) Logger() zerolog.Logger { return c.log }

// Shared returns what a package keeps for all its values on this connection,
// such as a cache: the first call for a key makes it. make must not use the
// connection. A key is an unexported type of the package, so a connection
// holds one for each package that asks.
func (c *Conn) Shared(key any, make func() any) any {
	if value, ok := c.shared.Load(key); ok {
		return value
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.shared.Load(key)
	if !ok {
		value = make()
		c.shared.Store(key, value)
	}
	return value
}

// firstFlush is Flush, but that a broker which is lost meanwhile is waited for,
// as Connect waits for one that is not there yet. NATS subscribes again by
// itself.
func (c *Conn) firstFlush(ctx context.Context) error {
	for {
		changed := c.Changed()
		err := c.Flush(ctx)
		if err == nil || c.cfg.FailFast || !errors.Is(err, Broker) || ctx.Err() != nil || c.nc.IsClosed() {
			return err
		}
		if c.Connected() {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return err
		}
	}
}

// Flush waits until the broker has seen everything published before, or ctx
// ends.
func (c *Conn) Flush(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		ctx = bounded
	}
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return c.sendError(err, "")
	}
	return nil
}

// settleTries bounds how often Settle looks.
const settleTries = 16

// Settle lets other goroutines run until what was published before is with the
// operating system, or for a little while. Who gathers small messages does it
// meanwhile: they would wait for the same write.
func (c *Conn) Settle() {
	for range settleTries {
		runtime.Gosched()
		// NATS writes under the lock that this takes.
		if n, err := c.nc.Buffered(); n == 0 || err != nil {
			return
		}
	}
}

// Yield lets goroutines that are about to send do so before the caller sends
// what it has gathered. It costs nothing where there are none, and does nothing
// for a while where it has taken long.
func (c *Conn) Yield() { c.yielder.yield(nil) }

func (c *Conn) disconnected(err error) {
	if !c.nc.IsClosed() {
		c.log.Warn().Err(err).Str("url", redact(c.cfg.url())).Msg("lost the broker, trying again")
	}
	c.mux.fail(func(*slot) bool { return true }, c.brokerGone("lost the broker while waiting for the reply; the request may have been served", RetryNever))
	c.change()
}

func (c *Conn) reconnected() {
	c.epoch.Add(1)
	c.limit.Store(c.nc.MaxPayload())
	c.denied.clear()
	c.log.Info().Str("url", c.nc.ConnectedUrlRedacted()).Msg("the broker is back")
	c.change()
}

func (c *Conn) ended() {
	close(c.closed)
	c.change()
}

func (c *Conn) change() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}
