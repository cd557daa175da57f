package pipe

import (
	"sync"
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// connWindow is shared by the streams of a connection, streamWindow is the
	// most that one of them gets, and leastWindow what it always gets.
	connWindow   = 4 << 20
	streamWindow = 1 << 20
	leastWindow  = 4 << 10
	// The same in frames. A window that is given is not taken back, so streams
	// that open one after the other have more than this together; 10,000 of them
	// have less than a connection holds for a reader that is late, 131,072.
	connFrames   = 16 << 10
	streamFrames = 1024
	leastFrames  = 4
)

// A Budget shares the window of one connection among its pipes, so that what all
// their peers may send at once fits what the connection can hold. Each has 4
// frames and 4 KiB, however many they are.
type Budget struct {
	pipes   atomic.Int64
	buffers sync.Pool // for messages that gather
}

// buffer returns an empty buffer with room for what may gather.
func (b *Budget) buffer() []byte {
	if kept, ok := b.buffers.Get().(*[]byte); ok {
		return *kept
	}
	return nil
}

// keep takes a buffer back.
func (b *Budget) keep(buffer []byte) {
	buffer = buffer[:0]
	b.buffers.Put(&buffer)
}

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
