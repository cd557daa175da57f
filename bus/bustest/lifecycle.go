package bustest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

const (
	lifecycleGrace = 10 * time.Second
	// promptly is how much virtual time a call may take beyond its context.
	promptly = 100 * time.Millisecond
	// settling is how long the broker may take to see the end of things.
	settling  = 10 * time.Second
	loadTasks = 8
	cycles    = 8
)

// lifecycle is what the options say about Lifecycle.
type lifecycle struct {
	grace time.Duration
	load  func(context.Context, *bus.Conn)
	probe func(context.Context, *bus.Conn) error
}

// WithGrace sets how long Stop may take in Lifecycle. The default is ten
// seconds, that of bus.Run.
func WithGrace(d time.Duration) Option {
	return func(o *options) { o.lifecycle.grace = d }
}

// WithLoad gives Lifecycle some work for the Runner: one call, or one event, on
// a connection that is not the Runner's. Eight goroutines repeat it with a pause
// of a millisecond. Its context ends some time after the Runner has stopped, so
// f has to expect failures.
func WithLoad(f func(ctx context.Context, conn *bus.Conn)) Option {
	return func(o *options) { o.lifecycle.load = f }
}

// WithProbe tells Lifecycle how to see, on a connection that is not the
// Runner's, that the Runner serves: f returns nil if it does.
func WithProbe(f func(ctx context.Context, conn *bus.Conn) error) Option {
	return func(o *options) { o.lifecycle.probe = f }
}

// Lifecycle checks what bus.Runner promises, each promise in a bubble with a
// broker of its own. newRunner makes a Runner on conn that has not been started;
// it is called several times, also on one connection.
//
// A Runner passes if
//   - it starts, serves when Start returns (WithProbe), and stops;
//   - it goes on serving when the context of Start ends afterwards;
//   - Stop without Start does nothing, nor does a second Stop, even at the same
//     time; a second Start is an error;
//   - Start returns promptly when its context ends before or meanwhile, or when
//     there is no broker; a Start that fails leaves nothing behind;
//   - Stop returns within its context: under load (WithLoad), without a broker,
//     on a silent network, on a closed connection, and when its context has
//     ended already;
//   - it survives a restart of the broker;
//   - after Stop its connection has the subscriptions from before, also once a
//     broker that was away is back, and no goroutine is left.
func Lifecycle(t *testing.T, newRunner func(b *Bus, conn *bus.Conn) bus.Runner, opts ...Option) {
	for _, c := range []struct {
		name  string
		check func(l *life)
	}{
		{"StartThenStop", (*life).startThenStop},
		{"ServesAfterTheContextOfStartHasEnded", (*life).outlivesStartContext},
		{"StopWithoutStart", (*life).stopWithoutStart},
		{"StopTwice", (*life).stopTwice},
		{"TwoStopsAtOnce", (*life).twoStopsAtOnce},
		{"SecondStartIsAnError", (*life).secondStart},
		{"StartWithAnEndedContext", (*life).startCancelled},
		{"CancelDuringStart", (*life).cancelDuringStart},
		{"StartWithoutBroker", (*life).startWithoutBroker},
		{"StopUnderLoad", (*life).stopUnderLoad},
		{"StopWithoutBroker", (*life).stopWithoutBroker},
		{"StopOnASilentNetwork", (*life).stopOnSilentNetwork},
		{"StopOnAClosedConnection", (*life).stopOnClosedConnection},
		{"StopWithAnEndedContext", (*life).stopCancelled},
		{"BrokerRestartWhileRunning", (*life).brokerRestart},
		{"ManyStartsAndStopsLeaveNothing", (*life).manyCycles},
	} {
		t.Run(c.name, func(t *testing.T) {
			Run(t, func(t *testing.T, b *Bus) {
				link := b.Link()
				l := &life{T: t, b: b, link: link, conn: b.Conn(t, link.Use), other: b.Conn(t), opts: b.opts.lifecycle}
				l.runner = func() bus.Runner { return newRunner(b, l.conn) }
				c.check(l)
			}, opts...)
		})
	}
}

// life is one check: the Runner's connection over a link, and another one.
type life struct {
	*testing.T
	b      *Bus
	link   *Link
	conn   *bus.Conn
	other  *bus.Conn
	runner func() bus.Runner
	opts   lifecycle
}

func (l *life) start(r bus.Runner) {
	l.Helper()
	if err := r.Start(Context(l)); err != nil {
		l.Fatalf("Start: %v", err)
	}
	l.probe("after Start")
}

func (l *life) probe(when string) {
	l.Helper()
	if l.opts.probe == nil {
		return
	}
	if err := l.opts.probe(Context(l), l.other); err != nil {
		l.Fatalf("%s the runner does not serve: %v", when, err)
	}
}

// stop stops r and returns its error; taking longer than grace fails the check.
func (l *life) stop(r bus.Runner, grace time.Duration) error {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), grace)
	defer cancel()
	began := time.Now()
	err := r.Stop(ctx)
	if took := time.Since(began); took > grace+promptly {
		l.Errorf("Stop took %v, its context ended after %v", took, grace)
	}
	return err
}

// stopClean stops r, which has no reason to fail.
func (l *life) stopClean(r bus.Runner) {
	l.Helper()
	if err := l.stop(r, l.opts.grace); err != nil {
		l.Errorf("Stop: %v", err)
	}
}

// startWithin starts r with ctx, which ends at about the given time, and stops
// it if it did start.
func (l *life) startWithin(ctx context.Context, r bus.Runner, limit time.Duration) {
	l.Helper()
	began := time.Now()
	err := r.Start(ctx)
	if took := time.Since(began); took > limit+promptly {
		l.Errorf("Start took %v, its context ended after %v", took, limit)
	}
	if err == nil {
		_ = l.stop(r, l.opts.grace)
	}
}

// warm lets the connection make what it keeps for itself, and returns its
// subscriptions then.
func (l *life) warm() []string {
	l.Helper()
	for range 2 {
		r := l.runner()
		l.start(r)
		l.stopClean(r)
	}
	time.Sleep(settling)
	return l.b.Subscriptions(l.T, l.conn)
}

// leftNothing checks that the connection has the subscriptions of before.
func (l *life) leftNothing(before []string) {
	l.Helper()
	var now []string
	for range settling / time.Second {
		time.Sleep(time.Second) // also for what is still under way
		if now = l.b.Subscriptions(l.T, l.conn); slices.Equal(now, before) {
			return
		}
	}
	l.Errorf("after Stop the connection has the subscriptions\n\t%q, before Start it had\n\t%q", now, before)
}

func (l *life) startThenStop() {
	before := l.warm()
	r := l.runner()
	l.start(r)
	time.Sleep(settling)
	l.probe("some time later")
	l.stopClean(r)
	l.leftNothing(before)
}

func (l *life) outlivesStartContext() {
	ctx, cancel := context.WithCancel(l.Context())
	defer cancel()
	r := l.runner()
	if err := r.Start(ctx); err != nil {
		l.Fatalf("Start: %v", err)
	}
	cancel()
	time.Sleep(settling)
	l.probe("after the context of Start has ended")
	l.stopClean(r)
}

func (l *life) stopWithoutStart() { l.stopClean(l.runner()) }

func (l *life) stopTwice() {
	r := l.runner()
	l.start(r)
	l.stopClean(r)
	l.stopClean(r)
}

func (l *life) twoStopsAtOnce() {
	r := l.runner()
	l.start(r)
	defer l.load()()
	time.Sleep(50 * time.Millisecond)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { l.stopClean(r) })
	}
	both.Wait()
}

func (l *life) secondStart() {
	r := l.runner()
	l.start(r)
	if err := r.Start(Context(l)); err == nil {
		l.Error("a second Start returned no error")
	}
	l.probe("after a second Start")
	l.stopClean(r)
}

func (l *life) startCancelled() {
	before := l.warm()
	ctx, cancel := context.WithCancel(l.Context())
	cancel()
	l.startWithin(ctx, l.runner(), 0)
	l.leftNothing(before)
}

func (l *life) cancelDuringStart() {
	before := l.warm()
	const trip, wait = 200 * time.Millisecond, 150 * time.Millisecond
	l.link.Delay(ToBroker, trip)
	ctx, cancel := context.WithTimeout(l.Context(), wait)
	defer cancel()
	l.startWithin(ctx, l.runner(), wait)
	l.link.Heal()
	l.leftNothing(before)
}

func (l *life) startWithoutBroker() {
	before := l.warm()
	l.b.Stop()
	const wait = 5 * time.Second
	ctx, cancel := context.WithTimeout(l.Context(), wait)
	defer cancel()
	l.startWithin(ctx, l.runner(), wait)
	l.b.Start()
	l.b.Await(l, l.conn)
	l.leftNothing(before)
}

// load keeps the runner busy until the returned function is called.
func (l *life) load() (end func()) {
	if l.opts.load == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(l.Context())
	var tasks sync.WaitGroup
	for range loadTasks {
		tasks.Go(func() {
			for ctx.Err() == nil {
				l.opts.load(ctx, l.other)
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() { cancel(); tasks.Wait() }
}

func (l *life) stopUnderLoad() {
	r := l.runner()
	l.start(r)
	end := l.load()
	defer end()
	time.Sleep(50 * time.Millisecond)
	l.stopClean(r)
}

func (l *life) stopWithoutBroker() {
	before := l.warm()
	r := l.runner()
	l.start(r)
	end := l.load()
	l.b.Stop()
	_ = l.stop(r, l.opts.grace)
	end()
	l.b.Start()
	l.b.Await(l, l.conn)
	l.leftNothing(before)
}

func (l *life) stopOnSilentNetwork() {
	before := l.warm()
	r := l.runner()
	l.start(r)
	end := l.load()
	l.link.Silence()
	_ = l.stop(r, l.opts.grace)
	end()
	time.Sleep(settling) // until both sides know
	l.link.Heal()
	l.b.Await(l, l.conn)
	l.leftNothing(before)
}

func (l *life) stopOnClosedConnection() {
	r := l.runner()
	l.start(r)
	_ = l.conn.Close(Context(l))
	_ = l.stop(r, l.opts.grace)
}

func (l *life) stopCancelled() {
	r := l.runner()
	l.start(r)
	end := l.load()
	defer end()
	_ = l.stop(r, 0)
	_ = l.stop(r, l.opts.grace) // it may tell of the first Stop's failure
}

func (l *life) brokerRestart() {
	before := l.warm()
	r := l.runner()
	l.start(r)
	end := l.load()
	l.b.Restart()
	l.b.Await(l, l.conn, l.other)
	time.Sleep(time.Second)
	l.probe("after a restart of the broker under load")
	end()
	l.b.Stop()
	time.Sleep(time.Minute)
	l.b.Start()
	l.b.Await(l, l.conn, l.other)
	time.Sleep(time.Second)
	l.probe("after the broker was away for a minute")
	l.stopClean(r)
	l.leftNothing(before)
}

func (l *life) manyCycles() {
	before := l.warm()
	synctest.Wait()
	goroutines := bubbleGoroutines()
	for range cycles {
		r := l.runner()
		l.start(r)
		l.stopClean(r)
	}
	l.leftNothing(before)
	time.Sleep(settling)
	synctest.Wait()
	if left := more(goroutines, bubbleGoroutines()); len(left) > 0 {
		l.Errorf("after %d more starts and stops there are more goroutines:\n\t%s", cycles, strings.Join(left, "\n\t"))
	}
}
