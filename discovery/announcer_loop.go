package discovery

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

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
	a.beatAt = a.firstBeat(now)
}

// beat says the interval up to the next beat, so that watchers know of a slower
// pace before it begins.
func (a *Announcer) beat(run context.Context, now time.Time, load, inFlight int) {
	every := a.interval(now)
	a.beatAt = a.onGrid(now.Add(every*9/10), now.Add(every*11/10))
	data := encodeBeat(beat{Rev: a.said.Rev, Load: min(load, 100), InFlight: inFlight, Interval: every.Milliseconds()})
	if err := a.conn.Publish(run, a.subject(wire.EventBeat), "", nil, data); err != nil && a.conn.Connected() {
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

// firstBeat is at any time of the interval, so that instances started together
// do not beat together.
func (a *Announcer) firstBeat(now time.Time) time.Time {
	return a.onGrid(now, now.Add(a.interval(now)))
}

// beatGrid is the step of the times at which the instances on one connection
// beat. A thousand of them wake the process twenty times a second and not five
// hundred times. Each connection has its own offset, so that the processes of a
// bus do not beat together.
const beatGrid = 50 * time.Millisecond

func gridOf(conn *bus.Conn) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(conn.ID())) // never fails
	return time.Duration(h.Sum32()) % beatGrid
}

// onGrid chooses a time between two others, on the grid if there is room.
func (a *Announcer) onGrid(from, to time.Time) time.Time {
	at := from.Add(rand.N(to.Sub(from)))
	if on := at.Add(-a.grid).Truncate(beatGrid).Add(a.grid); !on.Before(from) {
		return on
	}
	if on := at.Add(-a.grid).Truncate(beatGrid).Add(a.grid + beatGrid); !on.After(to) {
		return on
	}
	return at
}
