package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/web"
)

type (
	Stored struct {
		Stored struct {
			Streams []struct {
				Name        string
				First, Last uint64
				Messages    uint64
				FirstAt     int64 `json:"first_at"`
			}
			Note string
			Read *struct {
				Stream         string
				Events         []StoredEvent
				Earlier, Later uint64
				Note           string
			}
		}
	}
	StoredEvent struct {
		N             uint64
		At            int64
		Subject, Data string
		Size          int
		Cut           bool
	}
)

func (s *Stored) numbers() []uint64 {
	var all []uint64
	if s.Stored.Read != nil {
		for _, e := range s.Stored.Read.Events {
			all = append(all, e.N)
		}
	}
	return all
}

// keep makes a stream ORDERS of orders.>.
func keep(t testing.TB, h *house, change ...func(*jetstream.StreamConfig)) jetstream.JetStream {
	t.Helper()
	js, err := h.conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	cfg := jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Storage: jetstream.MemoryStorage}
	for _, f := range change {
		f(&cfg)
	}
	if _, err := js.CreateStream(bustest.Context(t), cfg); err != nil {
		t.Fatal(err)
	}
	return js
}

func put(t testing.TB, js jetstream.JetStream, subject, data string) {
	t.Helper()
	if _, err := js.Publish(bustest.Context(t), subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func TestAStreamIsReadFromASequenceATimeOrTheEnd(t *testing.T) {
	for name, direct := range map[string]bool{"direct get": true, "message get": false} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			h := open(t, b, web.Config{})
			js := keep(t, h, func(c *jetstream.StreamConfig) { c.AllowDirect = direct })
			began := time.Now()
			for i := 1; i <= 300; i++ {
				put(t, js, fmt.Sprintf("orders.n%d", i%3), fmt.Sprintf(`{"i":%d}`, i))
				time.Sleep(time.Second)
			}
			read := func(query string) Stored { return page[Stored](t, h, "/events?"+query) }
			d := read("subject=orders.%3E")
			if s := d.Stored.Streams; len(s) != 1 || s[0].Name != "ORDERS" || s[0].First != 1 || s[0].Last != 300 || s[0].FirstAt == 0 || d.Stored.Read != nil {
				t.Fatalf("%s: what there is: %+v", name, d.Stored)
			}
			for query, want := range map[string]struct {
				first, last, earlier, later uint64
				count                       int
			}{
				"subject=orders.%3E&last=50":                                                      {251, 300, 251, 0, 50},
				"subject=orders.%3E&before=251":                                                   {201, 250, 201, 251, 50},
				"subject=orders.%3E&before=20&n=200":                                              {1, 19, 0, 20, 19},
				"subject=orders.%3E&seq=100&n=10":                                                 {100, 109, 100, 110, 10},
				"subject=orders.%3E&seq=0":                                                        {1, 50, 0, 51, 50},
				"subject=orders.%3E&seq=291&n=10":                                                 {291, 300, 291, 0, 10},
				"subject=orders.n0&last=10":                                                       {273, 300, 273, 0, 10},
				"subject=orders.n0&before=273&n=10":                                               {243, 270, 243, 273, 10},
				"subject=orders.n0&seq=4&n=2":                                                     {6, 9, 4, 12, 2},
				"subject=orders.%3E&n=5&time=" + stamp(began.Add(99500*time.Millisecond)):         {101, 105, 101, 106, 5},
				"subject=orders.n0&n=1&time=" + stamp(began.Add(99500*time.Millisecond)):          {102, 102, 100, 105, 1},
				fmt.Sprintf("subject=orders.%%3E&n=3&time=%d", began.Add(-time.Hour).UnixMilli()): {1, 3, 0, 4, 3},
			} {
				d := read(query)
				all := d.numbers()
				if len(all) != want.count || all[0] != want.first || all[len(all)-1] != want.last || d.Stored.Read.Earlier != want.earlier || d.Stored.Read.Later != want.later {
					t.Errorf("%s: %s: %v earlier %d later %d", name, query, all, d.Stored.Read.Earlier, d.Stored.Read.Later)
				}
			}
			if e := read("subject=orders.%3E&seq=7&n=1").Stored.Read.Events[0]; e.Data != `{"i":7}` || e.Subject != "orders.n1" || e.At != began.Add(6*time.Second).UnixMilli() {
				t.Errorf("%s: the seventh: %+v", name, e)
			}
			for query, note := range map[string]string{
				"subject=orders.x&last=5":                                     "nothing of this topic",
				"subject=orders.n0&before=3":                                  "nothing of this topic before",
				"subject=orders.%3E&seq=301":                                  "nothing of this topic from there on",
				"subject=orders.%3E&time=" + stamp(time.Now().Add(time.Hour)): "nothing of this topic from there on",
			} {
				if d := read(query); len(d.numbers()) != 0 || !strings.Contains(d.Stored.Read.Note, note) {
					t.Errorf("%s: %s: %+v", name, query, d.Stored.Read)
				}
			}
			stream, err := js.Stream(bustest.Context(t), "ORDERS")
			if err != nil {
				t.Fatal(err)
			}
			if n := stream.CachedInfo().State.Consumers; n != 0 {
				t.Errorf("%s: %d consumers are left behind", name, n)
			}
		}, bustest.WithJetStream())
	}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

func TestAPageOfAStreamIsBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		js := keep(t, h)
		big := strings.Repeat("x", 300<<10)
		for range 20 {
			put(t, js, "orders.big", big)
		}
		put(t, js, "orders.huge", strings.Repeat("y", 1000<<10))
		for query, want := range map[string][]uint64{
			"seq=1&n=200": {1, 2, 3}, "last=200": {21}, "before=21&n=200": {18, 19, 20}, "seq=21": {21}, "before=18": {15, 16, 17},
		} {
			d := page[Stored](t, h, "/events?subject=orders.%3E&"+query)
			if fmt.Sprint(d.numbers()) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", query, d.numbers(), want)
			}
			if e := d.Stored.Read.Events[0]; !e.Cut || len(e.Data) != 64<<10 || e.Size < 300<<10 {
				t.Errorf("%s: %d bytes of %d are shown", query, len(e.Data), e.Size)
			}
		}
		for _, query := range []string{"seq=x", "seq=-1", "last=0", "last=201", "last=5&seq=1", "n=1000&seq=1", "time=yesterday", "before=1&time=5"} {
			if w := h.ask(http.MethodGet, "/events?subject=orders.%3E&"+query, "", "Accept", "application/json"); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", query, w.Code, w.Body)
			}
		}
		for _, subject := range []string{"mbus.%3E", "$JS.x", "_INBOX.%3E"} {
			if w := h.ask(http.MethodGet, "/events?last=5&subject="+subject, "", "Accept", "application/json"); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", subject, w.Code)
			}
		}
	}, bustest.WithJetStream())
}

// Reading must never be taking: what a consumer gets from a work queue is gone.
func TestAWorkQueueKeepsWhatIsLookedAt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		js := keep(t, h, func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy })
		for i := range 5 {
			put(t, js, "orders.new", fmt.Sprint(i))
		}
		if d := page[Stored](t, h, "/events?subject=orders.new&last=3"); fmt.Sprint(d.numbers()) != "[3 4 5]" {
			t.Errorf("%v", d.numbers())
		}
		stream, err := js.Stream(bustest.Context(t), "ORDERS")
		if err != nil {
			t.Fatal(err)
		}
		if s := stream.CachedInfo().State; s.Msgs != 5 || s.Consumers != 0 {
			t.Errorf("%d messages and %d consumers are left", s.Msgs, s.Consumers)
		}
	}, bustest.WithJetStream())
}

// What is rare in a stream that has much else is found from the end, too.
func TestARareTopicIsFoundFarBack(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		js := keep(t, h)
		for i := range 5000 {
			subject := "orders.usual"
			if i == 3 || i == 700 || i == 4000 {
				subject = "orders.rare"
			}
			put(t, js, subject, "x")
		}
		for query, want := range map[string]string{"last=2": "[701 4001]", "last=50": "[4 701 4001]", "before=4001": "[4 701]"} {
			d := page[Stored](t, h, "/events?subject=orders.rare&"+query)
			if fmt.Sprint(d.numbers()) != want {
				t.Errorf("%s: %v, want %s (%s)", query, d.numbers(), want, d.Stored.Read.Note)
			}
		}
	}, bustest.WithJetStream())
}

// Where the topic is rare at the end of the stream and frequent before it, looking
// back finds more than a page may take.
func TestAPageThatWouldTakeTooLongEndsEarlyAndTheNextGoesOn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		js := keep(t, h)
		for i := range 8000 {
			subject := "orders.other"
			if i < 3000 || i == 7999 {
				subject = "orders.new"
			}
			put(t, js, subject, "x")
		}
		d := page[Stored](t, h, "/events?subject=orders.new&last=200")
		if fmt.Sprint(d.numbers()) != "[8000]" || !strings.Contains(d.Stored.Read.Note, "ends early") || d.Stored.Read.Earlier == 0 {
			t.Fatalf("%v %+v", d.numbers(), d.Stored.Read.Note)
		}
		d = page[Stored](t, h, fmt.Sprintf("/events?subject=orders.new&n=200&before=%d", d.Stored.Read.Earlier))
		if all := d.numbers(); len(all) != 200 || all[199] != 3000 || all[0] != 2801 || d.Stored.Read.Note != "" {
			t.Errorf("the next page: %v %s", all, d.Stored.Read.Note)
		}
	}, bustest.WithJetStream())
}

func TestWithoutAStreamThePageSaysWhy(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		keep(t, h)
		if d := page[Stored](t, h, "/events?subject=users.%3E&last=5"); !strings.Contains(d.Stored.Note, "no stream covers users.>") || d.Stored.Read != nil {
			t.Errorf("nothing covers it: %+v", d.Stored)
		}
		if d := page[Stored](t, h, "/events?subject=orders.%3E&last=5&stream=OTHER"); !strings.Contains(d.Stored.Note, `no stream "OTHER"`) {
			t.Errorf("another stream: %+v", d.Stored)
		}
		if d := page[Stored](t, h, "/events?subject=orders.%3E&last=5"); d.Stored.Read.Note != "the stream is empty" {
			t.Errorf("an empty stream: %+v", d.Stored.Read)
		}
		text := h.ask(http.MethodGet, "/events?subject=orders.%3E&last=5", "").Body.String()
		if !strings.Contains(text, "kept in stream ORDERS  0 messages") {
			t.Errorf("as text: %s", text)
		}
	}, bustest.WithJetStream())
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		if d := page[Stored](t, h, "/events?subject=orders.%3E&last=5"); !strings.Contains(d.Stored.Note, "JetStream is off") {
			t.Errorf("without JetStream: %+v", d.Stored)
		}
		b.Stop()
		bustest.Eventually(t, 5*time.Second, "the dashboard has lost the bus", func() bool { return !h.gate.Conn.Connected() })
		began := time.Now()
		if d := page[Stored](t, h, "/events?subject=orders.%3E&last=5"); !strings.Contains(d.Stored.Note, "disconnected") {
			t.Errorf("without a bus: %+v", d.Stored)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("that took %v", took)
		}
		b.Start()
		b.Await(t, h.conn, h.gate.Conn)
	})
}

func TestAPageOfAStreamIsTextToo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		js := keep(t, h)
		for i := range 9 {
			put(t, js, "orders.new", fmt.Sprintf("{\"i\":%d}\n", i))
		}
		w := h.ask(http.MethodGet, "/events?subject=orders.new&seq=4&n=3", "", "Accept", "text/plain")
		for _, want := range []string{"kept in stream ORDERS  9 messages, sequence 1 to 9", `"{\"i\":5}\n"`, "earlier: /events?before=4&stream=ORDERS&subject=orders.new", "later: /events?seq=7&stream=ORDERS&subject=orders.new"} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("no %q in\n%s", want, w.Body)
			}
		}
	}, bustest.WithJetStream())
}
