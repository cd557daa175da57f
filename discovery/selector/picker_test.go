package selector_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
)

const method = "Say.Hello"

func instance(id string, change ...func(*discovery.Instance)) discovery.Instance {
	i := discovery.Instance{Service: "greeter", ID: id, Version: "1.0.0", V: 1, Endpoints: []discovery.Endpoint{{Name: method}}}
	for _, f := range change {
		f(&i)
	}
	return i
}

func version(v string) func(*discovery.Instance) {
	return func(i *discovery.Instance) { i.Version = v }
}

func label(name, value string) func(*discovery.Instance) {
	return func(i *discovery.Instance) { i.Metadata = map[string]string{name: value} }
}

func at(server string, client uint64) func(*discovery.Instance) {
	return func(i *discovery.Instance) { i.Server, i.Client = server, client }
}

func inFlight(n int) func(*discovery.Instance) {
	return func(i *discovery.Instance) { i.InFlight = n }
}

func foreign(i *discovery.Instance) { i.Foreign = true }

func registered(i *discovery.Instance) { i.Address = "10.0.0.1" }

func instances(ids ...string) []discovery.Instance {
	var all []discovery.Instance
	for _, id := range ids {
		all = append(all, instance(id))
	}
	return all
}

func picker(t testing.TB, text string) *selector.Picker {
	t.Helper()
	cfg, err := selector.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return selector.NewPicker(cfg)
}

func pick(t testing.TB, p *selector.Picker, list []discovery.Instance, c selector.Call) selector.Choice {
	t.Helper()
	c.Method = method
	choice, ok := p.Pick(list, &c)
	if !ok {
		t.Fatal("there is no candidate")
	}
	return choice
}

// call makes one call that ends so, and returns where it went.
func call(t testing.TB, p *selector.Picker, list []discovery.Instance, o selector.Outcome) string {
	t.Helper()
	c := pick(t, p, list, selector.Call{})
	c.Done(o)
	return c.ID
}

// spread counts where n answered calls go.
func spread(t testing.TB, p *selector.Picker, list []discovery.Instance, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		counts[call(t, p, list, selector.Answered)]++
	}
	return counts
}

// reached returns the instances that some of many calls went to, in order.
func reached(t testing.TB, p *selector.Picker, list []discovery.Instance) string {
	t.Helper()
	var ids []string
	for id := range spread(t, p, list, 300) {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return fmt.Sprint(ids)
}

func TestWhoIsACandidate(t *testing.T) {
	all := []discovery.Instance{
		instance("1", at("s1", 1)), instance("2", at("s1", 2), version("2.0.0")), instance("3", at("s2", 3), label("zone", "a")),
		instance("4", foreign), instance("5", registered),
		instance("6", func(i *discovery.Instance) { i.Endpoints = nil }),
	}
	for _, strategy := range []string{"random", "roundrobin", "least-loaded", "consistent-hash", "blacklist", "default"} {
		for filters, want := range map[string]string{
			"": "[1 2 3]", ",version=1.0.0": "[1 3]", ",zone=a": "[3]", ",local": "[1]", ",local,version=2.0.0": "[2]", ",local,zone=a": "[3]",
		} {
			p := picker(t, strategy+filters)
			got := map[string]bool{}
			for range 300 {
				c := pick(t, p, all, selector.Call{Server: "s1", Client: 1})
				c.Done(selector.Answered)
				got[c.ID] = true
			}
			var ids []string
			for id := range got {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			if fmt.Sprint(ids) != want {
				t.Errorf("%s%s chooses %v, want %s", strategy, filters, ids, want)
			}
		}
	}
	if c, ok := picker(t, "version=3").Pick(all, &selector.Call{Method: method}); ok {
		t.Errorf("a version that nobody has is %s", c.ID)
	}
	if c, ok := picker(t, "random").Pick(nil, &selector.Call{Method: method}); ok {
		t.Errorf("nobody is %s", c.ID)
	}
}

func TestRandomTreatsAllAlike(t *testing.T) {
	for _, strategy := range []string{"random", "blacklist", "consistent-hash"} { // the last without keys
		p := picker(t, strategy)
		list := instances("a", "b", "c", "d")
		dead := pick(t, p, list, selector.Call{Avoid: []string{"b", "c", "d"}})
		dead.Done(selector.Nobody)
		for id, n := range spread(t, p, list, 30_000) { // 10,000 each: 500 is over six times the deviation
			if id == dead.ID || n < 9_500 || n > 10_500 {
				t.Errorf("%s: %s has %d of 30000 calls, want a third of those to three", strategy, id, n)
			}
		}
	}
}

func TestTheRotationIsExactAndGoesOnWhenInstancesComeAndGo(t *testing.T) {
	p := picker(t, "roundrobin")
	three := instances("a", "c", "e")
	var got []string
	for range 6 {
		got = append(got, call(t, p, three, selector.Answered))
	}
	for i := range got {
		if got[i] != got[(i+3)%6] || got[i] == got[(i+1)%6] {
			t.Fatalf("the rotation is %v", got)
		}
	}
	for call(t, p, three, selector.Answered) != "a" {
	}
	order := ""
	for _, list := range [][]discovery.Instance{
		instances("a", "b", "c", "e"), // b has come
		instances("a", "c", "e"),      // and gone
		instances("a", "e"),           // c too, which was next to last
		instances("a", "e", "f"),
		instances("a", "e", "f"),
		instances("a", "e", "f"),
	} {
		order += call(t, p, list, selector.Answered)
	}
	if order != "bcefae" {
		t.Errorf("the rotation went on with %s, want bcefae", order)
	}
}

func TestMethodsRotateEachForItself(t *testing.T) {
	list := instances("a", "b")
	for i := range list {
		list[i].Endpoints = append(list[i].Endpoints, discovery.Endpoint{Name: "Say.Bye"})
	}
	p := picker(t, "roundrobin")
	counts := map[string]int{}
	for range 10 {
		for _, m := range []string{method, "Say.Bye"} {
			c, _ := p.Pick(list, &selector.Call{Method: m})
			c.Done(selector.Answered)
			counts[m+c.ID]++
		}
	}
	for what, n := range counts {
		if n != 5 {
			t.Errorf("%s has %d of 10 calls, want half", what, n)
		}
	}
}

func TestManyCallersDoNotAllBeginWithTheSameInstance(t *testing.T) {
	list := instances("a", "b", "c")
	first := map[string]bool{}
	for range 100 {
		first[call(t, picker(t, "roundrobin"), list, selector.Answered)] = true
	}
	if len(first) != 3 {
		t.Errorf("100 callers all began with %v", first)
	}
}

func TestLeastLoadedPrefersTheIdleOne(t *testing.T) {
	p := picker(t, "least-loaded")
	list := []discovery.Instance{instance("busy", inFlight(20)), instance("idle", inFlight(2))}
	if got := spread(t, p, list, 100); got["idle"] != 100 {
		t.Errorf("what they announce does not count: %v", got)
	}
	p = picker(t, "least-loaded")
	list = instances("a", "b")
	counts := map[string]int{}
	for range 100 { // none of them returns
		counts[pick(t, p, list, selector.Call{}).ID]++
	}
	if counts["a"] != 50 {
		t.Errorf("100 calls at once are dealt out as %v, want evenly", counts)
	}
}

func TestLeastLoadedTriesASlowInstanceAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "least-loaded")
		list := instances("a", "b")
		slow := func(d time.Duration) (n int) {
			for range 100 {
				c := pick(t, p, list, selector.Call{})
				if c.ID == "a" {
					n++
					time.Sleep(d)
				} else {
					time.Sleep(time.Millisecond)
				}
				c.Done(selector.Answered)
			}
			return n
		}
		if n := slow(400 * time.Millisecond); n > 10 {
			t.Errorf("the slow one got %d of 100 calls", n)
		}
		time.Sleep(time.Minute)
		if n := slow(time.Millisecond); n < 20 {
			t.Errorf("the one that was slow a minute ago got %d of 100 calls, want about half", n)
		}
	})
}

func TestWhoFailsFastDoesNotLookGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := picker(t, "least-loaded")
		list := instances("broken", "sound")
		n := 0
		for range 200 {
			c := pick(t, p, list, selector.Call{})
			if c.ID == "broken" {
				n++
				c.Done(selector.Failed)
				continue
			}
			time.Sleep(10 * time.Millisecond)
			c.Done(selector.Answered)
		}
		if n > 20 {
			t.Errorf("the one that fails at once got %d of 200 calls", n)
		}
	})
}

func TestAKeyStaysUntilItsInstanceLeavesAndOnlyItsKeysMove(t *testing.T) {
	p := picker(t, "consistent-hash")
	five := instances("a", "b", "c", "d", "e")
	four := slices.DeleteFunc(slices.Clone(five), func(i discovery.Instance) bool { return i.ID == "c" })
	where := func(list []discovery.Instance, key string) string {
		c := pick(t, p, list, selector.Call{Key: key})
		c.Done(selector.Answered)
		return c.ID
	}
	before := map[string]string{}
	counts := map[string]int{}
	for n := range 5000 {
		key := fmt.Sprintf("user-%d", n)
		before[key] = where(five, key)
		counts[before[key]]++
	}
	for id, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("%s has %d of 5000 keys, want about 1000", id, n)
		}
	}
	for key, id := range before {
		if now := where(four, key); id != "c" && now != id {
			t.Fatalf("%s moved from %s to %s although only c has left", key, id, now)
		}
		if again := where(five, key); again != id {
			t.Fatalf("%s is at %s and was at %s", key, again, id)
		}
	}
}

// Other programs compute the same: these values never change.
func TestHashValues(t *testing.T) {
	for _, row := range []struct {
		key, id string
		want    uint64
	}{
		{"", "", 0xe220a8397b1dcdaf}, {"user-1", "a", 0x7211f63274d52cd4}, {"user-1", "b", 0xa4278996643699de}, {"Zoë", "B0Jx9vKlQ1mZ3c5T7yU0001", 0x4eee2cac843d89ed},
	} {
		if got := selector.Hash(row.key, row.id); got != row.want {
			t.Errorf("Hash(%q, %q) = %#x, want %#x", row.key, row.id, got, row.want)
		}
	}
}

func TestACallIsSentElsewhereIfThereIsAnother(t *testing.T) {
	for _, strategy := range []string{"random", "roundrobin", "least-loaded", "consistent-hash", "blacklist"} {
		p := picker(t, strategy)
		list := instances("a", "b", "c")
		for range 30 {
			if c := pick(t, p, list, selector.Call{Key: "k", Avoid: []string{"a", "c"}}); c.ID != "b" {
				t.Fatalf("%s chose %s, want the one that is left", strategy, c.ID)
			}
		}
		pick(t, p, list, selector.Call{Avoid: []string{"a", "b", "c"}}) // there is no other
	}
}

func TestAPickerIsUsedByManyAtOnce(t *testing.T) {
	for _, strategy := range []string{"roundrobin", "least-loaded", "blacklist"} {
		p := picker(t, strategy)
		lists := [][]discovery.Instance{instances("a", "b", "c"), instances("b", "c"), instances("a", "c", "d")}
		var work sync.WaitGroup
		for n := range 8 {
			work.Go(func() {
				for i := range 1000 {
					c := pick(t, p, lists[i/100%3], selector.Call{})
					c.Done(selector.Outcome((i + n) % 5))
				}
			})
		}
		work.Wait()
	}
}
