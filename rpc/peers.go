package rpc

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery/selector"
)

const (
	// maxPeers bounds the services a client keeps facts about. Further ones
	// are called plainly.
	maxPeers = 1024
	// maxSubjects bounds the subjects kept ready for one service.
	maxSubjects = 256
	// maxPeerAnswer is the longest answer to PING that is read.
	maxPeerAnswer = 64 << 10

	learnFirst = 250 * time.Millisecond // for the first answer, and between two looks
	learnAtAll = 2 * time.Second        // a crowd of instances takes no longer than this to answer
	learnAgain = 5 * time.Second        // after nobody has answered
)

// peers are the services that a client has called.
type peers struct {
	conn     *bus.Conn
	log      zerolog.Logger
	selector selector.Config // set before the first call

	table atomic.Pointer[map[string]*peer] // copied to be changed
	mu    sync.Mutex                       // of who changes it
}

// A peer is what a client knows about one service: above all, whether every
// instance speaks frames.
type peer struct {
	conn    *bus.Conn
	log     zerolog.Logger
	service string
	kept    bool // in the table; the facts of a passing peer are not gathered

	subjects  atomic.Pointer[map[string]string] // by method; copied to be changed
	foreign   atomic.Pointer[map[string]string] // subjects of a foreign service, by method
	answered  atomic.Int64                      // when a call was last answered, Unix nanoseconds
	choice    *chooser                          // nil without a Selector
	refused   budget                            // for calls that were turned away
	silent    budget                            // for calls without an answer
	hedged    budget                            // for second copies of slow calls
	mayRepeat atomic.Pointer[map[string]bool]   // methods that all instances declare idempotent
	diagnosis

	batch    atomic.Int64                            // the most calls in a message; what is known while speaks is speaksFrames
	batchers atomic.Pointer[map[string]*bus.Batcher] // by subject; copied to be changed

	speaks atomic.Uint32 // the knowledge of the moment, one of unknown…
	epoch  atomic.Uint64 // of the connection it was gained on

	mu        sync.Mutex
	closed    bool
	listener  *bus.Listener          // of those who come up
	losses    *bus.Listener          // of those who are gone
	questions map[*question]struct{} // about the calls of those
	release   func()
	timer     *time.Timer
	began     time.Time
	again     time.Time // when to ask next
	stale     bool      // an instance came up while we were asking

	latencies map[string]*latency // of hedged calls, by method

	heard    atomic.Int64                    // answers so far
	lastWord atomic.Int64                    // when the last came, Unix nanoseconds
	plain    atomic.Bool                     // one of them does not speak frames
	declared atomic.Pointer[map[string]bool] // methods that all of them declare idempotent; nil before the first
	reads    atomic.Int64                    // the most calls in a message that all of them read
}

const (
	unknown uint32 = iota
	learning
	speaksPlain
	speaksFrames
)

func newPeers(conn *bus.Conn, log zerolog.Logger) *peers {
	p := &peers{conn: conn, log: log}
	p.table.Store(&map[string]*peer{})
	return p
}

// get returns what is known of a service.
func (p *peers) get(service string) *peer {
	if known := (*p.table.Load())[service]; known != nil {
		return known
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *p.table.Load()
	if known := old[service]; known != nil {
		return known
	}
	one := &peer{conn: p.conn, log: p.log, service: service, kept: len(old) < maxPeers, questions: make(map[*question]struct{})}
	one.subjects.Store(&map[string]string{})
	one.batchers.Store(&map[string]*bus.Batcher{})
	if p.selector.On() {
		one.choice = newChooser(p.conn, service, p.selector, one.kept)
	}
	if !one.kept {
		return one
	}
	table := make(map[string]*peer, len(old)+1)
	for k, v := range old {
		table[k] = v
	}
	table[service] = one
	p.table.Store(&table)
	return one
}

// know reports whether the names of a request have been used before, and so are
// right.
func (p *peers) know(req *Request) bool {
	one := (*p.table.Load())[req.Service]
	if one == nil || req.Instance != "" {
		return false
	}
	_, ok := (*one.subjects.Load())[req.Method]
	return ok
}

// close frees what the peers hold on the connection.
func (p *peers) close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var failed error
	for _, one := range *p.table.Load() {
		if one.choice != nil {
			one.choice.close()
		}
		if err := one.close(ctx); err != nil {
			failed = err
		}
	}
	return failed
}

// subject returns where calls of a method go.
func (p *peer) subject(method string) string {
	known := *p.subjects.Load()
	if s, ok := known[method]; ok {
		return s
	}
	s := wire.CallSubject(p.service, method)
	p.mu.Lock()
	defer p.mu.Unlock()
	known = *p.subjects.Load()
	if !p.kept || len(known) >= maxSubjects {
		return s
	}
	more := make(map[string]string, len(known)+1)
	for k, v := range known {
		more[k] = v
	}
	more[method] = s
	p.subjects.Store(&more)
	return s
}

// frames reports whether every instance speaks frames. Without knowledge it
// begins to gather it and says no.
func (p *peer) frames() bool {
	switch p.speaks.Load() {
	case speaksFrames:
		if p.epoch.Load() == p.conn.Epoch() {
			return true
		}
		p.forget() // what was announced while we were away is not known
	case speaksPlain:
		if p.epoch.Load() == p.conn.Epoch() {
			return false
		}
		p.forget()
	case learning:
		return false
	}
	if p.kept {
		p.learn()
	}
	return false
}

// takesParts reports whether a request of this size should go in parts: always
// to a service that speaks frames, and to one that may if it cannot go whole.
func (p *peer) takesParts(size int) bool {
	if p.frames() {
		return true
	}
	return p.speaks.Load() != speaksPlain && size > p.conn.MaxPayload()-besideBody
}

// notFrames remembers that an instance answered a frame plainly.
func (p *peer) notFrames() { p.speaks.Store(speaksPlain) }

// forget drops what is known, because an instance has come up or may have.
func (p *peer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.speaks.Load() == learning {
		p.stale = true
		return
	}
	p.speaks.Store(unknown)
	p.foreign.Store(nil)
	p.mayRepeat.Store(nil)
}

// learn asks every instance for its PING answer, in the background.
func (p *peer) learn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.closed || p.speaks.Load() != unknown || now.Before(p.again) || !p.conn.Connected() {
		return
	}
	if p.listener == nil {
		// Before the question, so that whoever is not asked is heard to come up.
		l, err := p.conn.Listen(bus.Control, announced(p.service, wire.EventUp), "", func(*nats.Msg) { p.forget() })
		if err != nil {
			p.again = now.Add(learnAgain)
			return
		}
		p.listener = l
		// Without it, calls of a killed instance end at their deadline.
		p.losses, _ = p.conn.Listen(bus.Control, announced(p.service, wire.EventDown), "", p.missing)
	}
	p.ask(now)
}

// ask sends the question. p.mu is held.
func (p *peer) ask(now time.Time) {
	p.heard.Store(0)
	p.plain.Store(false)
	p.declared.Store(nil)
	p.reads.Store(wire.MaxBatch)
	p.stale = false
	p.again = now.Add(learnAgain) // unless the question is answered
	reply, release, err := p.conn.Expect(p.hear)
	if err != nil {
		p.speaks.Store(unknown)
		return
	}
	p.epoch.Store(p.conn.Epoch())
	// The question outlives the call that has prompted it.
	if err := p.conn.Publish(context.Background(), wire.SrvSubject(wire.VerbPing, wire.Escape(p.service), ""), reply, nil, nil); err != nil {
		release()
		p.speaks.Store(unknown)
		return
	}
	p.release, p.began = release, now
	p.speaks.Store(learning)
	p.timer = time.AfterFunc(learnFirst, p.settle)
}

// hear reads the answer of one instance. It runs on the goroutine of the
// connection's replies.
func (p *peer) hear(m *nats.Msg) {
	if bus.NoResponders(m) {
		return
	}
	p.heard.Add(1)
	p.lastWord.Store(time.Now().UnixNano())
	var answer struct {
		Metadata map[string]string `json:"metadata"`
	}
	if len(m.Data) <= maxPeerAnswer {
		_ = json.Unmarshal(m.Data, &answer) // what cannot be read says nothing
	}
	if !speaksFramesOf(answer.Metadata, p.service) {
		p.plain.Store(true)
	}
	p.declare(answer.Metadata["mbus.idempotent"])
	p.reads.Store(min(p.reads.Load(), batchOf(answer.Metadata)))
}

// speaksFramesOf reads from the metadata of a PING answer whether the instance
// speaks frames.
func speaksFramesOf(metadata map[string]string, service string) bool {
	v, err := strconv.Atoi(metadata["mbus.v"])
	// Frames carry msgpack. Who does not take it is called plainly, in JSON.
	codecs := strings.Split(metadata["mbus.codecs"], ",")
	return err == nil && v >= wire.Version && metadata["mbus.name"] == service && slices.Contains(codecs, codec.Msgpack.String())
}

// declare notes what one more instance declares to be idempotent.
func (p *peer) declare(list string) {
	before := p.declared.Load()
	all := make(map[string]bool)
	for method := range strings.SplitSeq(list, ",") {
		if method != "" && (before == nil || (*before)[method]) {
			all[method] = true
		}
	}
	p.declared.Store(&all)
}

// repeatable reports whether every instance is known to declare the method
// idempotent.
func (p *peer) repeatable(method string) bool {
	known := p.mayRepeat.Load()
	return known != nil && (*known)[method] && p.epoch.Load() == p.conn.Epoch()
}

// settle draws the conclusion once no more answers come.
func (p *peer) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.speaks.Load() != learning || p.closed {
		return
	}
	now := time.Now()
	if p.heard.Load() > 0 && now.Sub(time.Unix(0, p.lastWord.Load())) < learnFirst/2 && now.Sub(p.began) < learnAtAll {
		p.timer.Reset(learnFirst)
		return
	}
	p.release()
	p.release = nil
	if p.heard.Load() > 0 {
		p.again = time.Time{}
	}
	p.batch.Store(p.reads.Load())
	if !p.stale {
		p.mayRepeat.Store(p.declared.Load())
	}
	switch {
	case p.stale, p.heard.Load() == 0:
		p.speaks.Store(unknown)
	case p.plain.Load():
		p.speaks.Store(speaksPlain)
	default:
		p.speaks.Store(speaksFrames)
	}
	p.log.Debug().Str("service", p.service).Int64("instances", p.heard.Load()).Bool("frames", p.speaks.Load() == speaksFrames).Msg("asked a service what it speaks")
}

// close frees what the peer holds on the connection; it learns no more.
func (p *peer) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.speaks.Store(speaksPlain)
	p.mayRepeat.Store(nil) // who comes up from here on is not heard
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.release != nil {
		p.release()
		p.release = nil
	}
	for q := range p.questions {
		q.end()
	}
	listeners := []*bus.Listener{p.listener, p.losses}
	p.listener, p.losses = nil, nil
	p.mu.Unlock()
	var failed error
	for _, l := range listeners {
		if l == nil {
			continue
		}
		if err := l.Drain(ctx); err != nil {
			failed = err
		}
	}
	return failed
}

// announced is where the instances of a service say event.
func announced(service, event string) string {
	all := wire.AnnouncePattern(service) // …*.*
	return all[:len(all)-1] + event
}
