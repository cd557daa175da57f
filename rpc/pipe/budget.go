package pipe

import (
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// connWindow is shared by the streams of a connection, streamWindow is the
	// most that one of them gets, and leastWindow what it always gets.
	connWindow   = 4 << 20
	streamWindow = 1 << 20
	leastWindow  = 4 << 10
	// The same in frames. What is allowed in all, with the least for each of
	// 10,000 streams, is less than a connection holds for a reader that is late.
	connFrames   = 32 << 10
	streamFrames = 64
	leastFrames  = 4
)

// A Budget shares the window of one connection among its pipes, so that what all
// their peers may send at once fits what the connection can hold. With more than
// 1,024 pipes it is exceeded: each has 4 KiB.
type Budget struct{ pipes atomic.Int64 }

// Open returns the number of open pipes.
func (b *Budget) Open() int { return int(b.pipes.Load()) }

// share is the window of one pipe.
func (b *Budget) share() wire.Credit {
	n := max(b.pipes.Load(), 1)
	return wire.Credit{
		Seq:   uint64(min(max(connFrames/n, leastFrames), streamFrames)),
		Bytes: uint64(min(max(connWindow/n, leastWindow), streamWindow)),
	}
}
