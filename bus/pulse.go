package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pulseEvery = 500 * time.Millisecond
	// frozenAfter is how late a pulse may be before the process counts as having
	// been frozen: stopped by a signal, suspended, or starved.
	frozenAfter = time.Second
	// thawLimit bounds one round trip with the broker after a freeze.
	thawLimit = 5 * time.Second
)

// A pulse tells a listener whether the process has stood still. What was read
// after that may have waited for as long, and nothing in a message says when it
// was sent; only what comes after a round trip with the broker is fresh.
type pulse struct {
	conn   *Conn
	epoch  time.Time    // lets times be compared as durations of the monotonic clock
	last   atomic.Int64 // of the latest pulse, after epoch
	frozen atomic.Bool
	once   sync.Once
	quit   context.CancelFunc
	life   context.Context
	wg     sync.WaitGroup
}

func newPulse(conn *Conn) *pulse {
	p := &pulse{conn: conn, epoch: time.Now()}
	// It ends with the connection, which outlives the context it was made with.
	p.life, p.quit = context.WithCancel(context.Background())
	return p
}

// start begins the beating, once there is someone who wants to know.
func (p *pulse) start() {
	p.once.Do(func() {
		if p.life.Err() != nil {
			return
		}
		p.last.Store(int64(time.Since(p.epoch)))
		p.wg.Go(p.beat)
	})
}

func (p *pulse) stop() {
	p.quit()
	p.once.Do(func() {}) // nothing starts from here on
	p.wg.Wait()
}

// stale reports whether what is read now may have waited through a freeze. The
// pulse itself may not have noticed yet.
func (p *pulse) stale(now time.Time) bool {
	return p.frozen.Load() || p.late(now)
}

func (p *pulse) late(now time.Time) bool {
	last := time.Duration(p.last.Load())
	return now.Sub(p.epoch)-last > pulseEvery+frozenAfter
}

// beat notes that the process runs. After a freeze it makes a round trip with
// the broker, as soon as the connection is there: what a connection brings once
// it is back must not be refused for longer than that takes. A trip during which
// the process stood still again proves nothing.
func (p *pulse) beat() {
	timer := time.NewTimer(pulseEvery)
	defer timer.Stop()
	var (
		trip    chan bool       // its outcome; nil while there is none under way
		valid   bool            // the process has not stood still since it began
		changed <-chan struct{} // of the connection, from before the last trip
		wake    <-chan struct{} // changed, while there is need of a trip
	)
	for {
		returned, ok := false, false
		select {
		case <-timer.C:
			timer.Reset(pulseEvery)
		case ok = <-trip:
			trip, returned = nil, true
		case <-wake:
		case <-p.life.Done():
			if trip != nil {
				<-trip
			}
			return
		}
		now := time.Now()
		if p.late(now) {
			if !p.frozen.Swap(true) { // before the pulse looks alive again
				p.conn.log.Warn().Msg("this process stood still; calls that may have waited through it are refused")
			}
			valid = false
		}
		p.last.Store(int64(now.Sub(p.epoch)))
		if returned && ok && valid {
			p.frozen.Store(false)
		}
		wake = nil
		switch {
		case !p.frozen.Load() || trip != nil:
			continue
		case returned && !ok:
			wake = changed // the next trip is for another connection, or later
			continue
		}
		changed = p.conn.Changed()
		if wake = changed; p.conn.Connected() {
			wake, trip, valid = nil, make(chan bool), true
			p.wg.Go(func() { trip <- p.roundTrip() })
		}
	}
}

// roundTrip reports whether every message from here on is fresh: the broker has
// answered, and what was read before has been handed out.
func (p *pulse) roundTrip() bool {
	ctx, cancel := context.WithTimeout(p.life, thawLimit)
	defer cancel()
	return p.conn.nc.FlushWithContext(ctx) == nil && p.conn.lanes[Calls].barrier(ctx) == nil
}
