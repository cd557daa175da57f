package bus

import "sync/atomic"

// An Expiry ends calls that run out of time together, so that none of them has to
// wait for a timer beside its reply. All its methods may be called from any
// goroutine.
type Expiry struct {
	conn *Conn
	over atomic.Bool
}

// NewExpiry returns an Expiry for calls of the connection.
func (c *Conn) NewExpiry() *Expiry { return &Expiry{conn: c} }

// End ends the calls that have it, those to come included. Their contexts must
// have ended before.
func (x *Expiry) End() {
	x.over.Store(true) // first: a call that is not in the table yet will look
	x.conn.mux.fail(func(s *slot) bool { return s.expiry == x }, &Error{End: Timeout, Code: DeadlineExceeded})
}

func (x *Expiry) ended() bool { return x != nil && x.over.Load() }
