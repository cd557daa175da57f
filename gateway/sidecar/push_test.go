package sidecar_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/pubsub"
)

// status is what GET /subscriptions/{name} says.
func (w *world) status(name string) sidecar.SubscriptionStatus {
	w.t.Helper()
	rec := w.do("GET", "/subscriptions/"+name, "")
	var st sidecar.SubscriptionStatus
	if err := json.Unmarshal(rec.Body.Bytes(), &st); err != nil || rec.Code != 200 {
		w.t.Fatalf("GET /subscriptions/%s: %d %s", name, rec.Code, rec.Body)
	}
	return st
}

func (w *world) subscribe(name, body string) {
	w.t.Helper()
	if rec := w.do("PUT", "/subscriptions/"+name, body); rec.Code != 200 {
		w.t.Fatalf("PUT /subscriptions/%s: %d %s", name, rec.Code, rec.Body)
	}
}

func (w *world) publish(topic, body string, opts ...pubsub.PublishOption) {
	w.t.Helper()
	if err := pubsub.Publish(w.t.Context(), w.conn, topic, []byte(body), append(opts, pubsub.WithConfirm())...); err != nil {
		w.t.Fatal(err)
	}
}

// events are the requests to an app other than looks at its health.
func (a *app) events() []seen {
	var all []seen
	for _, r := range a.requests() {
		if r.header.Get("Mbus-Topic") != "" {
			all = append(all, r)
		}
	}
	return all
}

func accept(http.ResponseWriter, *http.Request) {}

func TestEventsArePushedToAnApp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", accept)
		w.register("1", "127.0.0.1:8000", "")
		w.subscribe("users", `{"topic":"user.*","path":"/events/users?x=1"}`)
		w.publish("user.created", `{"id":"1"}`, pubsub.WithHeader("X-Colour", "red"), pubsub.WithHeader("Host", "evil"))
		w.publish("user.deleted", `{"id":"2"}`)
		w.publish("order.created", `{}`)
		w.await(time.Second, "two events", func() bool { return len(a.events()) == 2 })
		first := a.events()[0]
		if first.method != "POST" || first.uri != "/events/users?x=1" || first.body != `{"id":"1"}` {
			t.Errorf("the app saw %+v", first)
		}
		for name, want := range map[string]string{
			"Mbus-Topic": "user.created", "Mbus-Subscription": "users", "Mbus-Attempt": "1", "Content-Type": "application/json", "X-Colour": "red", "Host": "",
		} {
			if got := first.header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		w.await(time.Second, "both counted", func() bool { return w.status("users").Delivered == 2 })
		st := w.status("users")
		if st.Delivered != 2 || st.Lost != 0 || st.Service != ruby || st.Node != "1" || st.Topic != "user.*" || st.Path != "/events/users?x=1" {
			t.Errorf("the status is %+v", st)
		}
		rec := w.do("GET", "/subscriptions", "")
		if !strings.HasPrefix(rec.Body.String(), `[{"name":"users","service":"`+ruby+`","node":"1"`) {
			t.Errorf("GET /subscriptions: %s", rec.Body)
		}
		if rec := w.do("DELETE", "/subscriptions/users", ""); rec.Code != 200 {
			t.Errorf("DELETE: %d %s", rec.Code, rec.Body)
		}
		w.publish("user.created", `{"id":"3"}`)
		time.Sleep(time.Second)
		if n := len(a.events()); n != 2 {
			t.Errorf("%d events after the end of the subscription", n)
		}
		if rec := w.do("GET", "/subscriptions/users", ""); rec.Code != 404 {
			t.Errorf("GET of one that is gone: %d %s", rec.Code, rec.Body)
		}
	})
}

func TestAnEventIsPushedUntilTheAppTakesItAndInOrder(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		var failures atomic.Int32
		failures.Store(3)
		a := w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, _ *http.Request) {
			if failures.Add(-1) >= 0 {
				rw.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		w.register("1", "127.0.0.1:8000", "")
		w.subscribe("all", `{"topic":"a.b","path":"/"}`)
		for n := range 3 {
			w.publish("a.b", fmt.Sprint(n))
		}
		w.await(5*time.Second, "three events", func() bool { return w.status("all").Delivered == 3 })
		var got []string
		for _, r := range a.events() {
			got = append(got, r.body+" "+r.header.Get("Mbus-Attempt"))
		}
		if strings.Join(got, ",") != "0 1,0 2,0 3,0 4,1 1,2 1" {
			t.Errorf("the app saw %v", got)
		}
		if st := w.status("all"); st.Retried != 3 || st.Lost != 0 {
			t.Errorf("the status is %+v", st)
		}
	})
}

func TestAnEventThatTheAppDoesNotTakeIsLostAndCounted(t *testing.T) {
	for status, tries := range map[int]int{500: 6, 302: 6, 429: 6, 408: 6, 400: 1, 404: 1, 410: 1} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			w := newWorld(t, b)
			a := w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Mbus-Topic") == "a.bad" {
					rw.WriteHeader(status)
				}
				_, _ = rw.Write(make([]byte, 64<<10)) // of which the first is enough
			})
			w.register("1", "127.0.0.1:8000", "")
			w.subscribe("all", `{"topic":"a.*","path":"/"}`)
			w.publish("a.bad", `1`)
			w.publish("a.good", `2`)
			w.await(10*time.Second, "the event after it", func() bool { return w.status("all").Delivered == 1 })
			st := w.status("all")
			if st.Lost != 1 || st.Error == "" || len(a.events()) != tries+1 {
				t.Errorf("status %d: %d tries, %+v", status, len(a.events())-1, st)
			}
		})
	}
}

func TestAnAppThatRestartsGetsTheEventsOfThatTime(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", accept)
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		w.subscribe("all", `{"topic":"a.b","path":"/"}`)
		a.kill()
		w.publish("a.b", `1`)
		time.Sleep(time.Second)
		a = w.listen(t, "127.0.0.1:8000", accept)
		w.await(3*time.Second, "the event", func() bool { return len(a.events()) == 1 })
	})
}

func TestASlowAppLosesTheNewestEventsBeyondTheBuffer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		release := make(chan bool)
		w.listen(t, "127.0.0.1:8000", func(http.ResponseWriter, *http.Request) { <-release })
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		w.subscribe("all", `{"topic":"a.b","path":"/"}`)
		for range 1100 {
			if err := pubsub.Publish(t.Context(), w.conn, "a.b", []byte(`1`)); err != nil {
				t.Fatal(err)
			}
		}
		w.await(5*time.Second, "lost events", func() bool { return w.status("all").Lost >= 70 })
		close(release)
		w.await(5*time.Second, "all others", func() bool { st := w.status("all"); return st.Delivered+st.Lost == 1100 })
		if st := w.status("all"); st.Delivered < 1024 || st.Delivered > 1026 {
			t.Errorf("the status is %+v", st)
		}
	})
}

func TestASubscriptionOutlivesTheSidecarAndAnotherPost(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", accept)
		w.register("1", "127.0.0.1:8000", "?ttl=30s")
		w.subscribe("all", `{"topic":"a.b","path":"/in"}`)
		w.register("1", "127.0.0.1:8000", "?ttl=30s") // the app knows nothing of its metadata
		if st := w.status("all"); st.Path != "/in" {
			t.Errorf("after another POST: %+v", st)
		}
		w.gateway.Conn.NATS().Close() // as if it was killed
		began := time.Now()
		_, next := w.another()
		w.await(time.Second, "the subscription at the successor", func() bool {
			return do(t, next, "GET", "/subscriptions/all", "").Code == 200
		})
		w.publish("a.b", `1`)
		w.await(time.Second, "an event through the successor", func() bool { return len(a.events()) == 1 })
		t.Logf("the successor served after %v", time.Since(began))
		time.Sleep(40 * time.Second) // the registration ends, and the subscription with it
		if rec := do(t, next, "GET", "/subscriptions", ""); rec.Body.String() != "[]" {
			t.Errorf("after the time to live: %s", rec.Body)
		}
	})
}

func TestSidecarsOfAHostShareTheEventsAndAQueueSharesThemWithOthers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.another()
		a := w.listen(t, "127.0.0.1:8001", accept)
		c := w.listen(t, "127.0.0.1:8002", accept)
		w.register("1", "127.0.0.1:8001", "", "subscribe.each", `{"topic":"a.each","path":"/"}`, "subscribe.one", `{"topic":"a.one","queue":"workers","path":"/"}`)
		w.register("2", "127.0.0.1:8002", "", "subscribe.each", `{"topic":"a.each","path":"/"}`, "subscribe.one", `{"topic":"a.one","queue":"workers","path":"/"}`)
		time.Sleep(time.Second)
		for range 20 {
			w.publish("a.each", `1`)
			w.publish("a.one", `1`)
		}
		time.Sleep(time.Second)
		count := func(a *app, topic string) (n int) {
			for _, r := range a.events() {
				if r.header.Get("Mbus-Topic") == topic {
					n++
				}
			}
			return n
		}
		if count(a, "a.each") != 20 || count(c, "a.each") != 20 {
			t.Errorf("of 20 events for each node came %d and %d", count(a, "a.each"), count(c, "a.each"))
		}
		if n := count(a, "a.one") + count(c, "a.one"); n != 20 {
			t.Errorf("of 20 events for one node came %d", n)
		}
	})
}

func TestSubscriptionsThatCannotBe(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", accept)
		if rec := w.do("PUT", "/subscriptions/x", `{"topic":"a.b","path":"/"}`); rec.Code != 404 {
			t.Errorf("without an app: %d %s", rec.Code, rec.Body)
		}
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		for name, tt := range map[string]struct {
			path, body string
			status     int
		}{
			"no topic":           {"/subscriptions/x", `{"path":"/"}`, 400},
			"no path":            {"/subscriptions/x", `{"topic":"a.b"}`, 400},
			"a URL for a path":   {"/subscriptions/x", `{"topic":"a.b","path":"http://10.0.0.1/"}`, 400},
			"a host for a path":  {"/subscriptions/x", `{"topic":"a.b","path":"//10.0.0.1/"}`, 400},
			"all topics":         {"/subscriptions/x", `{"topic":">","path":"/"}`, 400},
			"a wildcard first":   {"/subscriptions/x", `{"topic":"*.b","path":"/"}`, 400},
			"the bus's own":      {"/subscriptions/x", `{"topic":"mbus.rpc.>","path":"/"}`, 400},
			"the broker's own":   {"/subscriptions/x", `{"topic":"$SYS.>","path":"/"}`, 400},
			"an inbox":           {"/subscriptions/x", `{"topic":"_INBOX.>","path":"/"}`, 400},
			"a queue of words":   {"/subscriptions/x", `{"topic":"a.b","queue":"a b","path":"/"}`, 400},
			"a name of words":    {"/subscriptions/a%20b", `{"topic":"a.b","path":"/"}`, 400},
			"a long name":        {"/subscriptions/" + strings.Repeat("x", 65), `{"topic":"a.b","path":"/"}`, 400},
			"broken JSON":        {"/subscriptions/x", `{`, 400},
			"too much":           {"/subscriptions/x", `{"topic":"a.b","path":"/` + strings.Repeat("x", 2000) + `"}`, 413},
			"another node":       {"/subscriptions/x", `{"topic":"a.b","path":"/","node":"2"}`, 404},
			"another service":    {"/subscriptions/x?service=y", `{"topic":"a.b","path":"/"}`, 404},
			"too deep a path":    {"/subscriptions/x/y", `{"topic":"a.b","path":"/"}`, 405},
			"PUT of all of them": {"/subscriptions", `{}`, 405},
		} {
			if rec := w.do("PUT", tt.path, tt.body); rec.Code != tt.status {
				t.Errorf("%s: %d %s, want %d", name, rec.Code, rec.Body, tt.status)
			}
		}
		if rec := w.do("GET", "/subscriptions", ""); rec.Body.String() != "[]" {
			t.Errorf("there are %s", rec.Body)
		}
		for n := range 32 {
			w.subscribe(fmt.Sprintf("s%d", n), `{"topic":"a.b","path":"/"}`)
		}
		if rec := w.do("PUT", "/subscriptions/more", `{"topic":"a.b","path":"/"}`); rec.Code != 429 {
			t.Errorf("one more than there may be: %d %s", rec.Code, rec.Body)
		}
		w.register("2", "127.0.0.1:8000", "?ttl=1m")
		if rec := w.do("PUT", "/subscriptions/x", `{"topic":"a.b","path":"/"}`); rec.Code != 400 || !strings.Contains(rec.Body.String(), "service and node") {
			t.Errorf("of two apps: %d %s", rec.Code, rec.Body)
		}
		w.subscribe("x?node=2", `{"topic":"a.b","path":"/"}`)
	})
}
