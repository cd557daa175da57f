package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus"
)

// Stop ends the serving without losing a call: it announces that the instance
// drains, takes what the broker has sent here already and no more, lets the
// handlers finish, and says goodbye. When ctx ends first, the contexts of the
// handlers end, with a cause that says so, and the error tells how many had not
// returned.
//
// Stop before Start and a second Stop do nothing.
func (s *Server) Stop(ctx context.Context) error {
	if !s.end(ctx) {
		return nil
	}
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	s.draining.Store(true)
	listeners := s.rotation.end(ctx)
	if s.announcer != nil {
		keep(s.announcer.Drain(ctx, "stopping"))
	}
	keep(s.drain(ctx, listeners))
	left := s.awaitEmpty(ctx)
	s.closed.Store(true)
	s.cut(errStopped)
	if left > 0 {
		keep(fmt.Errorf("%d calls had not returned: %w", left, context.Cause(ctx)))
		left = s.awaitCut()
	}
	keep(s.drainRest(ctx))
	s.workers.stop(left == 0)
	if s.announcer != nil {
		keep(s.announcer.Stop(ctx))
	}
	s.cancels.stop(ctx)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop %s: %w", s.cfg.Name, err)
	}
	return nil
}

// end moves from running to stopped, after a Start that is under way; false if
// there is nothing to stop.
func (s *Server) end(ctx context.Context) bool {
	s.mu.Lock()
	was := s.state
	if was == idle {
		s.state = stopped
	}
	s.mu.Unlock()
	if was == starting {
		select {
		case <-s.ready:
		case <-ctx.Done():
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was = s.state
	s.state = stopped
	return was == running
}

// drain ends the subscriptions to calls: these, and that to calls of this instance.
// Every message that the broker has sent is in the hands of an endpoint when it
// returns without an error.
func (s *Server) drain(ctx context.Context, listeners []*bus.Listener) error {
	if s.node != nil {
		listeners = append(listeners, s.node)
	}
	return drainAll(ctx, listeners)
}

// drainRest ends the subscriptions that calls and streams at work need.
func (s *Server) drainRest(ctx context.Context) error {
	var errs []error
	for _, l := range []*bus.Listener{s.claims, s.uplink} {
		if l != nil {
			errs = append(errs, l.Drain(ctx))
		}
	}
	return errors.Join(errs...)
}

// awaitCut gives the handlers whose contexts have just ended a moment to tell
// their callers.
func (s *Server) awaitCut() int64 {
	ctx, cancel := context.WithTimeout(s.life, abandonLimit)
	defer cancel()
	return s.awaitEmpty(ctx)
}

// busy counts the calls at work and the open streams.
func (s *Server) busy() int64 { return s.atWork.Load() + s.lasting.Load() }

// awaitEmpty waits until no call is at work and no stream open, or ctx ends, and
// returns how many are left.
func (s *Server) awaitEmpty(ctx context.Context) int64 {
	for {
		left := s.busy()
		if left == 0 {
			return 0
		}
		select {
		case <-s.empty:
		case <-ctx.Done():
			return s.busy()
		}
	}
}

// named is how errors name this server: who is refused wants to know by whom.
func (s *Server) named() string { return "instance " + s.id + " of " + s.cfg.Name }

// enter admits a call, or says why not. Who was admitted calls leave.
func (s *Server) enter(e *endpoint) *bus.Error {
	n, limit, what := &s.atWork, int64(s.cfg.Concurrency), "calls at work"
	if e.kind != "" {
		n, limit, what = &s.lasting, int64(s.cfg.Streams), "streams open"
	} else if e.opts.exempt {
		limit += spareForDebug
	}
	now := n.Add(1)
	switch {
	case s.closed.Load():
		s.leave(e)
		return refused(bus.Errorf(bus.Unavailable, "%s has stopped", s.named()))
	case now > limit:
		s.leave(e)
		return refused(bus.Errorf(bus.ResourceExhausted, "%s has %d %s, the most it takes", s.named(), limit, what))
	}
	return nil
}

// stoodStill refuses a call of which nobody knows how long it has waited.
func (s *Server) stoodStill() *bus.Error {
	return refused(bus.Errorf(bus.Unavailable, "%s stood still for a while, and the call may be too old; send it again", s.named()))
}

func (s *Server) leave(e *endpoint) {
	n := &s.atWork
	if e.kind != "" {
		n = &s.lasting
	}
	s.depart(n, 1)
}

// depart takes calls, or streams, off their number.
func (s *Server) depart(n *atomic.Int64, gone int64) {
	if n.Add(-gone) > 0 || !s.draining.Load() {
		return
	}
	select {
	case s.empty <- struct{}{}:
	default:
	}
}
