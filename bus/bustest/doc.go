// Package bustest tests code that uses the bus against the real broker, in
// virtual time.
//
// [Run] starts a nats-server inside the test process, without a socket, in a
// bubble of testing/synctest. There a minute passes in a millisecond and a timer
// is exact, so timeouts, retries, heartbeats, restarts and drains can be tested
// as they are: no sleeps that are too short on a slow machine, no fake bus, and
// a goroutine left behind fails the test. A bubble with its broker costs about
// 30 ms with the race detector.
//
//   - [Run] gives a [Bus] in virtual time; [Start] one in real time, for
//     benchmarks.
//   - [Bus.Conn] connects to it. [Bus.Config] and [Bus.Server] are the way
//     around that.
//   - [Bus.Stop], [Bus.Start] and [Bus.Restart] take the broker away and bring
//     it back.
//   - [Bus.Link] is a wire that delays, throttles, stalls, drops, cuts or falls
//     silent.
//   - [WithJetStream], [WithUser] and [WithServer] change the broker.
//   - [Lifecycle] checks every promise of bus.Runner.
//   - [Context] and [Eventually] wait, but not for ever.
//
// Only _test.go files should import this package: it contains a whole broker
// and the testing package, and what only test files import is in no user's
// binary.
//
// # Rules of the bubble
//
//   - Make everything inside: connections, channels, timers. What belongs to one
//     bubble cannot be used in another.
//   - A bubble cannot have subtests: call Run inside of t.Run, not the other way
//     round. Nor may tests with bubbles, or tests with nats.go beside them, be
//     parallel: nats.go has a pool of timers for the whole process.
//   - Do not hold a mutex, or be inside of a sync.Once, while waiting for time to
//     pass: whoever else wants it stops virtual time. Run tells when that happens.
//   - A loop that does not sleep, not even a millisecond, keeps virtual time
//     from passing.
//
// # A complete example
//
// A service and its tests:
//
//	// Greeter greets whoever asks on greeter.hello.
//	type Greeter struct {
//		conn    *bus.Conn
//		started atomic.Bool
//		sub     *bus.Subscription
//	}
//
//	func (g *Greeter) Start(ctx context.Context) (err error) {
//		if !g.started.CompareAndSwap(false, true) {
//			return errors.New("a greeter runs once")
//		}
//		g.sub, err = g.conn.Subscribe(ctx, "greeter.hello", "q", bus.Limits{}, g.greet)
//		return err
//	}
//
//	func (g *Greeter) Stop(ctx context.Context) error {
//		if g.sub == nil {
//			return nil
//		}
//		return g.sub.Drain(ctx)
//	}
//
//	func (g *Greeter) greet(m *nats.Msg) {
//		time.Sleep(20 * time.Millisecond) // the work
//		_ = m.Respond([]byte("Hello, " + string(m.Data)))
//	}
//
//	func hello(ctx context.Context, conn *bus.Conn) error {
//		_, err := conn.Request(ctx, "greeter.hello", nil, []byte("John"))
//		return err
//	}
//
//	func TestTheGreeterTakesItsTime(t *testing.T) {
//		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
//			ctx := bustest.Context(t)
//			greeter, client := &Greeter{conn: b.Conn(t)}, b.Conn(t)
//			if err := greeter.Start(ctx); err != nil {
//				t.Fatal(err)
//			}
//			start := time.Now()
//			if err := hello(ctx, client); err != nil {
//				t.Fatal(err)
//			}
//			if took := time.Since(start); took != 20*time.Millisecond {
//				t.Errorf("took %v, want 20ms", took)
//			}
//		})
//	}
//
//	func TestALostReplyIsATimeout(t *testing.T) {
//		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
//			link := b.Link()
//			greeter, client := &Greeter{conn: b.Conn(t)}, b.Conn(t, link.Use)
//			if err := greeter.Start(bustest.Context(t)); err != nil {
//				t.Fatal(err)
//			}
//			lost := link.Drop(bustest.FromBroker, "_INBOX.>", 1)
//			if err := hello(bustest.Context(t), client); !errors.Is(err, bus.Timeout) {
//				t.Errorf("got %v, want a timeout", err)
//			}
//			if lost.Count() != 1 {
//				t.Errorf("the link lost %d replies, want 1", lost.Count())
//			}
//		})
//	}
//
//	func TestTheLifecycleOfTheGreeter(t *testing.T) {
//		bustest.Lifecycle(t,
//			func(_ *bustest.Bus, conn *bus.Conn) bus.Runner { return &Greeter{conn: conn} },
//			bustest.WithProbe(hello),
//			bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) { _ = hello(ctx, conn) }),
//		)
//	}
package bustest
