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
