package discovery

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// sweepBeats and pollBeats are how often everyone, and the instances that do
	// not announce themselves, are asked whether they are there: in beats of the
	// present pace, so that a big bus is asked less often.
	sweepBeats = 5
	pollBeats  = 2
	// allSpread is over how long the instances of the bus spread their answers to
	// the snapshot of a View.
	allSpread = 100 * time.Millisecond
	// spreadGrace is how much longer than that a snapshot waits.
	spreadGrace = 50 * time.Millisecond
	// reconnectPause is the most that a View waits after a reconnect before it
	// asks: all views of the bus come back at once.
	reconnectPause = 200 * time.Millisecond
	// late is how far behind its own clock a View is when it no longer trusts
	// its judgement: if it has not run, it has not read the beats either.
	late = 500 * time.Millisecond
	// maxIdle is the longest that the loop sleeps.
	maxIdle = time.Minute
)

// schedule is when the loop of a View does what. Only the loop uses it.
type schedule struct {
	epoch      uint64
	snapshotAt time.Time // zero when none is wanted
	sweepAt    time.Time
	pollAt     time.Time
}

func (v *View) loop(ctx context.Context) {
	defer func() {
		v.forgetInquiries()
		v.unlisten(ctx)
		close(v.done)
	}()
	var s schedule
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := v.conn.Changed()
		timer.Reset(v.work(ctx, &s, time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-v.conn.Closed():
			return
		case <-changed:
		case <-v.kick:
		case <-timer.C:
		}
	}
}

// work does what is due and returns how long nothing else is.
func (v *View) work(ctx context.Context, s *schedule, now time.Time) time.Duration {
	if !v.conn.Connected() {
		v.forgetInquiries()
		return maxIdle
	}
	if epoch := v.conn.Epoch(); epoch != s.epoch {
		s.snapshotAt = now
		if s.epoch != 0 {
			s.snapshotAt = now.Add(rand.N(reconnectPause))
			v.mu.Lock()
			v.table.rebase(now)
			v.mu.Unlock()
		}
		s.epoch = epoch
		s.plan(v.pace.now(now), now)
	}
	v.startSurvey(ctx, s, now)
	v.judge(now)
	next := v.inquire(ctx, now)
	for _, at := range []time.Time{s.snapshotAt, s.sweepAt, s.pollAt} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if due := v.table.nextDue; !due.IsZero() && due.Before(next) {
		next = due
	}
	if v.surveying && !next.After(now) {
		next = now.Add(spreadGrace) // what waits for its end is woken by it
	}
	v.wakeAt = next
	return next.Sub(now)
}

// plan sets the times of the next sweep and poll.
func (s *schedule) plan(p Pace, now time.Time) {
	s.sweepAt = now.Add(jitter(p.Beat * sweepBeats))
	s.pollAt = now.Add(jitter(p.Beat * pollBeats))
}

// jitter moves an interval by up to a tenth either way.
func jitter(d time.Duration) time.Duration {
	return d*9/10 + rand.N(d/5+1)
}

// startSurvey starts the survey that is due, one at a time.
func (v *View) startSurvey(ctx context.Context, s *schedule, now time.Time) {
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.surveying {
		return
	}
	if v.noSnapshot {
		v.noSnapshot = false
		s.snapshotAt = now.Add(retryPause)
	}
	pace := v.pace.now(now)
	var f func(context.Context) error
	switch {
	case due(s.snapshotAt):
		s.snapshotAt = time.Time{}
		f = v.takeSnapshot
	case due(s.sweepAt):
		s.sweepAt = now.Add(jitter(pace.Beat * sweepBeats))
		f = v.sweep
	case due(s.pollAt):
		s.pollAt = now.Add(jitter(pace.Beat * pollBeats))
		names := v.polledNames()
		if len(names) == 0 {
			return
		}
		f = func(ctx context.Context) error { return v.poll(ctx, names) }
	default:
		return
	}
	v.surveying = true
	v.wg.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil && v.conn.Connected() {
			v.log.Warn().Err(err).Msg("a view could not ask who is there, trying again later")
		}
		v.mu.Lock()
		v.surveying = false
		v.mu.Unlock()
		v.wake()
	})
}

// judge suspects the instances that have been silent for too long.
func (v *View) judge(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.table
	if t.nextDue.IsZero() || now.Before(t.nextDue) {
		return
	}
	behind := !v.wakeAt.IsZero() && now.Sub(v.wakeAt) > late
	for _, k := range t.due(now) {
		if e := t.get(k); behind && !e.suspect {
			e.due = now.Add(2 * late)
			t.nextDue = earlier(t.nextDue, e.due)
			continue
		}
		t.suspicious(k, now)
		if !v.ask(k, inquirePing, now) {
			// Too many are asked already: this one's turn comes.
			t.nextDue = earlier(t.nextDue, now.Add(late))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (v *View) wake() {
	select {
	case v.kick <- struct{}{}:
	default: // it is going to look
	}
}

// heard takes an announcement. It runs on the goroutine that serves all control
// subjects of the connection.
func (v *View) heard(m *nats.Msg) {
	service, id, event, ok := wire.ParseAnnounce(m.Subject)
	if !ok {
		v.bad.Add(1)
		return
	}
	if err := v.take(key{service, id}, event, m.Data, time.Now()); err != nil {
		v.drop(m.Subject, err)
	}
}

// drop counts what breaks the protocol. Anyone can send it, so it is only worth
// a line when one looks for it.
func (v *View) drop(subject string, err error) {
	v.bad.Add(1)
	v.log.Debug().Err(err).Str("subject", subject).Msg("dropped an announcement")
}

func (v *View) take(k key, event string, data []byte, now time.Time) error {
	switch event {
	case wire.EventUp, wire.EventChange:
		a, err := decodeAnnouncement(v.plan, k.service, k.id, data)
		if err != nil {
			return err
		}
		v.put(a.instance(), len(data), false, now)
	case wire.EventBeat:
		b, err := decodeBeat(v.plan, data)
		if err != nil {
			return err
		}
		v.update(func(t *table) {
			if !t.touch(k, b, now) {
				v.ask(k, inquireProbe, now)
			}
		})
	case wire.EventDrain, wire.EventDown:
		l, err := decodeLeave(v.plan, data)
		if err != nil {
			return err
		}
		v.update(func(t *table) {
			if event == wire.EventDrain {
				t.drain(k, l, now)
				return
			}
			t.remove(k, connection{l.Server, l.Client}, orElse(l.Reason, "down"), now)
		})
	}
	return nil
}

func (v *View) put(i Instance, size int, polled bool, now time.Time) {
	v.update(func(t *table) { t.put(i, size, polled, now) })
}

// update changes the table and wakes the loop if it must look earlier now.
func (v *View) update(f func(*table)) {
	v.mu.Lock()
	f(v.table)
	early := !v.table.nextDue.IsZero() && v.table.nextDue.Before(v.wakeAt)
	v.mu.Unlock()
	if early {
		v.wake()
	}
}
