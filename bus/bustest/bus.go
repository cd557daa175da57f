package bustest

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
)

const (
	bootLimit  = 10 * time.Second
	closeLimit = 10 * time.Second
	afterglow  = 200 * time.Millisecond
)

// A Bus is one broker, a real nats-server in this process, for one test. It
// listens on no socket. All its methods may be called from any goroutine, but
// Start, Stop and Restart only by the test itself.
type Bus struct {
	t        testing.TB
	opts     options
	storeDir string
	virtual  bool // time is; see wire
	wires    sync.WaitGroup
	ending   chan struct{} // closed at the end of the test

	mu    sync.Mutex
	srv   *server.Server // nil while stopped
	links []*Link
}

// Start starts a broker that the test's cleanup stops, in real time: for
// benchmarks, and for tests that need a real network. Everything else is better
// off with Run. Start works in a bubble of the caller's own too, if TestMain
// calls Main.
func Start(t testing.TB, opts ...Option) *Bus {
	t.Helper()
	return start(t, collect(opts))
}

func start(t testing.TB, opts options) *Bus {
	t.Helper()
	b := &Bus{t: t, opts: opts, virtual: inBubble(), ending: make(chan struct{})}
	if b.opts.jetStream {
		b.storeDir = t.TempDir()
	}
	t.Cleanup(b.end)
	b.Start()
	return b
}

// Server returns the broker of this moment, nil while it is stopped.
func (b *Bus) Server() *server.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.srv
}

// InProcessConn makes a connection to the broker, or fails while it is stopped:
// a Bus is a nats.InProcessConnProvider, so plain nats.go connects with
// nats.Connect("", nats.InProcessServer(b)).
func (b *Bus) InProcessConn() (net.Conn, error) {
	conn, err := b.dial()
	if err != nil {
		return nil, err
	}
	return b.unblock(conn), nil
}

func (b *Bus) dial() (net.Conn, error) {
	srv := b.Server()
	if srv == nil {
		return nil, errors.New("the broker of the test is stopped")
	}
	return srv.InProcessConn()
}

// Config returns a configuration that connects to the broker and logs to the
// test.
func (b *Bus) Config() bus.Config {
	return bus.Config{
		Name:      b.t.Name(),
		InProcess: b,
		Logger:    zerolog.New(zerolog.NewTestWriter(b.t)),
	}
}

// Conn connects to the broker and closes the connection in t's cleanup. Every
// call makes a new connection. Each change may alter the configuration first:
//
//	conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "secret" })
func (b *Bus) Conn(t testing.TB, change ...func(*bus.Config)) *bus.Conn {
	t.Helper()
	cfg := b.Config()
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	conn, err := bus.Connect(ctx, cfg)
	if err != nil {
		t.Fatalf("connect to the broker of the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		// A link that a fault has shut cannot drain.
		if err := conn.Close(ctx); err != nil && !faulty(cfg) {
			t.Errorf("close the connection: %v", err)
		}
	})
	return conn
}

// Await waits until the connections have a broker (again) that knows their
// subscriptions, for at most ten seconds.
func (b *Bus) Await(t testing.TB, conns ...*bus.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	for i, conn := range conns {
		if err := await(ctx, conn); err != nil {
			t.Fatalf("connection %d of %d has no broker: %v", i+1, len(conns), err)
		}
	}
}

func await(ctx context.Context, conn *bus.Conn) error {
	for {
		changed := conn.Changed()
		if conn.Connected() {
			// It may be lost again, or not yet be known to be lost.
			if err := conn.Flush(ctx); err == nil || ctx.Err() != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-conn.Closed():
			return errors.New("it is closed")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Subscriptions returns what conn subscribes to, as the broker sees it: sorted
// subjects, each followed by its queue group if it has one. A connection without
// the broker has none.
func (b *Bus) Subscriptions(t testing.TB, conn *bus.Conn) []string {
	t.Helper()
	srv := b.Server()
	_, client := conn.Identity()
	if srv == nil || client == 0 {
		return nil
	}
	list, err := srv.Connz(&server.ConnzOptions{CID: client, SubscriptionsDetail: true})
	if err != nil {
		t.Fatalf("ask the broker for subscriptions: %v", err)
	}
	var subs []string
	for _, c := range list.Conns {
		for _, s := range c.SubsDetail {
			subs = append(subs, strings.TrimSpace(s.Subject+" "+s.Queue))
		}
	}
	slices.Sort(subs)
	return subs
}

// Stop ends the broker: every connection is closed at once, and new ones fail
// until Start. Stopping twice is allowed.
func (b *Bus) Stop() {
	b.mu.Lock()
	srv := b.srv
	b.srv = nil
	b.mu.Unlock()
	if srv == nil {
		return
	}
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Start starts the broker after Stop, with the same options and the same
// JetStream files. It is a new server with a new id; clients find it when they
// next try, and Await waits for that.
func (b *Bus) Start() {
	b.t.Helper()
	if b.Server() != nil {
		b.t.Fatal("the broker of the test runs already")
	}
	srv, err := server.NewServer(b.serverOptions())
	if err != nil {
		b.t.Fatalf("configure the broker of the test: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(bootLimit) {
		srv.Shutdown()
		b.t.Fatalf("the broker of the test is not ready after %v", bootLimit)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.srv = srv
}

// Restart is Stop and Start.
func (b *Bus) Restart() {
	b.t.Helper()
	b.Stop()
	b.Start()
}

// serverOptions are those of an embedded node where clients can tell.
func (b *Bus) serverOptions() *server.Options {
	o := &server.Options{
		ServerName:   "bustest",
		DontListen:   true,
		NoSigs:       true,
		NoLog:        true,
		PingInterval: time.Second,
		MaxPingsOut:  2,
		JetStream:    b.opts.jetStream,
		StoreDir:     b.storeDir,
	}
	for _, f := range b.opts.server {
		f(o)
	}
	return o
}

func (b *Bus) end() {
	b.mu.Lock()
	links := b.links
	b.mu.Unlock()
	for _, l := range links {
		l.end()
	}
	b.Stop()
	close(b.ending)
	b.wires.Wait()
	if b.virtual {
		// nats.go polls while it drains, and looks once more after that.
		time.Sleep(afterglow)
		return
	}
	emptyPools() // for the bubble that comes next
}
