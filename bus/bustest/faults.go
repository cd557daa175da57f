package bustest

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus"
)

// A Direction is one of the two ways of a link.
type Direction int

// The two ways of a link.
const (
	ToBroker Direction = iota
	FromBroker
)

// A Link is a faulty wire between clients and the broker. It is transparent
// until one of its methods makes it fail; Heal ends all faults. A fault affects
// every connection made through the link, present and future. All methods may be
// called from any goroutine.
//
// A link carries whole operations of the NATS protocol, so what it loses is
// always a message and never the middle of one. The handshake of a connection is
// exempt: nats.go holds its lock during it, and a goroutine that waits for a
// lock stops virtual time.
type Link struct {
	b  *Bus
	wg sync.WaitGroup

	mu      sync.Mutex
	relays  map[*relay]struct{}
	dials   int
	ended   bool
	down    bool
	silent  bool
	stalled [2]bool
	delay   [2]time.Duration
	rate    [2]int
	filters []*Filter
	changed chan struct{} // closed and replaced when stalled changes
}

// Link makes a new wire to the broker:
//
//	link := b.Link()
//	conn := b.Conn(t, link.Use)
//	link.Cut()
func (b *Bus) Link() *Link {
	l := &Link{b: b, relays: map[*relay]struct{}{}, changed: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links = append(b.links, l)
	return l
}

// Use makes a configuration connect through the link; see Bus.Conn.
func (l *Link) Use(c *bus.Config) { c.InProcess = l }

// Dials counts the attempts to connect through the link.
func (l *Link) Dials() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dials
}

// Delay makes everything in one direction arrive d later, in order. Pings too:
// a client gives up a broker whose answers take more than about two seconds.
// 0 ends it.
func (l *Link) Delay(dir Direction, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay[dir] = d
}

// Throttle lets only so many bytes a second through in one direction, as a slow
// reader does: what does not fit waits at the sender. 0 ends it.
func (l *Link) Throttle(dir Direction, bytesPerSecond int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate[dir] = bytesPerSecond
}

// Stall stops one direction, as a reader that has stopped reading does. Nothing
// is lost: after Heal everything arrives, unless one side has given up.
func (l *Link) Stall(dir Direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled[dir] = true
}

// Cut closes every connection of the link abruptly; what was under way is lost.
// Clients may connect again at once.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.relays {
		r.close()
	}
}

// Down is Cut, and refuses new connections until Heal.
func (l *Link) Down() {
	l.mu.Lock()
	l.down = true
	l.mu.Unlock()
	l.Cut()
}

// Silence swallows everything, both ways, as a network does that has lost a
// machine: neither side is told, and each finds out only because its pings are
// not answered. Until then the broker still counts the other side's
// subscriptions. New connections fail until Heal; those silenced once stay so.
func (l *Link) Silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = true
	for r := range l.relays {
		r.silent = true
		if !r.open {
			r.close()
		}
	}
}

// Heal ends every fault of the link, filters included.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.silent = false, false
	l.stalled, l.delay, l.rate, l.filters = [2]bool{}, [2]time.Duration{}, [2]int{}, nil
	close(l.changed)
	l.changed = make(chan struct{})
}

// A Filter is a fault of single messages. Stop ends it.
type Filter struct {
	link    *Link
	dir     Direction
	pattern string
	lost    bool
	delay   time.Duration
	left    int // under link.mu; negative = no bound
	count   int // under link.mu
}

// Drop loses the first max messages in one direction whose subject matches the
// NATS pattern; max 0 means all of them.
func (l *Link) Drop(dir Direction, pattern string, max int) *Filter {
	return l.filter(&Filter{dir: dir, pattern: pattern, left: max, lost: true})
}

// Postpone delivers the first max messages in one direction whose subject
// matches the NATS pattern d later, if the connection still stands then; others
// overtake them. max 0 means all.
func (l *Link) Postpone(dir Direction, pattern string, d time.Duration, max int) *Filter {
	return l.filter(&Filter{dir: dir, pattern: pattern, left: max, delay: d})
}

func (l *Link) filter(f *Filter) *Filter {
	f.link = l
	if f.left <= 0 {
		f.left = -1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.filters = append(l.filters, f)
	return f
}

// Count returns how many messages the filter has caught.
func (f *Filter) Count() int {
	f.link.mu.Lock()
	defer f.link.mu.Unlock()
	return f.count
}

// Stop ends the filter. What it has postponed still arrives.
func (f *Filter) Stop() {
	f.link.mu.Lock()
	defer f.link.mu.Unlock()
	f.left = 0
}

// catch returns the filter that takes this operation, the oldest first.
func (l *Link) catch(dir Direction, o op) *Filter {
	for _, f := range l.filters {
		if o.subject != "" && f.dir == dir && f.left != 0 && server.SubjectMatchesFilter(o.subject, f.pattern) {
			f.count++
			f.left = max(f.left-1, -1)
			return f
		}
	}
	return nil
}

// InProcessConn makes a connection to the broker through the link.
func (l *Link) InProcessConn() (net.Conn, error) {
	l.mu.Lock()
	l.dials++
	down := l.down || l.silent || l.ended
	l.mu.Unlock()
	if down {
		return nil, errors.New("the link to the broker is down")
	}
	broker, err := l.b.dial()
	if err != nil {
		return nil, err
	}
	client, near := net.Pipe()
	r := &relay{link: l, conns: [2]net.Conn{ToBroker: near, FromBroker: broker}, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || l.silent || l.ended {
		r.close()
	}
	l.relays[r] = struct{}{}
	l.wg.Go(r.run)
	return l.b.unblock(client), nil
}

// end closes all connections and waits for the link's goroutines.
func (l *Link) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.Cut()
	l.wg.Wait()
}

// faulty reports whether a connection of this configuration may be unable to
// drain because of a fault.
func faulty(cfg bus.Config) bool {
	l, ok := cfg.InProcess.(*Link)
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.relays {
		if r.silent {
			return true
		}
	}
	return l.down || l.silent || len(l.filters) > 0 ||
		l.stalled != [2]bool{} || l.delay != [2]time.Duration{} || l.rate != [2]int{}
}
