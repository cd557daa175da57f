package discovery

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

// A probe may say over how many milliseconds the answers are to be spread. Who
// asks one service or expects few instances asks for none.
type probeBody struct {
	SpreadMS *int64 `json:"spread_ms"`
}

// maxProbe bounds the body of a probe that is read.
const maxProbe = 256

// loop beats, answers those who wait, and announces the instance anew after a
// reconnect.
func (a *Announcer) loop(run context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := a.conn.Changed()
		timer.Reset(a.work(run, time.Now()))
		select {
		case <-run.Done():
			return
		case <-a.conn.Closed():
			return
		case <-changed:
		case <-a.kick:
		case <-timer.C:
		}
	}
}

// work does what is due and returns how long nothing else is.
func (a *Announcer) work(run context.Context, now time.Time) time.Duration {
	var load, inFlight int
	if a.cfg.Load != nil {
		load, inFlight = a.cfg.Load() // not under mu: it may take locks of its own
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.conn.Connected() {
		a.upAt, a.waiting = time.Time{}, nil
		return maxInterval
	}
	if epoch := a.conn.Epoch(); epoch != a.epoch {
		a.epoch = epoch
		a.upAt = now.Add(rand.N(reconnectSpread))
	}
	if !a.upAt.IsZero() && !now.Before(a.upAt) {
		a.again(run, now)
	}
	if a.upAt.IsZero() && !now.Before(a.beatAt) {
		a.beat(run, now, load, inFlight)
	}
	a.answerWaiting(run, now)
	next := a.beatAt
	if !a.upAt.IsZero() {
		next = a.upAt
	}
	for _, w := range a.waiting {
		if w.at.Before(next) {
			next = w.at
		}
	}
	return next.Sub(now)
}

// again announces the instance on a new connection. The revision grows, so that
// whoever misses it learns from the next beat that there is news.
func (a *Announcer) again(run context.Context, now time.Time) {
	a.upAt = time.Time{}
	a.said.Rev++
	err := a.encode(now)
	if err == nil {
		err = a.conn.Publish(run, a.subject(wire.EventUp), "", nil, a.bytes)
	}
	if err != nil {
		a.cfg.Logger.Warn().Err(err).Str("service", a.cfg.Name).Msg("not announced after a reconnect, trying again")
		a.upAt = now.Add(retryPause)
		return
	}
	a.beatAt = now.Add(a.phaseIn())
}

// beat says the interval up to the next beat, so that watchers know of a slower
// pace before it begins.
func (a *Announcer) beat(run context.Context, now time.Time, load, inFlight int) {
	every := a.interval(now)
	a.beatAt = now.Add(jitter(every))
	data, err := encodeBeat(a.plan, beat{
		Rev: a.said.Rev, Load: min(max(load, 0), 100), InFlight: max(inFlight, 0), Interval: every.Milliseconds(),
	})
	if err == nil {
		err = a.conn.Publish(run, a.subject(wire.EventBeat), "", nil, data)
	}
	if err != nil && a.conn.Connected() {
		a.cfg.Logger.Warn().Err(err).Str("service", a.cfg.Name).Msg("one beat is missing")
	}
}

func (a *Announcer) answerWaiting(run context.Context, now time.Time) {
	rest := a.waiting[:0]
	for _, w := range a.waiting {
		if now.Before(w.at) {
			rest = append(rest, w)
			continue
		}
		_ = a.conn.Publish(run, w.reply, "", nil, a.fresh(now)) // the asker sees nothing and may ask again
	}
	a.waiting = rest
}

// phaseIn is when the first beat comes: at any time of the interval, so that
// instances started together do not beat together.
func (a *Announcer) phaseIn() time.Duration {
	return rand.N(a.interval(time.Now()))
}

// jitter moves an interval by up to a tenth either way.
func jitter(d time.Duration) time.Duration {
	return d*9/10 + rand.N(d/5+1)
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
		a.beatAt = now.Add(rand.N(every))
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
