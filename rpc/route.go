package rpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery/selector"
)

const (
	// maxReroutes bounds the instances at which nobody listened that one try
	// goes to before it asks the bus.
	maxReroutes = 8
	// maxTried bounds the instances that one call remembers to avoid.
	maxTried = 16
	// overtaken is how long an instance may take that does not answer while a
	// later try of the same call is answered elsewhere.
	overtaken = 250 * time.Millisecond
)

// A tried is where one call has been sent. All its tries share it.
type tried struct {
	mu     sync.Mutex
	first  [4]string
	ids    []string  // only ever appended to
	winner time.Time // when the try began that was answered last
}

func (c *Client) newTried() *tried {
	if !c.cfg.Selector.On() {
		return nil
	}
	return new(tried)
}

// before returns the instances that the call has been sent to.
func (t *tried) before() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids
}

// add remembers one; false if it was known.
func (t *tried) add(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.ids, id) {
		return false
	}
	if t.ids == nil {
		t.ids = t.first[:0]
	}
	if len(t.ids) < maxTried {
		t.ids = append(t.ids, id)
	}
	return true
}

func (t *tried) answered(began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.winner = began
}

// beaten reports whether a try that began later was answered.
func (t *tried) beaten(began time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.winner.After(began)
}

// route sends a request to an instance that the client chooses. Where nobody
// listens it goes on to the next one at once: no handler has run. Of the service
// as a whole, only the bus can say that nobody listens.
func (c *Client) route(ctx context.Context, p *peer, req *Request, send sender) (*Response, *bus.Error) {
	if p.choice == nil || req.Instance != "" {
		return send(ctx, p, req)
	}
	var last *bus.Error
	for range maxReroutes {
		choice, ok, failure := p.choice.pick(ctx, req)
		if failure != nil {
			return nil, failure
		}
		if !ok {
			break
		}
		if !req.path().add(choice.ID) && last != nil {
			choice.Done(selector.Void)
			break
		}
		one := *req
		one.Instance = choice.ID
		res, failure := send(ctx, p, &one)
		if failure == nil {
			choice.Done(selector.Answered)
			req.path().answered(choice.Began())
			return res, nil
		}
		choice.Done(req.path().outcome(failure, choice.Began()))
		if failure.End != bus.Nobody {
			if failure.Instance == "" {
				named := *failure // calls that were lost together share it
				named.Instance = choice.ID
				failure = &named
			}
			return nil, failure
		}
		last = failure
	}
	if last != nil && p.choice.cfg.Filters() {
		return nil, last
	}
	return send(ctx, p, req)
}

// outcome is what an error tells of the instance that the try went to.
func (t *tried) outcome(failure *bus.Error, began time.Time) selector.Outcome {
	switch failure.End {
	case bus.Nobody:
		return selector.Nobody
	case bus.Timeout:
		return selector.Silent
	case bus.Cancelled:
		if t.beaten(began) && time.Since(began) >= overtaken {
			return selector.Silent
		}
	case bus.Refused, bus.Handler:
		switch failure.Code {
		case bus.Internal, bus.Unavailable, bus.ResourceExhausted, bus.DataLoss:
			return selector.Failed
		case bus.TooLarge: // it may never have been sent
			return selector.Void
		}
		return selector.Answered
	}
	return selector.Void
}
