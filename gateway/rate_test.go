package gateway_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/gateway"
)

func TestLimitsAsTheyAreWritten(t *testing.T) {
	tests := []struct {
		text string
		want gateway.Limit
		ok   bool
	}{
		{"50/s", gateway.Limit{Rate: 50}, true},
		{"50", gateway.Limit{Rate: 50}, true},
		{"0.5/s", gateway.Limit{Rate: 0.5}, true},
		{"600/m", gateway.Limit{Rate: 10}, true},
		{"3600/h", gateway.Limit{Rate: 1}, true},
		{"50/s+200", gateway.Limit{Rate: 50, Burst: 200}, true},
		{"/rpc=10/s", gateway.Limit{Path: "/rpc", Rate: 10}, true},
		{"/a/b=600/m+20", gateway.Limit{Path: "/a/b", Rate: 10, Burst: 20}, true},
		{"", gateway.Limit{}, false},
		{"0/s", gateway.Limit{}, false},
		{"-1/s", gateway.Limit{}, false},
		{"NaN", gateway.Limit{}, false},
		{"Inf", gateway.Limit{}, false},
		{"10/d", gateway.Limit{}, false},
		{"10/s+0", gateway.Limit{}, false},
		{"10/s+x", gateway.Limit{}, false},
		{"/rpc", gateway.Limit{}, false},
		{"rpc=10/s", gateway.Limit{}, false},
	}
	for _, test := range tests {
		got, err := gateway.ParseLimit("--rate-limit", test.text)
		if (err == nil) != test.ok || err == nil && got != test.want {
			t.Errorf("%q: got %+v, %v", test.text, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "--rate-limit") {
			t.Errorf("%q: %v does not name the flag", test.text, err)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, seed := range []string{"50/s", "/rpc=600/m+20", "1e308/h", "/=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := gateway.ParseLimit("--rate-limit", text)
		if err != nil {
			return
		}
		if _, err := gateway.NewEdge(gateway.EdgeConfig{Limits: []gateway.Limit{l}}); err != nil {
			t.Errorf("%q is read as %+v, which cannot be kept: %v", text, l, err)
		}
	})
}

func TestEachClientHasTheRateForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c := edge(t, gateway.EdgeConfig{Limits: []gateway.Limit{{Rate: 2, Burst: 3}}})
		from := func(addr string) int {
			r := ask("GET", "/a")
			r.RemoteAddr = addr + ":1"
			return answer(h, r).Code
		}
		for i := range 3 {
			if got := from("10.0.0.1"); got != 200 {
				t.Errorf("request %d of a burst of 3: %d", i+1, got)
			}
		}
		r := ask("GET", "/a")
		r.RemoteAddr = "10.0.0.1:9" // another port is the same client
		w := answer(h, r)
		c.calls.Store(0)
		refused(t, w, c, 429, "2 a second")
		if s := w.Header().Get("Retry-After"); s != "1" || w.Header().Get("Mbus-End") != "refused" {
			t.Errorf("Retry-After %q, Mbus-End %q", s, w.Header().Get("Mbus-End"))
		}
		if got := from("10.0.0.2"); got != 200 {
			t.Errorf("another client: %d", got)
		}
		time.Sleep(499 * time.Millisecond)
		if got := from("10.0.0.1"); got != 429 {
			t.Errorf("after 499 ms: %d", got)
		}
		time.Sleep(time.Millisecond)
		if got := from("10.0.0.1"); got != 200 {
			t.Errorf("after 500 ms: %d", got)
		}
		// An hour of silence saves up a burst and no more.
		time.Sleep(time.Hour)
		allowed := 0
		for range 10 {
			if from("10.0.0.1") == 200 {
				allowed++
			}
		}
		if allowed != 3 {
			t.Errorf("after an hour %d of 10 at once, want 3", allowed)
		}
	})
}

func TestANetworkOfIPv6IsOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := edge(t, gateway.EdgeConfig{Limits: []gateway.Limit{{Rate: 1}}})
		for i, test := range []struct {
			addr   string
			status int
		}{{"2001:db8::1", 200}, {"2001:db8::2", 429}, {"2001:db8:0:1::1", 200}, {"::ffff:10.0.0.1", 200}, {"10.0.0.1", 429}} {
			r := ask("GET", "/a")
			r.RemoteAddr = net.JoinHostPort(test.addr, "1")
			if got := answer(h, r).Code; got != test.status {
				t.Errorf("%d: %s got %d, want %d", i, test.addr, got, test.status)
			}
		}
	})
}

func TestARouteHasARateOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := edge(t, gateway.EdgeConfig{Limits: []gateway.Limit{{Path: "/slow/", Rate: 1, Together: true}, {Rate: 100}}})
		steps := []struct {
			path, addr string
			status     int
		}{
			{"/slow/one", "10.0.0.1", 200},
			{"/slow/two", "10.0.0.2", 429}, // all clients together
			{"/slow", "10.0.0.3", 429},
			{"/slower", "10.0.0.1", 200},
			{"/other/slow", "10.0.0.1", 200},
			{"//slow//one", "10.0.0.1", 429},
		}
		for _, s := range steps {
			r := ask("GET", s.path)
			r.RemoteAddr = s.addr + ":1"
			if got := answer(h, r).Code; got != s.status {
				t.Errorf("%s from %s: got %d, want %d", s.path, s.addr, got, s.status)
			}
		}
	})
}

func TestTheLimitForgetsTheOldestOfTooManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := edge(t, gateway.EdgeConfig{Limits: []gateway.Limit{{Rate: 0.001}}})
		from := func(n int) int {
			r := ask("GET", "/a")
			r.RemoteAddr = "10." + strconv.Itoa(n>>16) + "." + strconv.Itoa(n>>8&255) + "." + strconv.Itoa(n&255) + ":1"
			return answer(h, r).Code
		}
		const bound = 16384
		for n := range bound {
			if got := from(n); got != 200 {
				t.Fatalf("client %d: %d", n, got)
			}
		}
		if got := from(0); got != 429 {
			t.Errorf("the first client is forgotten too early: %d", got)
		}
		from(bound) // one too many
		if got := from(0); got != 429 {
			t.Errorf("the first client came just now and is forgotten: %d", got)
		}
		if got := from(1); got != 200 {
			t.Errorf("the second client is remembered beyond the bound: %d", got)
		}
	})
}

func TestPreflightCostsNothing(t *testing.T) {
	h, _ := edge(t, gateway.EdgeConfig{Limits: []gateway.Limit{{Rate: 0.001}}})
	for i := range 5 {
		if got := answer(h, ask("OPTIONS", "/a")).Code; got != 200 {
			t.Errorf("OPTIONS %d: %d", i, got)
		}
	}
}

func ExampleParseLimit() {
	l, _ := gateway.ParseLimit("--rate-limit", "/rpc=600/m+20")
	fmt.Printf("%s: %g a second, %d at once\n", l.Path, l.Rate, l.Burst)
	// Output: /rpc: 10 a second, 20 at once
}
