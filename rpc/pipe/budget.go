package pipe

import "sync/atomic"

const (
	// connWindow is shared by the streams of a connection, streamWindow is the
	// most that one of them gets, and leastWindow what it always gets.
	connWindow   = 4 << 20
	streamWindow = 1 << 20
	leastWindow  = 4 << 10
	// windowFrames is the window in frames.
	windowFrames = 64
)

// A Budget shares the window of one connection among its pipes, so that what all
// their peers may send at once fits what the connection can hold. With more than
// 1,024 pipes it is exceeded: each has 4 KiB.
type Budget struct{ pipes atomic.Int64 }

// Open returns the number of open pipes.
func (b *Budget) Open() int { return int(b.pipes.Load()) }

// share is the window of one pipe in bytes.
func (b *Budget) share() uint64 {
	return uint64(min(max(connWindow/max(b.pipes.Load(), 1), leastWindow), streamWindow))
}
