//go:build unix

package e2e_test

import (
	"os"
	"slices"
	"testing"
	"time"
)

// eventually runs f until it returns nil and tells how long that took. f must
// not block for long.
func eventually(t testing.TB, within time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		err := f()
		took := time.Since(begin)
		if err == nil {
			return took
		}
		if took > within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		<-again.C
	}
}

// keepsPromise checks the times of a few rounds: the median keeps the promise,
// and even the worst, on a busy machine, is below most.
func keepsPromise(t testing.TB, what string, promise, most time.Duration, rounds []time.Duration) {
	t.Helper()
	t.Logf("%s: %v (promised %v)", what, rounds, promise)
	sorted := slices.Sorted(slices.Values(rounds))
	if median := sorted[len(sorted)/2]; median > promise {
		t.Errorf("%s: median %v of %v, want at most %v", what, median, rounds, promise)
	}
	if worst := sorted[len(sorted)-1]; worst > most {
		t.Errorf("%s: worst %v of %v, want at most %v", what, worst, rounds, most)
	}
}

// rounds is how often a test repeats what it times.
func rounds(short int) int {
	if long() {
		return 4 * short
	}
	return short
}

// long reports whether the long forms are asked for.
func long() bool { return os.Getenv("MBUS_LONG") != "" }
