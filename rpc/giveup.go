package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// A server listens to a caller's cancels only once a handler looks at the
	// end of its context, so the first cancel may come before there is an ear
	// for it.
	repeatFirst  = 25 * time.Millisecond
	repeatSecond = 250 * time.Millisecond
	// maxRepeats bounds the cancels that wait to be repeated; more are said
	// only once.
	maxRepeats = 1024
)

// giveUps are the cancels that a client has not said often enough.
type giveUps struct{ waiting atomic.Int64 }

// giveUp tells whoever serves the call that nobody waits for it any more, and
// says it again twice. Nothing depends on its arrival: a handler that does not
// hear it ends at its deadline.
func (c *Client) giveUp(call []byte) {
	c.sayGiveUp(call)
	if c.giveUps.waiting.Add(1) > maxRepeats {
		c.giveUps.waiting.Add(-1)
		return
	}
	time.AfterFunc(repeatFirst, func() {
		c.sayGiveUp(call)
		time.AfterFunc(repeatSecond-repeatFirst, func() {
			c.sayGiveUp(call)
			c.giveUps.waiting.Add(-1)
		})
	})
}

func (c *Client) sayGiveUp(call []byte) {
	// The caller's context is over; a cancel that cannot be sent has no use.
	_ = c.conn.Publish(context.Background(), wire.CancelSubject(c.token), "", nil, call)
}
