//go:build unix

package e2e_test

import (
	"slices"
	"testing"
	"time"
)

// A warm command is one whose program is in the page cache: what is left is
// the start of the process, a connection and the question.
func TestCommandsAnswerAtOnce(t *testing.T) {
	b := startNode(t, "--ephemeral", "--demo")
	for _, args := range [][]string{
		{"version"}, // the start of the process alone
		{"list", "services"},
		{"get", "service", "go.micro.srv.greeter"},
		{"query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`},
		{"health", "go.micro.srv.greeter"},
		{"stats", "go.micro.srv.greeter"},
	} {
		const rounds = 10
		var times []time.Duration
		for range rounds + 1 {
			r := run(t, b.mbus(args...))
			if r.code != 0 {
				t.Fatalf("mbus %q: exit code %d: %s", args, r.code, r.stderr)
			}
			times = append(times, r.took)
		}
		times = times[1:] // the first one warms up
		slices.Sort(times)
		median := times[rounds/2]
		t.Logf("mbus %s: median %v, best %v", args[0], median, times[0])
		// On an idle machine it is a tenth of this.
		if median > 500*time.Millisecond {
			t.Errorf("mbus %q takes %v, want at most 500ms", args, median)
		}
	}
}
