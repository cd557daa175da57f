package bustest

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// maxUnderWay bounds the operations under way in one direction of a connection.
// At the bound the link reads no more, so that the sender has to wait.
const maxUnderWay = 4096

// A relay carries one connection of a link. conns[d] is the end that direction
// d is read from.
type relay struct {
	link   *Link
	conns  [2]net.Conn
	silent bool // under link.mu; never unset
	open   bool // under link.mu: the handshake is over

	closing sync.Once
	done    chan struct{}
}

// A parcel is one operation on its way; raw nil says that its sender has closed
// the connection.
type parcel struct {
	raw []byte
	due time.Time
}

// close ends the connection abruptly.
func (r *relay) close() {
	r.closing.Do(func() {
		close(r.done)
		for _, c := range r.conns {
			_ = c.Close()
		}
	})
}

func (r *relay) run() {
	var both sync.WaitGroup
	both.Go(func() { r.carry(ToBroker) })
	both.Go(func() { r.carry(FromBroker) })
	both.Wait()
	r.close()
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	delete(r.link.relays, r)
}

// carry moves one direction until its sender closes or the relay is closed.
func (r *relay) carry(dir Direction) {
	way, late := make(chan parcel, maxUnderWay), make(chan parcel)
	delivered := make(chan struct{})
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() {
		defer close(delivered)
		r.deliver(r.conns[1-dir], way, late)
	})
	src := bufio.NewReader(r.conns[dir])
	for greeted := false; ; {
		o, err := readOp(src)
		if err != nil { // the sender has closed, or sends what is not NATS
			o = op{}
		}
		if greeted && !r.pace(dir, len(o.raw)) {
			close(way)
			return
		}
		fate := r.judge(dir, o, greeted)
		greeted = greeted || o.endsHandshake(dir)
		p := parcel{raw: o.raw, due: time.Now().Add(fate.delay)}
		switch {
		case fate.lost:
		case fate.alone:
			tasks.Go(func() {
				if r.sleep(fate.delay, delivered) {
					select {
					case late <- p:
					case <-delivered:
					}
				}
			})
		default:
			select {
			case way <- p:
			case <-r.done:
			}
		}
		if err != nil {
			close(way)
			return
		}
	}
}

// deliver writes what arrives until its sender has closed. A receiver that is
// gone does not end it: the other direction then closes the sender's end.
func (r *relay) deliver(dst net.Conn, way, late <-chan parcel) {
	for {
		select {
		case p := <-late:
			_, _ = dst.Write(p.raw)
		case p, ok := <-way:
			if !ok {
				return
			}
			if !r.sleep(time.Until(p.due), nil) {
				continue
			}
			if p.raw == nil {
				dst.Close()
				continue
			}
			_, _ = dst.Write(p.raw)
		}
	}
}

// pace waits while the direction is stalled and for as long as its rate demands
// for n bytes. It returns false once the relay is closed.
func (r *relay) pace(dir Direction, n int) bool {
	for {
		r.link.mu.Lock()
		stalled, changed, rate := r.link.stalled[dir], r.link.changed, r.link.rate[dir]
		r.link.mu.Unlock()
		if !stalled {
			if rate <= 0 {
				return true
			}
			return r.sleep(time.Duration(n)*time.Second/time.Duration(rate), nil)
		}
		select {
		case <-changed:
		case <-r.done:
			return false
		}
	}
}

// sleep returns false if the relay is closed or end happens first.
func (r *relay) sleep(d time.Duration, end <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-end:
		return false
	case <-r.done:
		return false
	}
}

// A fate is what becomes of one operation.
type fate struct {
	lost  bool
	alone bool // delayed by itself, out of order
	delay time.Duration
}

// judge decides what the present faults do to an operation.
func (r *relay) judge(dir Direction, o op, greeted bool) fate {
	l := r.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if dir == FromBroker && o.endsHandshake(dir) {
		r.open = true
	}
	if r.silent {
		return fate{lost: true}
	}
	if !greeted {
		return fate{}
	}
	if f := l.catch(dir, o); f != nil {
		return fate{lost: f.lost, alone: true, delay: f.delay}
	}
	return fate{delay: l.delay[dir]}
}
