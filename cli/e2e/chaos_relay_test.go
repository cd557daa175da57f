//go:build unix

package e2e_test

import (
	"net"
	"sync"
	"testing"
)

// A relay is a TCP proxy in this process that can stop to forward. What waits
// meanwhile goes on later, ends of connections too. It is less than a cut: the
// kernel answers for whoever is behind it.
type relay struct {
	t  *testing.T
	in net.Listener

	mu     sync.Mutex
	broker string
	closed bool
	open   map[direction]chan struct{} // closed while that way is open
	conns  []net.Conn
	all    sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, in: in, open: map[direction]chan struct{}{}}
	for _, d := range []direction{toBroker, toWorker} {
		r.open[d] = make(chan struct{})
		close(r.open[d])
	}
	r.all.Go(r.accept)
	t.Cleanup(func() {
		r.heal()
		r.mu.Lock()
		r.closed = true
		_ = in.Close()
		for _, c := range r.conns {
			_ = c.Close()
		}
		r.mu.Unlock()
		r.all.Wait()
	})
	return r
}

func (r *relay) how() string    { return "TCP proxy" }
func (r *relay) listen() string { return "127.0.0.1" }

func (r *relay) worker(l *lab, id string) *process {
	l.t.Helper()
	r.mu.Lock()
	r.broker = "127.0.0.1:" + l.b.port(l.t)
	r.mu.Unlock()
	return l.launch(id, &broker{url: "nats://" + r.in.Addr().String()}, of(worker, l.workerArgs(id)...))
}

func (r *relay) cut(d direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for way := range r.open {
		if d&way != 0 {
			r.open[way] = make(chan struct{})
		}
	}
}

func (r *relay) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, open := range r.open {
		select {
		case <-open:
		default:
			close(open)
		}
	}
}

func (r *relay) accept() {
	for {
		near, err := r.in.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		broker := r.broker
		r.mu.Unlock()
		far, err := net.Dial("tcp", broker)
		if err != nil {
			_ = near.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, near, far)
		if r.closed {
			_, _ = near.Close(), far.Close()
		}
		r.mu.Unlock()
		r.all.Go(func() { r.copy(toBroker, near, far) })
		r.all.Go(func() { r.copy(toWorker, far, near) })
	}
}

// copy forwards one way of a connection, and its end.
func (r *relay) copy(d direction, from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		r.mu.Lock()
		open := r.open[d]
		r.mu.Unlock()
		<-open
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			_ = from.Close()
			return
		}
	}
}
