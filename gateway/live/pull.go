package live

import (
	"sync"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// A puller receives from a stream on a goroutine of its own, one message each
// time it is asked. Until it is asked again the messages stay where they are, in
// the window of the stream, and when that is full the service waits: so a client
// that takes nothing costs one message here.
type puller struct {
	stream *rpc.RawStream
	ask    chan struct{} // holds one
	got    chan received // holds one
	done   sync.WaitGroup
}

type received struct {
	codec codec.Codec
	body  []byte
	err   error
}

func pull(stream *rpc.RawStream) *puller {
	p := &puller{stream: stream, ask: make(chan struct{}, 1), got: make(chan received, 1)}
	p.done.Go(func() {
		for range p.ask {
			var m received
			m.codec, m.body, m.err = stream.Recv()
			p.got <- m
		}
	})
	return p
}

// next asks for a message, which then comes on got. It must have come before the
// next is asked for.
func (p *puller) next() { p.ask <- struct{}{} }

// stop gives the stream up and waits for the goroutine.
func (p *puller) stop() {
	_ = p.stream.Close() // it cannot fail
	close(p.ask)
	p.done.Wait()
}
