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
	// A tenth of the answered calls may be tries of refused ones, and ten more:
	// retries must not feed an overload.
	budgetRetry = 10
	budgetBurst = 100
)

// A budget bounds the retries that reach a service. Its zero value is full.
type budget struct{ spent atomic.Int64 }

// take pays for one retry, if there is something left.
func (b *budget) take() bool {
	if b.spent.Add(budgetRetry) <= budgetBurst {
		return true
	}
	b.spent.Add(-budgetRetry)
	return false
}

// earn is called for each answer.
func (b *budget) earn() {
	if n := b.spent.Load(); n > 0 {
		b.spent.CompareAndSwap(n, n-1)
	}
}

// try sends the request until it is answered, the error says that another try
// cannot help or could run the handler twice, or the tries are used up.
func (c *Client) try(ctx context.Context, p *peer, req *Request) (*Response, *bus.Error) {
	for retries := 0; ; retries++ {
		res, failure := c.send(ctx, p, req)
		if failure == nil {
			p.seen()
			p.budget.earn()
			return res, nil
		}
		switch failure.End {
		case bus.Nobody:
			if again, verdict := c.afterNobody(ctx, p, req, failure, retries); !again {
				return nil, verdict
			}
		case bus.Refused:
			after, _ := failure.Retry.After()
			if failure.Retry == bus.RetryNever || retries >= c.cfg.Retries || !p.budget.take() || !pause(ctx, max(after, jitter())) {
				return nil, failure
			}
		case bus.Handler:
			p.seen()
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
// so that a slow answer is not lost; the later ones come out of the budget.
func (c *Client) insist(ctx context.Context, p *peer, req *Request) (*Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan outcome)
	sent, waiting := 0, 0
	launch := func() {
		sent++
		waiting++
		one := *req
		one.Attempt, one.cancellable = sent, true
		go func() { // ends with ctx at the latest; its result is waited for below
			res, failure := c.tryThroughLoss(ctx, p, &one)
			results <- outcome{res, failure}
		}()
	}
	launch()
	defer func() {
		cancel()
		for ; waiting > 0; waiting-- {
			<-results
		}
	}()
	tick, stop := ticker(ctx, c.cfg.Retries+1)
	defer stop()
	var first *bus.Error
	for {
		select {
		case <-tick:
			if sent <= c.cfg.Retries && p.budget.take() {
				launch()
			}
		case o := <-results:
			waiting--
			if o.failure == nil {
				return o.res, nil
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
		res, failure := c.try(ctx, p, req)
		if failure == nil || failure.End != bus.Broker || retries >= c.cfg.Retries {
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
