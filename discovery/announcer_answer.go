package discovery

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// A probe may say over how many milliseconds the answers are to be spread. Who
// asks one service or expects few instances asks for none.
type probeBody struct {
	SpreadMS *int64 `json:"spread_ms"`
}

// maxProbe bounds the body of a probe that is read.
const maxProbe = 256

// listen subscribes to everything that an instance answers.
func (a *Announcer) listen(run context.Context) error {
	type subject struct {
		name string
		f    func(*nats.Msg)
	}
	service, id := wire.Escape(a.cfg.Name), wire.EscapeID(a.cfg.ID)
	probe := func(m *nats.Msg) { a.probed(run, m, false) }
	subjects := []subject{
		{wire.PaceSubject, a.paced},
		{wire.ProbeSubject(""), probe},
		{wire.ProbeSubject(a.cfg.Name), probe},
		{probeOne(a.cfg.Name, a.cfg.ID), func(m *nats.Msg) { a.probed(run, m, true) }},
	}
	if a.cfg.Address == "" {
		for _, verb := range []string{wire.VerbPing, wire.VerbInfo, wire.VerbStats} {
			answer := func(m *nats.Msg) { a.asked(run, verb, m) }
			subjects = append(subjects,
				subject{wire.SrvSubject(verb, "", ""), answer},
				subject{wire.SrvSubject(verb, service, ""), answer},
				subject{wire.SrvSubject(verb, service, id), answer})
		}
	}
	for _, s := range subjects {
		l, err := a.conn.Listen(bus.Control, s.name, "", s.f)
		if err != nil {
			return err
		}
		a.listeners = append(a.listeners, l)
	}
	return nil
}

func (a *Announcer) unlisten(ctx context.Context) error {
	return drainAll(ctx, a.listeners)
}

// drainAll drains listeners at the same time: each takes a round trip.
func drainAll(ctx context.Context, listeners []*bus.Listener) error {
	errs := make([]error, len(listeners))
	var wg sync.WaitGroup
	for i, l := range listeners {
		wg.Go(func() { errs[i] = l.Drain(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// probeOne is where one instance alone is asked to announce itself to the
// asker.
func probeOne(service, id string) string {
	return wire.ProbeSubject(service) + "." + wire.EscapeID(id)
}

// paced takes the word of a registrar. A slower pace begins after the next
// beat, which tells of it; a faster one begins at once.
func (a *Announcer) paced(m *nats.Msg) {
	now := time.Now()
	if !a.pace.hear(m, now) || a.cfg.Interval > 0 {
		return
	}
	a.mu.Lock()
	if every := a.interval(now); a.beatAt.Sub(now) > every {
		a.beatAt = a.firstBeat(now)
	}
	a.mu.Unlock()
	a.wake()
}

func (a *Announcer) wake() {
	select {
	case a.kick <- struct{}{}:
	default: // it is going to look
	}
}

// probed answers a probe: at once if it was meant for this instance alone, else
// at some moment of the time over which the answers are to be spread.
func (a *Announcer) probed(run context.Context, m *nats.Msg, alone bool) {
	if !wire.ReplyAllowed(m.Reply) {
		return
	}
	now := time.Now()
	var delay time.Duration
	if !alone {
		if spread := a.spread(m.Data, now); spread > 0 {
			delay = rand.N(spread)
		}
	}
	a.mu.Lock()
	if a.phase != phaseUp {
		a.mu.Unlock()
		return
	}
	if delay > 0 {
		if len(a.waiting) < maxWaiting {
			a.waiting = append(a.waiting, waiting{at: now.Add(delay), reply: m.Reply})
		}
		a.mu.Unlock()
		a.wake()
		return
	}
	data := a.fresh(now)
	a.mu.Unlock()
	_ = a.conn.Publish(run, m.Reply, "", nil, data) // the asker sees nothing and may ask again
}

// fresh is the announcement as of now: of a registration it says how long it
// still holds. The caller holds mu.
func (a *Announcer) fresh(now time.Time) []byte {
	if !a.cfg.Expires.IsZero() {
		if err := a.encode(now); err != nil {
			a.cfg.Logger.Warn().Err(err).Str("service", a.cfg.Name).Msg("an asker hears an old announcement")
		}
	}
	return a.bytes
}

func (a *Announcer) spread(body []byte, now time.Time) time.Duration {
	var asked probeBody
	if len(body) > 0 && len(body) <= maxProbe && json.Unmarshal(body, &asked) == nil && asked.SpreadMS != nil {
		return time.Duration(min(max(*asked.SpreadMS, 0), time.Second.Milliseconds())) * time.Millisecond
	}
	return a.pace.now(now).spread()
}

// asked answers $SRV. What the request says does not matter.
func (a *Announcer) asked(run context.Context, verb string, m *nats.Msg) {
	if !wire.ReplyAllowed(m.Reply) {
		return
	}
	a.mu.Lock()
	srv, up := a.srv, a.phase == phaseUp
	a.mu.Unlock()
	if !up {
		return
	}
	var data []byte
	switch verb {
	case wire.VerbPing:
		data = srv.ping
	case wire.VerbInfo:
		data = srv.info
	case wire.VerbStats:
		var stats []EndpointStats
		if a.cfg.Stats != nil {
			stats = a.cfg.Stats()
		}
		data = srv.stats(stats)
	}
	_ = a.conn.Publish(run, m.Reply, "", nil, data) // the asker sees nothing and may ask again
}
