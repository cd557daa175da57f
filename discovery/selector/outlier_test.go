package selector_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
)

// ill lets n calls of "a" end so, one after the other.
func ill(t *testing.T, p *selector.Picker, list []discovery.Instance, n int, o selector.Outcome) {
	t.Helper()
	for range n {
		c := pick(t, p, list, selector.Call{Avoid: []string{"b", "c"}})
		if c.ID != "a" {
			t.Fatalf("the call went to %s, a is out already", c.ID)
		}
		c.Done(o)
	}
}

func TestWhoIsPutOutAndForHowLong(t *testing.T) {
	const all, others = "[a b c]", "[b c]"
	for _, row := range []struct {
		name, strategy string
		calls          int
		outcome        selector.Outcome
		out            time.Duration // 0: not at all
	}{
		{"nobody listens", "random", 1, selector.Nobody, time.Second},
		{"three have no answer", "roundrobin", 3, selector.Silent, time.Second},
		{"two have no answer", "roundrobin", 2, selector.Silent, 0},
		{"faults", "least-loaded", 10, selector.Failed, 0},
		{"refusals of what is wrong", "blacklist", 10, selector.Answered, 0},
		{"callers that give up", "blacklist", 10, selector.Void, 0},
		{"faults on the blacklist", "blacklist", 3, selector.Failed, 30 * time.Second},
		{"two faults on the blacklist", "blacklist", 2, selector.Failed, 0},
		{"silence on the blacklist", "blacklist", 3, selector.Silent, 30 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := picker(t, row.strategy)
				list := instances("a", "b", "c")
				ill(t, p, list, row.calls, row.outcome)
				if row.out == 0 {
					if row.strategy == "least-loaded" {
						time.Sleep(time.Hour) // faults make it look slow, not gone
					}
					if got := reached(t, p, list); got != all {
						t.Errorf("calls go to %s, want %s", got, all)
					}
					return
				}
				if got := reached(t, p, list); got != others {
					t.Errorf("calls go to %s at once, want %s", got, others)
				}
				time.Sleep(row.out - time.Millisecond)
				if got := reached(t, p, list); got != others {
					t.Errorf("calls go to %s before %v, want %s", got, row.out, others)
				}
				time.Sleep(time.Millisecond)
				if got := reached(t, p, list); got != all {
					t.Errorf("calls go to %s after %v, want %s", got, row.out, all)
				}
			})
		})
	}
}

func TestAnAnswerBetweenEndsTheRow(t *testing.T) {
	for strategy, wrong := range map[string]selector.Outcome{"random": selector.Silent, "blacklist": selector.Failed} {
		p := picker(t, strategy)
		list := instances("a", "b", "c")
		for range 5 {
			ill(t, p, list, 2, wrong)
			ill(t, p, list, 1, selector.Answered)
		}
		ill(t, p, list, 1, selector.Answered)
	}
}

func TestOneProbeAtATimeAndTheTimeGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "random")
		list := instances("a", "b", "c")
		ill(t, p, list, 3, selector.Silent)
		for _, hold := range []int{1, 2, 4, 8, 16, 30, 30} {
			time.Sleep(time.Duration(hold)*time.Second - time.Millisecond)
			if got := reached(t, p, list); got != "[b c]" {
				t.Fatalf("calls go to %s before %d s", got, hold)
			}
			time.Sleep(time.Millisecond)
			probe := pick(t, p, list, selector.Call{Avoid: []string{"b", "c"}})
			if probe.ID != "a" {
				t.Fatalf("after %d s the call went to %s, want the probe", hold, probe.ID)
			}
			if got := reached(t, p, list); got != "[b c]" {
				t.Fatalf("calls go to %s beside the probe", got)
			}
			probe.Done(selector.Silent)
		}
		time.Sleep(30 * time.Second)
		ill(t, p, list, 1, selector.Answered)
		if got := reached(t, p, list); got != "[a b c]" {
			t.Errorf("calls go to %s after a good probe", got)
		}
		ill(t, p, list, 3, selector.Silent)
		time.Sleep(time.Second)
		ill(t, p, list, 1, selector.Answered) // it begins with a second again
	})
}

func TestAProbeThatIsGivenUpTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "random")
		list := instances("a", "b", "c")
		ill(t, p, list, 1, selector.Nobody)
		time.Sleep(time.Second)
		ill(t, p, list, 2, selector.Void)
		ill(t, p, list, 1, selector.Answered)
	})
}

func TestCallsThatEndTogetherPutAnInstanceOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "random")
		list := instances("a", "b", "c")
		var calls []selector.Choice
		for range 100 {
			calls = append(calls, pick(t, p, list, selector.Call{Avoid: []string{"b", "c"}}))
		}
		time.Sleep(time.Second)
		for _, c := range calls[:50] {
			c.Done(selector.Silent)
		}
		time.Sleep(time.Second) // and no more
		ill(t, p, list, 1, selector.Answered)
		for _, c := range calls[50:] {
			c.Done(selector.Silent) // older than the absence
		}
		ill(t, p, list, 2, selector.Silent)
		ill(t, p, list, 1, selector.Answered)
	})
}

func TestALateAnswerShowsThatAnInstanceLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "random")
		list := instances("a", "b", "c")
		late := pick(t, p, list, selector.Call{Avoid: []string{"b", "c"}})
		time.Sleep(time.Millisecond)
		ill(t, p, list, 3, selector.Silent)
		late.Done(selector.Answered)
		ill(t, p, list, 1, selector.Answered)

		// But not that it still listens.
		late = pick(t, p, list, selector.Call{Avoid: []string{"b", "c"}})
		time.Sleep(time.Millisecond)
		ill(t, p, list, 1, selector.Nobody)
		late.Done(selector.Answered)
		if got := reached(t, p, list); got != "[b c]" {
			t.Errorf("calls go to %s", got)
		}
	})
}

func TestAnInstanceThatShowsItselfIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "random")
		list := instances("a", "b", "c")
		ill(t, p, list, 1, selector.Nobody)
		time.Sleep(100 * time.Millisecond)
		again := instances("a", "b", "c")
		if got := reached(t, p, again); got != "[b c]" {
			t.Errorf("calls go to %s though it has not been seen", got)
		}
		again = instances("a", "b", "c")
		again[0].LastSeen = time.Now()
		if got := reached(t, p, again); got != "[a b c]" {
			t.Errorf("calls go to %s", got)
		}
		ill(t, p, again, 3, selector.Silent)
		time.Sleep(100 * time.Millisecond)
		again = instances("a", "b", "c")
		again[0].LastSeen = time.Now()
		if got := reached(t, p, again); got != "[b c]" {
			t.Errorf("calls go to %s: that it beats does not say that it answers", got)
		}
	})
}

func TestIfAllAreOutAllAreUsed(t *testing.T) {
	p := picker(t, "random")
	list := instances("a", "b", "c")
	for range 3 {
		call(t, p, list, selector.Nobody)
	}
	used := map[string]bool{}
	for range 100 {
		used[call(t, p, list, selector.Void)] = true
	}
	if len(used) != 3 {
		t.Errorf("calls go to %v alone", used)
	}
	well := call(t, p, list, selector.Answered)
	if got := reached(t, p, list); got != "["+well+"]" {
		t.Errorf("calls go to %s, %s alone has answered", got, well)
	}
}

func TestAnInstanceThatLeavesIsForgotten(t *testing.T) {
	p := picker(t, "random")
	list := instances("a", "b", "c")
	ill(t, p, list, 1, selector.Nobody)
	reached(t, p, instances("b", "c"))
	if got := reached(t, p, instances("a", "b", "c")); got != "[a b c]" {
		t.Errorf("calls go to %s", got)
	}
}
