package rpc

import (
	"fmt"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

// sweepEvery is how often the streams of a connection are looked at.
const sweepEvery = time.Second

// readsBatches says, with the opening of a stream and its acceptance, that several
// messages may come in one frame.
var readsBatches = wire.Pair{Key: wire.MetaStreamBatch, Value: wire.StreamBatchVersion}

// streams are the open streams of one connection, of both sides: they share
// its window and one timer.
type streams struct {
	conn   *bus.Conn
	budget pipe.Budget

	mu    sync.Mutex
	pipes map[*pipe.Pipe]string // with the instance at the other end, if that is known
	epoch uint64                // of the connection at the last sweep
	away  time.Time             // since when the broker is; zero while it is there
	timer *time.Timer
}

type streamsKey struct{}

// streamsOf returns the streams of a connection.
func streamsOf(conn *bus.Conn) *streams {
	return conn.Shared(streamsKey{}, func() any {
		return &streams{conn: conn, pipes: make(map[*pipe.Pipe]string)}
	}).(*streams)
}

// add looks after p until remove, which may have come first.
func (s *streams) add(p *pipe.Pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-p.Done():
		return
	default:
	}
	if len(s.pipes) == 0 {
		s.epoch, s.away = s.conn.Epoch(), time.Time{}
		s.timer = time.AfterFunc(sweepEvery, s.sweep)
	}
	s.pipes[p] = ""
}

// leadsTo notes which instance is at the other end.
func (s *streams) leadsTo(p *pipe.Pipe, service, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.pipes[p]; there {
		s.pipes[p] = wire.NodeSubject(service, id, "")
	}
}

// ask asks an instance that is said to be gone by every stream that leads to it:
// the broker answers in its place.
func (s *streams) ask(service, id string) {
	name := wire.NodeSubject(service, id, "")
	s.mu.Lock()
	var all []*pipe.Pipe
	for p, at := range s.pipes {
		if at == name {
			all = append(all, p)
		}
	}
	s.mu.Unlock()
	for _, p := range all {
		p.Ask()
	}
}

func (s *streams) remove(p *pipe.Pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.pipes[p]; !there {
		return
	}
	if delete(s.pipes, p); len(s.pipes) == 0 {
		s.timer.Stop()
	}
}

// sweep asks the silent peers, and all of them after a reconnect: what was on
// its way then is lost. A broker that is away says nothing about peers, but for
// as long as a peer may be silent.
func (s *streams) sweep() {
	epoch, now := s.conn.Epoch(), time.Now()
	lost := s.lost(now)
	s.mu.Lock()
	anew := epoch != s.epoch
	s.epoch = epoch
	away := !s.away.IsZero()
	all := make([]*pipe.Pipe, 0, len(s.pipes))
	for p := range s.pipes {
		all = append(all, p)
	}
	s.mu.Unlock()
	for _, p := range all {
		switch {
		case lost != nil:
			p.Fail(lost)
			continue
		case away:
			continue
		case anew:
			p.Ask()
		}
		p.Tick(now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pipes) > 0 {
		s.timer.Reset(sweepEvery)
	}
}

// lost says that the connection has ended, or its broker has been away for too
// long.
func (s *streams) lost(now time.Time) *bus.Error {
	e := bus.Errorf(bus.Unavailable, "the connection is closed")
	e.End = bus.Broker
	select {
	case <-s.conn.Closed():
		return e
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn.Connected():
		s.away = time.Time{}
		return nil
	case s.away.IsZero():
		s.away = now
	}
	e.Message = fmt.Sprintf("the broker has been away for %v", now.Sub(s.away).Round(time.Second))
	if now.Sub(s.away) < pipe.Silence {
		return nil
	}
	return e
}
