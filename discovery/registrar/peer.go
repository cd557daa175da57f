package registrar

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// peerLimit is how long another registrar is waited for. One that does not
	// answer is cut off or dying, and then it answers nobody else either.
	peerLimit = 500 * time.Millisecond
	// peerTries and peerPause are how often another registrar is asked whether
	// it has seen an announcement, which may come on another way than the
	// question; ownTries is for this one's own view.
	peerTries = 25
	ownTries  = 8
	peerPause = 20 * time.Millisecond
	// peersAtOnce is how many are asked at the same time.
	peersAtOnce = 32
	// askBatch is how many nodes one question is about.
	askBatch = 500
	// maxPairs bounds the connections of registrars that are remembered, the
	// oldest is forgotten first: only entries of registrars are adopted.
	maxPairs = 4096
)

// peers remembers the connections on which registrars were.
type peers struct {
	mu    sync.Mutex
	pairs map[pair]struct{}
	order []pair
}

func (p *peers) init() { p.pairs = make(map[pair]struct{}) }

// note remembers where an instance is, if it is a registrar.
func (p *peers) note(i discovery.Instance) {
	if isRegistrar(i) {
		p.add(pairOf(i))
	}
}

func (p *peers) add(at pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.pairs[at]; known || at.server == "" {
		return
	}
	p.pairs[at] = struct{}{}
	if p.order = append(p.order, at); len(p.order) > maxPairs {
		delete(p.pairs, p.order[0])
		p.order = p.order[1:]
	}
}

func (p *peers) was(at pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.pairs[at]
	return known
}

func isRegistrar(i discovery.Instance) bool {
	return i.Service == Service && !i.Foreign && !i.Registered() && i.Metadata["role"] == Role
}

// live returns the ids of the other registrars, in order.
func (r *Registrar) live() []string {
	var ids []string
	for _, i := range r.view.All(Service) {
		if isRegistrar(i) && i.ID != r.cfg.ID && i.State != discovery.StateSuspect {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

// heard sees every announcement after the view has.
func (r *Registrar) heard(m *nats.Msg) {
	if beat(m.Subject) {
		return
	}
	service, id, event, ok := wire.ParseAnnounce(m.Subject)
	if !ok {
		return
	}
	k := key{service, id}
	i, there := r.view.Get(service, id)
	if service == Service && there {
		r.peers.note(i)
	}
	if event == wire.EventDown && !there {
		r.adoptions.forget(k)
	}
	r.recheck(k, event == wire.EventDown)
}

// beat tells by the end of an announce subject whether it is a beat, which most
// announcements are.
func beat(subject string) bool {
	const end = "." + wire.EventBeat
	return len(subject) > len(end) && subject[len(subject)-len(end):] == end
}

// news is what has happened to a node, or a node that is asked about.
type news struct {
	Service string `json:"service"`
	ID      string `json:"id"`
	Rev     uint64 `json:"rev,omitempty"`
	Gone    bool   `json:"gone,omitempty"`
	Server  string `json:"server,omitempty"`
	Client  uint64 `json:"client,omitempty"`
}

func (n news) at() pair { return pair{n.Server, n.Client} }

// syncRequest is what registrars ask each other: whether you have seen the
// news, what you know of nodes, or to take down nodes that you announce. It says
// who asks.
type syncRequest struct {
	ID     string `json:"id"`
	Server string `json:"server"`
	Client uint64 `json:"client"`
	Seen   []news `json:"seen,omitempty"`
	Ask    []news `json:"ask,omitempty"`
	Drop   []news `json:"drop,omitempty"`
}

type syncReply struct {
	Seen     bool    `json:"seen"`
	Watching int64   `json:"watching_ms"` // since when nothing can have been missed
	Known    []*news `json:"known,omitempty"`
}

// answerSync runs on the goroutine that hands announcements to the view: what
// was said before the question has been seen.
func (r *Registrar) answerSync(m *nats.Msg) {
	if !r.allowed(m) {
		return
	}
	var ask syncRequest
	if err := read(m, maxRegistration, &ask); err != nil {
		r.fail(m, err)
		return
	}
	if n := max(len(ask.Ask), len(ask.Seen), len(ask.Drop)); n > askBatch {
		r.fail(m, bus.Errorf(bus.TooLarge, "%d nodes in one question, at most %d are allowed", n, askBatch))
		return
	}
	if i, ok := r.view.Get(Service, ask.ID); ok && isRegistrar(i) {
		r.peers.add(pair{ask.Server, ask.Client})
	}
	if len(ask.Drop) > 0 {
		// Not behind the writes, which may be waiting for the asker.
		r.later.add(time.Now(), func(ctx context.Context) {
			r.handle(ctx, request{m, func(ctx context.Context, _ *nats.Msg) (any, error) {
				return syncReply{Seen: true}, r.drop(ctx, ask.Drop, false)
			}})
		})
		return
	}
	reply := syncReply{Seen: true, Watching: r.watching().Milliseconds()}
	for _, n := range ask.Seen {
		reply.Seen = reply.Seen && r.seen(n)
	}
	for _, n := range ask.Ask {
		var known *news
		if i, ok := r.view.Get(n.Service, n.ID); ok && i.Registered() {
			known = &news{Service: n.Service, ID: n.ID, Rev: i.Rev, Server: i.Server, Client: i.Client}
		}
		reply.Known = append(reply.Known, known)
	}
	r.reply(m, reply)
}

func (r *Registrar) seen(n news) bool {
	i, ok := r.view.Get(n.Service, n.ID)
	if !n.Gone {
		return ok && i.Rev >= n.Rev
	}
	gone := n.at()
	e := r.entries.get(key{n.Service, n.ID})
	return !(ok && pairOf(i) == gone) && !(e != nil && e.from == gone)
}

// watching is for how long the view has seen everything.
func (r *Registrar) watching() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return 0
	}
	return time.Since(r.since)
}

// confirm waits until every registrar has seen the news, or does not answer.
// again, if set, says the news once more to who has missed it.
func (r *Registrar) confirm(ctx context.Context, all []news, again func()) {
	var asks sync.WaitGroup
	slots := make(chan struct{}, peersAtOnce)
	for _, id := range append(r.live(), r.cfg.ID) {
		slots <- struct{}{}
		asks.Go(func() {
			if !r.confirmOne(ctx, id, peerTries, all, again) {
				r.log.Warn().Str("registrar", id).Int("nodes", len(all)).Msg("another registrar has not seen a change; it will show there later")
			}
			<-slots
		})
	}
	asks.Wait()
}

// confirmOne is false if a registrar answers but has not seen the news.
func (r *Registrar) confirmOne(ctx context.Context, id string, tries int, all []news, again func()) bool {
	for try := range tries {
		reply, err := r.sync(ctx, id, syncRequest{Seen: all})
		if err != nil || reply.Seen {
			return true
		}
		if again != nil && try > 0 {
			again()
		}
		if !pause(ctx, peerPause) {
			return true
		}
	}
	return false
}

// pause is false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sync asks one registrar.
func (r *Registrar) sync(ctx context.Context, id string, ask syncRequest) (syncReply, error) {
	var reply syncReply
	ask.ID = r.cfg.ID
	ask.Server, ask.Client = r.conn.Identity()
	data, err := json.Marshal(ask)
	if err != nil {
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	m, err := r.conn.Request(ctx, wire.NodeSubject(Service, id, methodSync), nil, data)
	if err != nil {
		return reply, err
	}
	if e := bus.ReplyError(m); e != nil {
		return reply, e
	}
	if err := codec.Guard(codec.JSON, m.Data); err != nil {
		return reply, err
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return reply, err
	}
	if len(reply.Known) != len(ask.Ask) {
		return reply, errors.New("an answer of another length")
	}
	return reply, nil
}

// opinions are what the registrars know of some nodes.
type opinions struct {
	known    map[key][]news
	watching time.Duration // the longest of all
}

// askAll asks all other registrars about nodes. Those that do not answer have
// no opinion.
func (r *Registrar) askAll(ctx context.Context, keys []key) opinions {
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.id, b.id)) })
	o := opinions{known: make(map[key][]news)}
	var mu sync.Mutex
	var asks sync.WaitGroup
	slots := make(chan struct{}, peersAtOnce)
	for _, id := range r.live() {
		slots <- struct{}{}
		asks.Go(func() {
			defer func() { <-slots }()
			for batch := range slices.Chunk(keys, askBatch) {
				var ask syncRequest
				for _, k := range batch {
					ask.Ask = append(ask.Ask, news{Service: k.service, ID: k.id})
				}
				reply, err := r.sync(ctx, id, ask)
				if err != nil {
					return
				}
				mu.Lock()
				o.add(batch, reply)
				mu.Unlock()
			}
		})
	}
	asks.Wait()
	return o
}

func (o *opinions) add(keys []key, reply syncReply) {
	o.watching = max(o.watching, time.Duration(reply.Watching)*time.Millisecond)
	for n, known := range reply.Known {
		if known != nil {
			o.known[keys[n]] = append(o.known[keys[n]], *known)
		}
	}
}
