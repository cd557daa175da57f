package web

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// allEvents stands for the events of all topics. It is no subscription to
	// everything: that would be interest in every call. It is one for each first
	// token that is known.
	allEvents = ">"
	maxRoots  = 64

	tailPace      = 250 * time.Millisecond
	maxShown      = 50        // events a second
	maxShownBytes = 64 << 10  // of one event
	maxShownJSON  = 400 << 10 // of all in a second, as JSON; the first always is
	maxHeaders    = 32
	rootsPace     = 2 * time.Second
)

// tails follow the topics that pages show.
type tails struct {
	bus     *gateway.Bus
	hub     *hub
	names   *subjects
	changed chan struct{}
	work    sync.WaitGroup

	open map[string]*tail // by topic of the hub; of run alone

	mu  sync.Mutex
	own []subscribed
}

// A subscribed pattern is one that a tail follows, and since when.
type subscribed struct {
	*bus.Subscription
	pattern string
	since   time.Time
}

// A tail is one topic of the hub.
type tail struct {
	topic    string
	patterns map[string]subscribed

	mu      sync.Mutex
	n       uint64
	second  int64
	shown   int
	size    int // of what is shown, as JSON
	waiting []shownEvent
	skipped int
}

func newTails(b *gateway.Bus, h *hub) *tails {
	t := &tails{bus: b, hub: h, names: newSubjects(), changed: make(chan struct{}, 1), open: make(map[string]*tail)}
	h.changed = func() { poke(t.changed) }
	return t
}

func (t *tails) start(ctx context.Context) { t.work.Go(func() { t.run(ctx) }) }

func (t *tails) stop(ctx context.Context) error {
	t.work.Wait()
	var err error
	for _, one := range t.open {
		err = errors.Join(err, one.close(ctx))
	}
	clear(t.open)
	return err
}

// run subscribes to what pages want, and hands on what comes.
func (t *tails) run(ctx context.Context) {
	tick := time.NewTicker(tailPace)
	defer tick.Stop()
	tick.Stop() // until there is a tail
	var rooted time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
			t.settle(ctx)
			rooted = time.Now()
			if len(t.open) > 0 {
				tick.Reset(tailPace)
			} else {
				tick.Stop()
			}
		case now := <-tick.C:
			for _, one := range t.open {
				one.flush(t.hub, now)
			}
			if now.Sub(rooted) > rootsPace {
				t.settle(ctx) // there may be new first tokens
				rooted = now
			}
		}
	}
}

// settle opens and closes tails. Only run calls it.
func (t *tails) settle(ctx context.Context) {
	wanted := make(map[string]bool)
	for _, topic := range t.hub.singles() {
		if strings.HasPrefix(topic, topicEvents+":") {
			wanted[topic] = true
		}
	}
	for topic, one := range t.open {
		if !wanted[topic] {
			_ = one.close(ctx) // the broker is away, and the subscription with it
			delete(t.open, topic)
		}
	}
	for topic := range wanted {
		one := t.open[topic]
		if one == nil {
			one = &tail{topic: topic, patterns: make(map[string]subscribed)}
			t.open[topic] = one
		}
		t.subscribe(ctx, one)
	}
	var own []subscribed
	for _, one := range t.open {
		own = slices.AppendSeq(own, maps.Values(one.patterns))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own = own
}

// mine counts the subscriptions of the tails that a broker knew at a moment.
func (t *tails) mine(at time.Time, want func(pattern string) bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.own {
		if o.since.Before(at) && want(o.pattern) {
			n++
		}
	}
	return n
}

// subscribe adds the patterns that a tail lacks, and ends those that it no longer
// wants.
func (t *tails) subscribe(ctx context.Context, one *tail) {
	_, pattern, _ := strings.Cut(one.topic, ":")
	patterns := []string{pattern}
	if pattern == allEvents {
		patterns = t.names.patterns()
	}
	for p, s := range one.patterns {
		if !slices.Contains(patterns, p) {
			_ = s.Drain(ctx) // as in settle
			delete(one.patterns, p)
		}
	}
	for _, p := range patterns {
		if one.patterns[p].Subscription != nil {
			continue
		}
		limits := bus.Limits{Messages: 4096, Bytes: 8 << 20}
		s, err := t.bus.Conn.Subscribe(ctx, p, "", limits, func(m *nats.Msg) { t.names.saw(m.Subject, len(m.Data)); one.take(m) })
		if err != nil {
			one.refuse(t.hub, err)
			continue
		}
		one.patterns[p] = subscribed{s, p, time.Now()}
	}
}

func (o *tail) close(ctx context.Context) error {
	var err error
	for _, s := range o.patterns {
		err = errors.Join(err, s.Drain(ctx))
	}
	return err
}

// take keeps an event for the next flush, if it is not one too many.
func (o *tail) take(m *nats.Msg) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	if second := now.Unix(); second != o.second {
		o.second, o.shown, o.size = second, 0, 0
	}
	if o.shown >= maxShown || o.size >= maxShownJSON {
		o.skipped++
		return
	}
	e := show(o.n, now, m.Subject, m.Header, m.Data)
	size := sizeInJSON(e.Data)
	for name, value := range e.Headers {
		size += sizeInJSON(name) + sizeInJSON(value)
	}
	if o.size += size; o.shown > 0 && o.size > maxShownJSON {
		o.skipped++
		return
	}
	o.shown++
	o.waiting = append(o.waiting, e)
}

// sizeInJSON is about how long a text is as JSON, where some bytes take six.
func sizeInJSON(text string) int {
	n := len(text)
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n', c == '\t', c == '\r', c == '"', c == '\\':
			n++
		case c < ' ', c == '<', c == '>', c == '&':
			n += 5
		}
	}
	return n
}

// flush tells the pages what has come.
func (o *tail) flush(h *hub, now time.Time) {
	o.mu.Lock()
	events, skipped := o.waiting, o.skipped
	o.waiting, o.skipped = nil, 0
	o.mu.Unlock()
	if len(events) == 0 && skipped == 0 {
		return
	}
	if events == nil {
		events = []shownEvent{}
	}
	h.send(o.topic, "events", 0, struct {
		Topic   string       `json:"topic"`
		At      int64        `json:"at"`
		Events  []shownEvent `json:"events"`
		Skipped int          `json:"skipped"`
	}{o.topic, now.UnixMilli(), events, skipped})
}

// refuse tells the pages why there is nothing to see.
func (o *tail) refuse(h *hub, err error) {
	h.send(o.topic, "events", 0, struct {
		Topic  string       `json:"topic"`
		At     int64        `json:"at"`
		Events []shownEvent `json:"events"`
		Error  string       `json:"error"`
	}{o.topic, time.Now().UnixMilli(), []shownEvent{}, bus.AsError(err).Message})
}
