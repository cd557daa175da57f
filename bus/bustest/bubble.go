package bustest

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

const (
	stuckAfter   = time.Hour
	contextLimit = time.Minute
)

// Main runs the tests of a package. It is needed only where Start is called
// inside a bubble that is not Run's, and does no harm elsewhere:
//
//	func TestMain(m *testing.M) { bustest.Main(m) }
//
// The broker's stores share one clock for the whole process. Main starts it
// outside every bubble; started inside one it would stop virtual time there.
func Main(m *testing.M) {
	ats.Register()
	defer ats.Unregister()
	m.Run()
}

// Run calls f in a bubble of testing/synctest with a broker of its own, and
// takes both down afterwards.
//
// In the bubble time is virtual: it jumps ahead whenever every goroutine waits,
// so a sleep is exact and costs nothing. A goroutine that outlives the test
// fails it. So does a test that is stuck: brokers and clients send pings for
// ever, hence the bubble itself never sees that nothing else happens; after an
// hour of virtual time (WithLimit) Run ends the process with the stacks of all
// goroutines. To learn of it as a plain failure give every call that can block
// the context of Context.
//
// Virtual time stands still while a goroutine waits for a mutex, a sync.Once or
// the network, since Go cannot tell how long that will take. Whoever holds a
// mutex while waiting for time to pass therefore hangs the test; after five
// seconds of it Run prints who waits.
//
// Bubbles of one process run one after another. Run fails at once in a test
// that called t.Parallel. The variables MBUS_URL and NATS_URL count as unset
// while it runs.
func Run(t *testing.T, f func(t *testing.T, b *Bus), opts ...Option) {
	t.Helper()
	// Setenv refuses parallel tests, which is wanted: nats.go keeps timers in
	// a pool of the whole process, and a timer of one bubble is fatal in another.
	t.Setenv("MBUS_URL", "")
	t.Setenv("NATS_URL", "")
	ats.Register()
	defer ats.Unregister()
	emptyPools()
	defer emptyPools()
	clock := watch(t.Name())
	defer clock.end()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(clock.tick())
		o := collect(opts)
		stuck := time.AfterFunc(o.limit, func() {
			panic(fmt.Sprintf("bustest: %s still runs after %v of virtual time (see bustest.WithLimit); all goroutines:\n\n%s", t.Name(), o.limit, stacks()))
		})
		t.Cleanup(func() { stuck.Stop() })
		f(t, start(t, o))
	})
}

// emptyPools drops what sync.Pools hold: it takes two collections.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}

// Context returns a context that ends with the test, or after a minute: virtual
// time in a bubble. With it a call that would wait for ever is an error that
// says where.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), contextLimit,
		fmt.Errorf("bustest: %s waited for a minute", t.Name()))
	t.Cleanup(cancel)
	return ctx
}

// Eventually waits until ok returns true, and fails the test if it does not
// within the given time. It asks every millisecond, which costs little in
// virtual time.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(time.Millisecond) {
		if !time.Now().Before(deadline) {
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}
