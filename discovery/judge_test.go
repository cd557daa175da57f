package discovery

import (
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/codec"
)

// TestABusyViewDoesNotTrustItsJudgement: one that has not run for a while has
// not read the beats either.
func TestABusyViewDoesNotTrustItsJudgement(t *testing.T) {
	for name, c := range map[string]struct {
		behind  time.Duration
		suspect bool
	}{"on time": {0, true}, "a little late": {late / 2, true}, "far behind": {3 * time.Second, false}} {
		v := &View{table: newTable(10, 1<<20), plan: codec.NewPlan(), inquiries: make(map[key]*inquiry), kick: make(chan struct{}, 1)}
		start := time.Now()
		v.table.put(Instance{Service: "a", ID: "b", Interval: 2 * time.Second}, 100, false, start)
		due := v.table.nextDue
		v.wakeAt = due
		v.judge(due.Add(c.behind))
		if got := v.table.suspects == 1; got != c.suspect {
			t.Errorf("%s: suspect: %v, want %v", name, got, c.suspect)
		}
		// In the end it judges all the same.
		now := due.Add(c.behind + 2*late)
		v.wakeAt = now
		v.judge(now)
		if v.table.suspects != 1 {
			t.Errorf("%s: not suspect after all that time", name)
		}
	}
}
