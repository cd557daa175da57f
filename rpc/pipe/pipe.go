package pipe

import (
	"fmt"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// Fragment is the most payload bytes of a DATA frame.
	Fragment = 64 << 10
	// Idle is the silence after which a pipe asks its peer whether it is there;
	// after maxPings questions without a word it takes it for gone.
	Idle     = 5 * time.Second
	maxPings = 3
	// Silence is how long that takes.
	Silence = (maxPings + 1) * Idle
)

// Config configures a Pipe.
type Config struct {
	// Send hands a frame to the peer. It must not keep the frame. It may be
	// called from several goroutines at once, DATA, HALF and END frames excepted,
	// and under no lock of the pipe but that of its senders.
	Send func(*wire.Frame) error
	// Settle, if not nil, returns once what Send was given before is on its way
	// to the broker, or soon after. Messages gather meanwhile; see Gather.
	Settle func()
	// Budget is that of the connection.
	Budget *Budget
	// Fragment is the most payload bytes of a DATA frame sent, for a broker with
	// a low limit. 0 means the constant Fragment, which is also the most.
	Fragment int
	// MaxMessage is the most bytes of one message, in either direction.
	MaxMessage int
	// Hold, if not nil, is asked for each part of a message that has come and
	// waits for the rest, with its bytes; false ends the stream. It is told with
	// a negative number that they wait no longer.
	Hold func(bytes int) bool
	// Ended, if not nil, is called once when the pipe is over, under no lock.
	Ended func()
}

// A Pipe is one side of a stream. Its methods may be called from any goroutine;
// one goroutine at a time sends, and one receives.
type Pipe struct {
	cfg        Config
	sending    sync.Mutex // holds messages together
	publishing sync.Mutex // holds DATA frames in order
	seeing     sync.WaitGroup

	mu   sync.Mutex
	out  outgoing
	in   incoming
	ends ends

	readable chan struct{} // one is waiting: something has come
	writable chan struct{} // one is waiting: there is credit
	done     chan struct{}
}

// outgoing is what this side sends.
type outgoing struct {
	seq   uint64 // of the last frame that credit is taken for
	sent  uint64 // of the last frame that is out
	bytes uint64
	edge  wire.Credit // where the peer's word ends
	half  bool        // no more is sent
	last  *wire.Frame // the HALF that said so
	wait  gathered
}

// incoming is what the peer sends.
type incoming struct {
	seq   uint64 // in order so far
	bytes uint64
	taken wire.Credit // by the application
	edge  wire.Credit // where our word ends
	queue []part      // received and not taken
	head  int         // of the queue
	half  bool        // no more will come
}

type part struct {
	codec  uint8
	more   bool
	shared bool // data is a part of what came with others
	data   []byte
}

// ends is how the pipe is over.
type ends struct {
	over    bool
	failure *bus.Error // nil after a good end
	trailer []wire.Pair
	heard   time.Time
	pings   int
}

// New returns a pipe that may not send yet: Widen gives it credit.
func New(cfg Config) *Pipe {
	if cfg.Fragment <= 0 || cfg.Fragment > Fragment {
		cfg.Fragment = Fragment
	}
	p := &Pipe{
		cfg: cfg, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1), done: make(chan struct{}),
	}
	cfg.Budget.pipes.Add(1)
	p.ends.heard = time.Now()
	return p
}

// Grant returns the window to offer the peer at the start.
func (p *Pipe) Grant() wire.Credit {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grant()
	return p.in.edge
}

// grant moves the edges. p.mu is held.
func (p *Pipe) grant() {
	share := p.cfg.Budget.share()
	p.in.edge.Seq = max(p.in.edge.Seq, p.in.taken.Seq+share.Seq)
	p.in.edge.Bytes = max(p.in.edge.Bytes, p.in.taken.Bytes+share.Bytes)
}

// Widen takes the peer's word on what may be sent.
func (p *Pipe) Widen(c wire.Credit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.widen(c)
}

func (p *Pipe) widen(c wire.Credit) {
	if c.Seq > p.out.edge.Seq || c.Bytes > p.out.edge.Bytes {
		p.out.edge = wire.Credit{Seq: max(c.Seq, p.out.edge.Seq), Bytes: max(c.Bytes, p.out.edge.Bytes)}
		wake(p.writable)
	}
}

// Done returns a channel that is closed once the pipe is over. What has come
// before can still be received.
func (p *Pipe) Done() <-chan struct{} { return p.done }

// Failure returns why the pipe is over: nil if it ended well or is not over.
func (p *Pipe) Failure() *bus.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends.failure
}

// Close ends this side alone, well, where both sides know by other means that
// the stream is over.
func (p *Pipe) Close() { p.finish(nil, nil, false, nil) }

// Trailer returns the metadata with which the peer has stopped sending, or ended
// the stream.
func (p *Pipe) Trailer() []wire.Pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends.trailer
}

// Fail ends this side alone. What was not received is dropped.
func (p *Pipe) Fail(failure *bus.Error) { p.finish(failure, nil, false, nil) }

// finish ends the pipe, once, and keeps what has come if it may still be
// received. The last word, if there is one, is said before the pipe counts as
// gone: whoever answers for pipes that are gone must not be heard first.
func (p *Pipe) finish(failure *bus.Error, trailer []wire.Pair, keep bool, last *wire.Frame) {
	p.mu.Lock()
	first := !p.ends.over
	if first {
		p.ends.over, p.ends.failure, p.ends.trailer = true, failure, trailer
		p.in.half = true
		if !keep {
			p.in.queue, p.in.head = nil, 0
		}
		close(p.done)
	}
	p.mu.Unlock()
	if !first {
		return
	}
	if last != nil {
		// Who does not hear it learns it from the broker with its next frame.
		_ = p.cfg.Send(last)
	}
	p.cfg.Budget.pipes.Add(-1)
	if p.cfg.Ended != nil {
		p.cfg.Ended()
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func lost(format string, args ...any) *bus.Error {
	return byPeer(bus.Errorf(bus.DataLoss, "the stream lost messages: %s", fmt.Sprintf(format, args...)))
}

// byPeer marks a failure that the peer has made.
func byPeer(e *bus.Error) *bus.Error {
	e.End = bus.Handler
	return e
}
