package bus

import (
	"bytes"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// tapRoom holds what one read from the socket brings.
	tapRoom = 64 << 10
	// maxLine is the longest line of the protocol that a tap follows.
	maxLine = 1 << 20
	// maxBatch bounds the calls that are handed to a lane together, which share
	// memory: whoever keeps one keeps all.
	maxBatch = 16
	// slabBytes is the memory that bodies of calls share. Larger ones have their
	// own.
	slabBytes = 8 << 10
	shareable = slabBytes / 4
	// ownRead is the size from which what is missing of a body is read straight
	// into its place.
	ownRead = tapRoom / 2
)

// A tap reads what the broker sends before NATS does. It hands the replies to
// calls to those who wait, and the requests of the lane of calls to that lane in
// batches, and leaves everything else to NATS, in the order in which it came.
//
// NATS would wake one goroutine for the subscription and that another one, and
// allocate four times for each message; that is more than the rest of a call.
// Subscribing, reconnecting and draining remain its work. The tap learns from
// what NATS writes which subscription has which number; what it does not
// understand, TLS and WebSocket among it, it passes on untouched.
type tap struct {
	net.Conn
	yielder *yieldingConn // the same
	conn    *Conn
	mux     *mux
	lane    *lane // of the calls
	out     outlet

	blind atomic.Bool // it takes nothing: the bytes are not for it to read

	mu   sync.Mutex        // of what is learnt from writes
	subs map[string]target // whose messages it takes, by number; these are not used again
	seen writeScan

	// Of the reading goroutine alone:
	buf     []byte
	at, end int       // what of buf is not yet handed out
	through int       // bytes from at that are for NATS, read or not
	came    time.Time // when the last read was done
	sids    map[uint64]target
	msgs    []nats.Msg
	slab    []byte
	batch   *batch
}

// A target is where the messages of a subscription go; the zero target is NATS.
type target struct {
	replies bool
	group   *group
}

func newTap(conn net.Conn, c *Conn) *tap {
	y := yielding(conn)
	t := &tap{
		Conn: y, yielder: y, conn: c, mux: c.mux, lane: c.lanes[Calls],
		subs: make(map[string]target), sids: make(map[uint64]target),
	}
	t.out.kick, t.out.turn = make(chan struct{}, 1), make(chan struct{}, 1)
	t.out.turn <- struct{}{}
	return t
}

// Write passes on what NATS writes, and learns from it.
func (t *tap) Write(b []byte) (int, error) {
	blind := t.blind.Load()
	if !blind {
		t.yielder.yield(nil)
	}
	<-t.out.turn
	defer func() { t.out.turn <- struct{}{} }()
	replies := !blind && t.learn(b) // before the broker can answer
	n, err := t.writeBehind(b)
	if replies && err == nil {
		t.begin()
	}
	return n, err
}

// begin lets messages be sent beside NATS: the broker knows who this is, and
// where the replies go.
func (t *tap) begin() {
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	if t.out.open || t.out.ended {
		return
	}
	t.out.open = true
	t.conn.beside.Store(t)
	t.conn.writers.Go(t.write)
}

// Close closes the connection to the broker.
func (t *tap) Close() error {
	t.out.mu.Lock()
	if t.out.open {
		t.conn.beside.CompareAndSwap(t, nil)
		close(t.out.kick)
	}
	t.out.open, t.out.ended = false, true
	t.out.mu.Unlock()
	return t.Conn.Close()
}

// Read gives NATS what is meant for it.
func (t *tap) Read(b []byte) (int, error) {
	for _, l := range t.conn.lanes {
		if l.crowded() {
			runtime.Gosched() // for on one processor nobody else would run as long as there is something to read
		}
	}
	if t.blind.Load() {
		return t.readBlind(b)
	}
	if t.buf == nil {
		t.buf = make([]byte, tapRoom)
	}
	n := 0
	for {
		if t.through > 0 {
			t.hand() // which came before
			m := copy(b[n:], t.buf[t.at:min(t.end, t.at+t.through)])
			n, t.at, t.through = n+m, t.at+m, t.through-m
			if n == len(b) {
				return n, nil
			}
		}
		if t.through == 0 && t.at < t.end {
			switch done, err := t.op(n > 0); {
			case err != nil:
				t.hand()
				return n, err
			case done:
				continue
			case n > 0: // what follows must not overtake it
				return n, nil
			}
		}
		if n > 0 {
			return n, nil
		}
		t.hand()
		if err := t.fill(); err != nil {
			return 0, err
		}
		if t.blind.Load() {
			return t.readBlind(b)
		}
	}
}

func (t *tap) readBlind(b []byte) (int, error) {
	t.hand()
	if t.at < t.end {
		n := copy(b, t.buf[t.at:t.end])
		t.at += n
		return n, nil
	}
	t.buf = nil
	return t.Conn.Read(b)
}

// fill reads more.
func (t *tap) fill() error {
	switch {
	case t.at == t.end:
		t.at, t.end = 0, 0
		if len(t.buf) > tapRoom {
			t.buf = make([]byte, tapRoom)
		}
	case t.end == len(t.buf) && t.at > 0:
		t.end, t.at = copy(t.buf, t.buf[t.at:t.end]), 0
	case t.end == len(t.buf):
		if len(t.buf) >= maxLine {
			t.blind.Store(true)
			return nil
		}
		t.buf = append(t.buf, make([]byte, len(t.buf))...)
	}
	n, err := t.Conn.Read(t.buf[t.end:])
	t.came = t.conn.Now()
	t.end += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// op deals with the operation that begins at t.at: it takes it, or leaves it to
// NATS in t.through. It does neither, and reports false, when the operation is
// not there as a whole, and when it would take it while NATS has yet to see what
// came before: pending says that.
func (t *tap) op(pending bool) (done bool, err error) {
	if t.blind.Load() {
		t.through = t.end - t.at
		return true, nil
	}
	rest := t.buf[t.at:t.end]
	eol := bytes.IndexByte(rest, '\n')
	if eol < 0 {
		return false, nil
	}
	line := rest[:eol+1]
	if len(line) < 4 || line[1] != 'S' && line[1] != 'M' {
		t.through = len(line)
		return true, nil
	}
	switch string(line[:4]) {
	case "MSG ":
	case "HMSG":
		size, ok := lastNumber(line)
		if !ok {
			t.blind.Store(true)
		}
		t.through = len(line) + size + 2
		return true, nil
	default:
		t.through = len(line)
		return true, nil
	}
	m, ok := parseMsg(line[4:])
	if !ok {
		t.blind.Store(true)
		t.through = len(line)
		return true, nil
	}
	to, whole := t.target(m.sid), len(line)+m.size+2
	switch {
	case to == (target{}):
		t.through = whole
		return true, nil
	case pending:
		return false, nil
	case len(rest) >= whole:
		t.taken(to, m, rest[len(line):whole-2], whole)
		return true, nil
	case m.size < ownRead:
		return false, nil
	case to.replies && !t.mux.expects(m.subject):
		t.through = whole
		return true, nil
	}
	// The names are where the rest of the body will be read to.
	m.subject, m.reply = bytes.Clone(m.subject), bytes.Clone(m.reply)
	t.hand()
	data, err := t.readBody(len(line), m.size)
	if err != nil {
		return false, err
	}
	if to.replies {
		t.reply(t.mux.claim(m.subject, data), m.reply, data) // who has given up meanwhile misses it
	} else {
		t.call(to.group, m, data)
	}
	return true, nil
}

// taken hands over the message at t.at, unless nobody waits for that reply, which
// NATS then counts.
func (t *tap) taken(to target, m msgLine, body []byte, whole int) {
	if !to.replies {
		t.call(to.group, m, t.keep(body))
		t.at += whole
		return
	}
	s := t.mux.claim(m.subject, body)
	if s == nil {
		t.through = whole
		return
	}
	t.reply(s, m.reply, bytes.Clone(body))
	t.at += whole
}

// reply hands an answer to the call that waits for it.
func (t *tap) reply(s *slot, reply, data []byte) {
	if s != nil {
		s.result <- result{frame: data, reply: string(reply)}
	}
}

// message returns an empty message. Some share memory.
func (t *tap) message() *nats.Msg {
	if len(t.msgs) == 0 {
		t.msgs = make([]nats.Msg, maxBatch)
	}
	m := &t.msgs[0]
	t.msgs = t.msgs[1:]
	return m
}

// readBody reads a body that is longer than what is there.
func (t *tap) readBody(line, size int) ([]byte, error) {
	data := make([]byte, size+2)
	n := copy(data, t.buf[t.at+line:t.end])
	t.at, t.end = 0, 0
	for n < len(data) {
		if len(data)-n >= ownRead {
			m, err := t.Conn.Read(data[n:])
			if n += m; m == 0 && err != nil {
				return nil, err
			}
			continue
		}
		if err := t.fill(); err != nil {
			return nil, err
		}
		m := copy(data[n:], t.buf[t.at:t.end])
		n, t.at = n+m, t.at+m
	}
	t.came = t.conn.Now()
	return data[:size:size], nil
}

// target says where the messages of a subscription go.
func (t *tap) target(sid uint64) target {
	to, known := t.sids[sid]
	if known {
		return to
	}
	t.mu.Lock()
	to = t.subs[string(appendUint(nil, sid))]
	t.mu.Unlock()
	if len(t.sids) > maxKnown { // numbers are not used again
		clear(t.sids)
	}
	t.sids[sid] = to
	return to
}

// maxKnown bounds the subscriptions a tap remembers.
const maxKnown = 1 << 16

// keep copies the body of a call out of the buffer.
func (t *tap) keep(body []byte) []byte {
	if len(body) > shareable {
		return bytes.Clone(body)
	}
	if cap(t.slab)-len(t.slab) < len(body) {
		t.slab = make([]byte, 0, slabBytes)
	}
	start := len(t.slab)
	t.slab = append(t.slab, body...)
	return t.slab[start:len(t.slab):len(t.slab)]
}

// call puts a request into the batch.
func (t *tap) call(g *group, m msgLine, data []byte) {
	msg := t.message()
	msg.Data = data
	if msg.Subject = g.key.subject; string(m.subject) != msg.Subject {
		msg.Subject = string(m.subject)
	}
	if t.batch == nil {
		t.batch = t.lane.newBatch()
	}
	t.batch.came = t.came
	t.batch.add(g, msg, m.reply)
	if len(t.batch.calls) == maxBatch {
		t.hand()
	}
}

// hand gives the lane what was taken for it.
func (t *tap) hand() {
	if t.batch != nil {
		t.batch.name()
		t.lane.put(t.batch)
		t.batch = nil
	}
}
