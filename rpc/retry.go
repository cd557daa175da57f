package rpc

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

const (
	retryPauseMin = 5 * time.Millisecond
	retryPauseMax = 50 * time.Millisecond
	// Of the calls that were refused, as many are sent again as a tenth of the
	// answered ones, and ten more: retries must not feed an overload.
	refusedCost, refusedBurst = 10, 10 * refusedCost
	// Of the calls without an answer, as many as half of the answered ones and
	// a hundred more: one silent instance of three costs no call, and a service
	// that has fallen silent altogether is left in peace.
	silentCost, silentBurst = 2, 100 * silentCost
)

// A budget bounds the tries of one kind that reach a service: each answered
// call earns one unit, each further try costs some. Its zero value is full.
type budget struct{ spent atomic.Int64 }

// take pays for one try, if there is enough left.
func (b *budget) take(cost, burst int64) bool {
	if b.spent.Add(cost) <= burst {
		return true
	}
	b.spent.Add(-cost)
	return false
}

// earn is called for each answer.
func (b *budget) earn() {
	if n := b.spent.Load(); n > 0 {
		b.spent.CompareAndSwap(n, n-1) // losing a race only earns a little less
	}
}

// A sender sends a request once and waits for what comes of it.
type sender func(context.Context, *peer, *Request) (*Response, *bus.Error)

// try sends the request until it is answered, the error says that another try
// cannot help or could run the handler twice, or the tries are used up.
func (c *Client) try(ctx context.Context, p *peer, req *Request, send sender) (*Response, *bus.Error) {
	for retries := 0; ; retries++ {
		res, failure := send(ctx, p, req)
		if failure == nil {
			p.seen(req.start())
			p.refused.earn()
			p.silent.earn()
			p.hedged.earn()
			return res, nil
		}
		switch failure.End {
		case bus.Nobody:
			if again, verdict := c.afterNobody(ctx, p, req, failure, retries); !again {
				return nil, verdict
			}
		case bus.Refused:
			after, _ := failure.Retry.After()
			if failure.Retry == bus.RetryNever || retries >= c.retries(req) || !p.refused.take(refusedCost, refusedBurst) || !pause(ctx, max(after, jitter())) {
				return nil, failure
			}
		case bus.Handler:
			p.seen(req.start())
			p.silent.earn()
			return nil, failure
		default:
			return nil, failure
		}
		next := *req
		next.Attempt++
		req = &next
	}
}

func jitter() time.Duration {
	return retryPauseMin + rand.N(retryPauseMax-retryPauseMin)
}

// pause waits, and reports whether there is any time left after it.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// insist is try for a request that may run twice: after each quarter of the time
// (with three retries) without an answer it sends another one, to whichever
// instance the bus chooses, and takes the first answer. The earlier ones go on,
// so that a slow answer is not lost; the later ones come out of a budget. A
// hedged request is sent a second time sooner, when it is slower than most. The
// copies that were not needed are cancelled.
func (c *Client) insist(ctx context.Context, p *peer, req *Request) (*Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan outcome)
	most := 1 + c.retries(req)
	sent, waiting := 0, 0
	launch := func() {
		sent++
		waiting++
		one := *req
		one.Attempt, one.cancellable, one.origin = sent, true, req.origin.alike()
		go func() { // ends with ctx at the latest; its result is waited for below
			res, failure := c.tryThroughLoss(ctx, p, &one)
			results <- outcome{res, failure}
		}()
	}
	began := time.Now()
	launch()
	defer func() {
		cancel()
		for ; waiting > 0; waiting-- {
			late := <-results
			late.res.drop()
		}
	}()
	tick, stop := ticker(ctx, most)
	defer stop()
	var usual *latency
	var slow <-chan time.Time
	if c.hedges(req) {
		usual = p.latency(req.Method)
		timer, stop := usual.slow()
		defer stop()
		slow = timer
	}
	var first *bus.Error
	for {
		select {
		case <-slow:
			slow = nil
			if p.hedged.take(refusedCost, refusedBurst) {
				most++
				launch()
			}
		case <-tick:
			if sent < most && p.silent.take(silentCost, silentBurst) {
				launch()
			}
		case o := <-results:
			waiting--
			if o.failure == nil {
				usual.add(time.Since(began))
				return o.res, nil
			}
			if waiting == 0 && isLost(o.failure) && sent < most && p.silent.take(silentCost, silentBurst) {
				launch()
				continue
			}
			if first == nil || first.End == bus.Timeout {
				first = o.failure
			}
			if waiting == 0 || o.failure.End == bus.Handler {
				return nil, first
			}
		}
	}
}

// isLost reports whether a call has died with its instance, well before its
// time is over.
func isLost(e *bus.Error) bool { return e.End == bus.Timeout && e.Code == bus.Unavailable }

type outcome struct {
	res     *Response
	failure *bus.Error
}

// ticker ticks after each of the equal parts of the time that ctx has left;
// never, if it has no deadline.
func ticker(ctx context.Context, parts int) (<-chan time.Time, func()) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, func() {}
	}
	t := time.NewTicker(max(time.Until(deadline)/time.Duration(parts), time.Millisecond))
	return t.C, t.Stop
}

// tryThroughLoss is try that waits for a lost broker and sends again.
func (c *Client) tryThroughLoss(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
	for retries := 0; ; retries++ {
		res, failure := c.try(ctx, p, req, c.send)
		if failure == nil || failure.End != bus.Broker || retries >= c.retries(req) {
			return res, failure
		}
		if awaitBroker(ctx, c.conn) != nil {
			return nil, failure
		}
		next := *req
		next.Attempt++
		req = &next
	}
}

// awaitBroker waits until the connection has a broker.
func awaitBroker(ctx context.Context, conn *bus.Conn) error {
	for {
		changed := conn.Changed()
		if conn.Connected() {
			return nil
		}
		select {
		case <-changed:
		case <-conn.Closed():
			return bus.Errorf(bus.Unavailable, "the connection is closed")
		case <-ctx.Done():
			return bus.AsError(ctx.Err())
		}
	}
}
