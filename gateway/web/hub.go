package web

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"github.com/mbus-dev/mbus/bus"
)

// The topics of /-/live. A service and a node are followed by ":" and a name.
const (
	topicLink     = "link"
	topicServices = "services"
	topicNodes    = "nodes"
	topicStats    = "stats"
	topicTopology = "topology"
	topicBus      = "bus"
	topicService  = "svc"
	topicVersions = "versions"
	topicNode     = "node"
	topicEvents   = "events"
)

const (
	maxClients      = 256
	maxTopics       = 32
	maxTails        = 8
	maxWaiting      = 64
	maxWaitingBytes = 1 << 20
	// maxMissed and maxMissedBytes bound what is kept for those who come back.
	maxMissed      = 60
	maxMissedBytes = 8 << 20
)

// A hub hands the changes to the browsers. Nobody waits for a browser: who takes
// too little loses what waits, and is told.
type hub struct {
	run   string
	build string

	mu      sync.Mutex
	seq     uint64
	clients map[string]*client
	missed  []message // oldest first
	bytes   int       // of them
	before  uint64    // the last one that is no longer among them
	link    []byte    // the latest
	changed func()    // called without mu when topics have come or gone

	over chan struct{} // closed at the end
	end  func()        // closes it, once
}

// A message is an event for everybody who has its topic.
type message struct {
	seq   uint64 // of the hub
	own   uint64 // of the topic, 0 if it has none
	topic string
	data  []byte
}

// A client is one stream.
type client struct {
	id     string
	hello  []byte // until it is taken: it comes first, and is never lost
	topics map[string]bool
	queue  [][]byte
	bytes  int
	lost   bool
	wake   chan struct{}
}

func newHub(build string) *hub {
	h := &hub{run: nuid.Next(), build: build, clients: make(map[string]*client), changed: func() {}, over: make(chan struct{})}
	h.end = sync.OnceFunc(func() { close(h.over) })
	return h
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// wants reports whether somebody has a topic.
func (h *hub) wants(topic string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.clients {
		if c.topics[topic] {
			return true
		}
	}
	return false
}

// singles are the topics with a name that somebody has.
func (h *hub) singles() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]bool)
	for _, c := range h.clients {
		for topic := range c.topics {
			if strings.Contains(topic, ":") {
				all[topic] = true
			}
		}
	}
	return slices.Collect(maps.Keys(all))
}

// send hands an event to all who have the topic; everybody has the link. own is
// the number of a delta in its topic, which is kept for those who come later.
func (h *hub) send(topic, event string, own uint64, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return // pages are made of what JSON has
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	m := message{seq: h.seq, own: own, topic: topic, data: frame(h.run, h.seq, event, data)}
	if topic == topicLink {
		h.link = m.data
	}
	if own > 0 {
		h.missed = append(h.missed, m)
		h.bytes += len(m.data)
		for len(h.missed) > maxMissed || h.bytes > maxMissedBytes && len(h.missed) > 1 {
			h.bytes -= len(h.missed[0].data)
			h.before = h.missed[0].seq
			h.missed[0] = message{}
			h.missed = h.missed[1:]
		}
	}
	for _, c := range h.clients {
		if topic == topicLink || c.topics[topic] {
			c.put(m.data)
		}
	}
}

func frame(run string, seq uint64, event string, data []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(data) + 64)
	if seq > 0 {
		b.WriteString("id: " + run + "." + strconv.FormatUint(seq, 10) + "\n")
	}
	b.WriteString("event: " + event + "\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes()
}

// put queues an event. The caller holds the hub's mu.
func (c *client) put(data []byte) {
	if len(c.queue) >= maxWaiting || c.bytes+len(data) > maxWaitingBytes {
		c.queue, c.bytes, c.lost = nil, 0, true
	} else if !c.lost {
		c.queue = append(c.queue, data)
		c.bytes += len(data)
	}
	poke(c.wake)
}

// take returns what waits. What was thrown away is the latest link, and one resync
// for each topic.
func (h *hub) take(c *client) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out [][]byte
	if c.hello != nil {
		out = append(out, c.hello)
	}
	if c.lost {
		if h.link != nil {
			out = append(out, h.link)
		}
		for topic := range c.topics {
			out = append(out, resync(topic))
		}
	}
	out = append(out, c.queue...)
	c.hello, c.queue, c.bytes, c.lost = nil, nil, 0, false
	return out
}

func resync(topic string) []byte {
	data, err := json.Marshal(struct {
		Topic string `json:"topic"`
	}{topic})
	if err != nil {
		return nil // it is a string
	}
	return frame("", 0, "resync", data)
}

// A wish is a topic that a client wants, and from which number on.
type wish struct {
	topic string
	after uint64
	known bool
}

// parseWishes reads a list such as "services@12,svc:go.micro.srv.greeter".
func parseWishes(list []string) ([]wish, error) {
	var all []wish
	tails := 0
	for _, text := range list {
		w := wish{topic: text}
		if topic, after, ok := strings.Cut(text, "@"); ok && !strings.Contains(topic, ":") {
			n, err := strconv.ParseUint(after, 10, 64)
			if err != nil {
				return nil, bus.Errorf(bus.InvalidArgument, "topic %.80q: the part after @ is no number", text)
			}
			w = wish{topic, n, true}
		}
		kind, name, named := strings.Cut(w.topic, ":")
		switch kind {
		case topicServices, topicNodes, topicStats, topicTopology, topicBus:
			if named {
				return nil, bus.Errorf(bus.InvalidArgument, "topic %.80q: %s has no name after it", text, kind)
			}
		case topicService, topicVersions, topicNode, topicEvents:
			if name == "" || len(name) > maxText {
				return nil, bus.Errorf(bus.InvalidArgument, "topic %.80q: want a name after %s:", text, kind)
			}
			if kind == topicEvents {
				tails++
			}
		default:
			return nil, bus.Errorf(bus.InvalidArgument, "topic %.80q: there is services, svc:NAME, versions:NAME, nodes, node:ID, stats, topology, events:SUBJECT, bus", text)
		}
		all = append(all, w)
	}
	if len(all) > maxTopics || tails > maxTails {
		return nil, bus.Errorf(bus.InvalidArgument, "%d topics, %d of them events: at most %d and %d", len(all), tails, maxTopics, maxTails)
	}
	return all, nil
}

// join adds a client. last is the id of the last event that it got before, or "".
func (h *hub) join(wishes []wish, last string) (*client, error) {
	c := &client{id: nuid.Next(), topics: make(map[string]bool), wake: make(chan struct{}, 1)}
	select {
	case <-h.over:
		return nil, bus.Errorf(bus.Unavailable, "the dashboard is stopping; come back in a moment")
	default:
	}
	h.mu.Lock()
	if len(h.clients) >= maxClients {
		h.mu.Unlock()
		return nil, bus.Errorf(bus.Unavailable, "%d pages are open; close some", maxClients)
	}
	h.clients[c.id] = c
	hello, err := json.Marshal(struct {
		ID       string `json:"id"`
		Run      string `json:"run"`
		Seq      uint64 `json:"seq"`
		At       int64  `json:"at"`
		Build    string `json:"build"`
		Interval int64  `json:"interval_ms"`
	}{c.id, h.run, h.seq, time.Now().UnixMilli(), h.build, lookEvery.Milliseconds()})
	if err == nil { // it always is
		c.hello = frame(h.run, h.seq, "hello", hello)
		poke(c.wake)
	}
	h.catchUp(c, wishes, last)
	h.mu.Unlock()
	h.changed()
	return c, nil
}

// catchUp gives a client what it has missed. The caller holds mu.
func (h *hub) catchUp(c *client, wishes []wish, last string) {
	seq, resumed := h.position(last)
	for _, w := range wishes {
		c.topics[w.topic] = true
		switch {
		case resumed && !strings.Contains(w.topic, ":"):
			for _, m := range h.missed {
				if m.topic == w.topic && m.seq > seq {
					c.put(m.data)
				}
			}
		case last != "":
			c.put(resync(w.topic))
		case w.known:
			h.since(c, w)
		}
	}
	if h.link != nil {
		c.put(h.link)
	}
}

// since gives a client the deltas after the one that its page has.
func (h *hub) since(c *client, w wish) {
	next := w.after
	var found [][]byte
	for _, m := range h.missed {
		if m.topic != w.topic || m.own <= w.after {
			continue
		}
		if m.own != next+1 {
			c.put(resync(w.topic))
			return
		}
		next = m.own
		found = append(found, m.data)
	}
	for _, data := range found {
		c.put(data)
	}
}

// position is where the event with an id was, if all after it is still there.
func (h *hub) position(id string) (seq uint64, known bool) {
	run, text, _ := strings.Cut(id, ".")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || run != h.run || n > h.seq {
		return 0, false
	}
	return n, n >= h.before
}

// leave takes a client out.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	delete(h.clients, c.id)
	h.mu.Unlock()
	h.changed()
}

// change gives a stream other topics.
func (h *hub) change(id string, wishes []wish) bool {
	h.mu.Lock()
	c := h.clients[id]
	if c == nil {
		h.mu.Unlock()
		return false
	}
	before := c.topics
	c.topics = make(map[string]bool, len(wishes))
	for _, w := range wishes {
		c.topics[w.topic] = true
		if w.known && !before[w.topic] {
			h.since(c, w)
		}
	}
	h.mu.Unlock()
	h.changed()
	return true
}
