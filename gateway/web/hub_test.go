package web_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/gateway/web"
)

func TestWhoComesBackGetsHelloAndWhatItMissedOrResync(t *testing.T) {
	for _, test := range []struct {
		what            string
		deltas, size, n int
		want            []string
	}{
		{"nothing missed", 5, 100, 5, []string{"hello"}},
		{"two missed", 5, 100, 3, []string{"hello", "services", "services"}},
		{"more than is kept, by number", 100, 100, 3, []string{"hello", "resync"}},
		{"more than is kept, by bytes", 20, 1 << 20, 3, []string{"hello", "resync"}},
		{"the first that is gone was seen", 100, 10, 40, append([]string{"hello"}, slices.Repeat([]string{"services"}, 60)...)},
		{"more than may wait", 10, 400 << 10, 3, []string{"hello", "resync"}},
	} {
		if got := web.Return(t, test.deltas, test.size, test.n); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
}

func TestEventsAreForThoseWhoMaySubscribe(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		rules, err := token.NewRules([]token.Rule{{Topics: []string{"orders.>"}, Public: true}})
		if err != nil {
			t.Fatal(err)
		}
		h := guarded(t, b, web.Config{}, rules)
		for topics, refused := range map[string]bool{"events:orders.>": false, "events:invoices.>": true, "events:>": true} {
			w := h.post("/-/live", map[string]any{"id": "nobody", "topics": []string{topics}})
			if (w.Code != http.StatusNotFound) != refused {
				t.Errorf("%s: %d %s", topics, w.Code, w.Body)
			}
		}
		w := h.ask(http.MethodGet, "/events?subject=invoices.new", "", "Accept", "application/json")
		if w.Code < 400 {
			t.Errorf("the page of events that the caller may not see: %d", w.Code)
		}
	})
}

func TestStreamsEndWithTheDashboard(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		s := h.live(t, "services")
		time.Sleep(time.Second)
		if err := h.web.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.over:
		case <-time.After(time.Second):
			t.Error("a stream goes on in which nothing can come")
		}
		if w := h.ask(http.MethodGet, "/-/live?topics=services", ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("a new one: %d", w.Code)
		}
	})
}
