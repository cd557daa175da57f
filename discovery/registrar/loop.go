package registrar

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

const (
	// paceEvery is how often the pace is published, paceSoonest how soon after
	// the last time when it has changed.
	paceEvery   = 10 * time.Second
	paceSoonest = time.Second
	// resumeSpread is the time over which registrars come back after a broker's
	// restart: those who ask each other should find each other there.
	resumeSpread = 50 * time.Millisecond
	// resumePause is between two tries to come back.
	resumePause = time.Second
	// maxIdle is the longest that the loop sleeps.
	maxIdle = time.Minute
)

// state is what only the loop uses.
type state struct {
	epoch    uint64
	lostAt   time.Time // when the broker went away; zero while it is there
	resumeAt time.Time // zero when nothing is parked
	paceAt   time.Time // when the pace was said last
	pace     discovery.Pace
}

// loop does what has its time: the pace, the end of entries, and what follows a
// reconnect.
func (r *Registrar) loop(ctx context.Context) {
	s := state{epoch: r.conn.Epoch()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := r.conn.Changed()
		timer.Reset(r.turnOnce(ctx, &s, time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-r.conn.Closed():
			return
		case <-changed:
		case <-r.kick:
		case <-timer.C:
		}
	}
}

func (r *Registrar) wake() {
	select {
	case r.kick <- struct{}{}:
	default: // it is going to look
	}
}

// turnOnce does what is due and returns how long nothing else is.
func (r *Registrar) turnOnce(ctx context.Context, s *state, now time.Time) time.Duration {
	connected, epoch := r.conn.Connected(), r.conn.Epoch()
	if s.lostAt.IsZero() && (!connected || epoch != s.epoch) {
		s.lostAt = now
		r.watchingSince(time.Time{})
		r.park(ctx)
	}
	s.epoch = epoch
	if !connected {
		s.resumeAt = time.Time{}
		return maxIdle
	}
	if !s.lostAt.IsZero() {
		if s.resumeAt.IsZero() {
			s.resumeAt = now.Add(rand.N(resumeSpread))
		}
		if now.Before(s.resumeAt) {
			return s.resumeAt.Sub(now)
		}
		if !r.resume(ctx, now.Sub(s.lostAt)) {
			s.resumeAt = now.Add(resumePause)
			return resumePause
		}
		s.lostAt, s.resumeAt, s.paceAt = time.Time{}, time.Time{}, time.Time{}
		r.watchingSince(time.Now())
	}
	over, next := r.entries.due(now)
	for _, k := range over {
		r.expire(ctx, k)
	}
	sleep := min(r.sayPace(ctx, s, now), maxIdle)
	if !next.IsZero() {
		sleep = min(sleep, next.Sub(now))
	}
	if len(over) > 0 {
		sleep = 0 // look whether they are gone
	}
	return max(sleep, time.Millisecond)
}

func (r *Registrar) watchingSince(at time.Time) {
	r.mu.Lock()
	r.since = at
	r.mu.Unlock()
}

// sayPace publishes how often instances should beat, and returns when to look
// again.
func (r *Registrar) sayPace(ctx context.Context, s *state, now time.Time) time.Duration {
	pace := discovery.PaceFor(r.view.Stats().Instances)
	wait := paceEvery
	if pace.Beat != s.pace.Beat || 10*abs(pace.Instances-s.pace.Instances) > s.pace.Instances {
		wait = paceSoonest
	}
	if since := now.Sub(s.paceAt); !s.paceAt.IsZero() && since < wait {
		return wait - since
	}
	if err := discovery.PublishPace(ctx, r.conn, pace); err != nil && ctx.Err() == nil && r.conn.Connected() {
		r.log.Warn().Err(err).Msg("the pace of beats could not be published; without it instances beat every two seconds")
	}
	s.paceAt, s.pace = now, pace
	return paceEvery
}

func abs(n int) int { return max(n, -n) }

// follow sees every change of the view: more or fewer instances change the
// pace, and the entries of a registrar that is gone need another.
func (r *Registrar) follow(ctx context.Context) {
	for c := range r.view.Changes(ctx) {
		switch i := c.Instance; {
		case c.Action == discovery.Resync:
			all, _ := r.view.Snapshot()
			for _, i := range all {
				r.look(i)
			}
		case c.Action == discovery.Delete && isRegistrar(i):
			r.orphans(pairOf(i))
		case c.Action == discovery.Update:
			r.look(i)
		}
		if c.Action != discovery.Update {
			r.wake()
		}
	}
}

// look adopts a node whose registrar no longer beats for it.
func (r *Registrar) look(i discovery.Instance) {
	if i.Registered() && i.State == discovery.StateSuspect {
		r.adoptLater(i)
	}
}
