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

func (p *pulse) beat() {
	timer := time.NewTimer(pulseEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.life.Done():
			return
		}
		now := time.Now()
		if p.late(now) {
			p.frozen.Store(true) // before the pulse looks alive again
		}
		p.last.Store(int64(now.Sub(p.epoch)))
		if p.frozen.Load() && p.thaw() {
			p.frozen.Store(false)
		}
		timer.Reset(pulseEvery)
	}
}

// thaw makes a round trip with the broker, behind which every message is fresh,
// and lets the calls that were read before it pass. It reports false if there
// was no such trip yet.
func (p *pulse) thaw() bool {
	ctx, cancel := context.WithTimeout(p.life, thawLimit)
	defer cancel()
	p.conn.log.Warn().Msg("this process stood still; calls that may have waited through it are refused")
	return p.conn.nc.FlushWithContext(ctx) == nil && p.conn.lanes[Calls].barrier(ctx) == nil
}
