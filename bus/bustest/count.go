package bustest

import "testing"

// NotUnderRace skips a test that counts what the race detector changes:
// allocations, and which goroutine runs next. The same test runs without it.
func NotUnderRace(t testing.TB) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector changes what is counted here")
	}
}

// Allocations is how often the process allocates, on average and rounded down,
// while f runs once: f, and all that others do meanwhile, the broker included.
// An error of f fails the test. Before it, call [NotUnderRace].
func Allocations(t testing.TB, f func() error) float64 {
	t.Helper()
	for range 100 { // fills the pools, grows the stacks
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	return testing.AllocsPerRun(1000, func() {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	})
}
